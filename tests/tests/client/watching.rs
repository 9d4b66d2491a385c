//! Watching: what comes, in which order, how often, and what stays for others.

use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use papa_client::{
    Batch, End, ErrorKind, Event, Mode, Name, Overflow, Papa, ProcessId, Signal, Start, Stream,
    Watcher,
};
use papad_tests::{DEADLINE, Fifo, eventually, wait_readable};

use crate::flood::{Flood, LINE};
use crate::{Hosted, kind};

/// An event, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Output(String, Stream, u64, Vec<u8>),
    Lost(String, u64, u64),
    Closed(String, u64, End),
    Joined(String, u64),
    Removed(String),
}

fn seen(batch: &Batch) -> Vec<Seen> {
    let see = |event| match event {
        Event::Output { name, stream, position, bytes, .. } => {
            Seen::Output(name.to_string(), stream, position, bytes.to_vec())
        }
        Event::Lost { name, position, bytes, .. } => Seen::Lost(name.to_string(), position, bytes),
        Event::Closed { name, position, end, .. } => Seen::Closed(name.to_string(), position, end),
        Event::Joined { name, position, .. } => Seen::Joined(name.to_string(), position),
        Event::Removed { name, .. } => Seen::Removed(name.to_string()),
        event => panic!("{event:?}"),
    };
    batch.iter().map(see).collect()
}

/// The next batch, which must come.
#[track_caller]
fn next(watcher: &mut Watcher) -> Batch {
    watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time")
}

/// All events to the end of the watch, each batch acknowledged.
fn all(watcher: Watcher) -> Vec<Seen> {
    let mut events = Vec::new();
    for batch in watcher {
        let batch = batch.unwrap();
        events.extend(seen(&batch));
        batch.acknowledge();
    }
    events
}

fn out(name: &str, position: u64, text: &str) -> Seen {
    Seen::Output(name.to_owned(), Stream::Out, position, text.as_bytes().to_vec())
}

fn joined(name: &str, position: u64) -> Seen {
    Seen::Joined(name.to_owned(), position)
}

fn closed(name: &str, position: u64) -> Seen {
    Seen::Closed(name.to_owned(), position, End::Exited(0))
}

/// Runs a line of shell, and waits until it has ended.
fn run(papa: &Papa, name: &str, script: &str) -> ProcessId {
    let process = papa.process(name, "/bin/sh").args(["-c", script]).make().unwrap();
    process.wait().unwrap();
    // All it wrote has been read when its end may be told.
    let ends = papa.watch([name]).mode(Mode::Peek).only_exits().start().unwrap();
    let is_end = |event: Event| matches!(event, Event::Closed { .. });
    assert!(ends.map(Result::unwrap).any(|batch| {
        let has_end = batch.iter().any(is_end);
        batch.acknowledge();
        has_end
    }));
    process.id()
}

#[test]
fn output_and_end_come_once_and_in_order() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf one; exit 0");
    let events = all(papa.watch(["web"]).start().unwrap());
    assert_eq!(events, [joined("web", 0), out("web", 0, "one"), closed("web", 3)]);
    eventually("it has left the list", || papa.processes("*").unwrap().is_empty());
    assert_eq!(kind(papa.watch(["web"]).start()), ErrorKind::NotFound);
}

#[test]
fn the_streams_are_told_apart() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf out; sleep 0.01; printf err >&2");
    let events = all(papa.watch(["web"]).start().unwrap());
    let err = Seen::Output("web".to_owned(), Stream::Err, 3, b"err".to_vec());
    assert_eq!(events[1..], [out("web", 0, "out"), err, closed("web", 6)]);
}

#[test]
fn a_batch_that_is_dropped_comes_again_before_anything_else() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf one");
    let mut watcher = papa.watch(["web"]).start().unwrap();
    let first = seen(&next(&mut watcher));
    assert!(wait_readable(&watcher.as_fd()), "the descriptor does not tell of it");
    let again = next(&mut watcher);
    assert_eq!(seen(&again), first);
    again.acknowledge();
    let rest = all(watcher);
    assert_eq!([first, rest].concat().len(), 3);
}

#[test]
fn what_is_not_acknowledged_comes_to_the_next_watcher() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf one");
    let mut watcher = papa.watch(["web"]).start().unwrap();
    let held = next(&mut watcher);
    drop(watcher);
    held.acknowledge();
    let events = all(papa.watch(["web"]).start().unwrap());
    assert_eq!(events, [joined("web", 0), out("web", 0, "one"), closed("web", 3)]);
}

#[test]
fn what_is_acknowledged_before_a_stop_comes_to_nobody_else() {
    let hosted = Hosted::start();
    let (papa, fifo) = (&hosted.papa, Fifo::new(&hosted.scratch, "go"));
    let script = format!("printf one; read line < {}; printf two", fifo.path());
    papa.process("web", "/bin/sh").args(["-c", &script]).make().unwrap();
    let mut watcher = papa.watch(["web"]).start().unwrap();
    let mut events = Vec::new();
    while events.len() < 2 {
        let batch = next(&mut watcher);
        events.extend(seen(&batch));
        batch.acknowledge();
    }
    watcher.stop().unwrap();
    fifo.send_line();
    let events = all(papa.watch(["web"]).start().unwrap());
    assert_eq!(events, [joined("web", 3), out("web", 3, "two"), closed("web", 6)]);
}

#[test]
fn batches_may_be_acknowledged_elsewhere_and_in_any_order() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let flood = Flood::make(papa, "web", 100_000);
    let mut watcher = papa.watch(["web"]).window(1 << 20).start().unwrap();
    let (mut check, mut held) = (flood.check(), Vec::new());
    while let Some(batch) = watcher.next_timeout(DEADLINE).unwrap() {
        check.take(&batch);
        held.push(batch);
        if held.len() == 3 || check.is_closed() {
            let batches = std::mem::take(&mut held);
            thread::spawn(move || batches.into_iter().rev().for_each(Batch::acknowledge));
        }
    }
    assert!(watcher.is_finished() && check.is_closed());
    eventually("it has left the list", || papa.processes("*").unwrap().is_empty());
}

#[test]
fn who_looks_takes_nothing() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf one");
    for _ in 0..2 {
        let events = all(papa.watch(["web"]).mode(Mode::Peek).start().unwrap());
        assert_eq!(events, [joined("web", 0), out("web", 0, "one"), closed("web", 3)]);
    }
    let events = all(papa.watch(["web"]).start().unwrap());
    assert_eq!(events.len(), 3);
}

#[test]
fn what_was_pushed_out_is_told() {
    let hosted = Hosted::start();
    let (papa, fifo) = (&hosted.papa, Fifo::new(&hosted.scratch, "go"));
    let script = format!("printf one; read line < {}; seq 1000000000 1000009999", fifo.path());
    let web = papa.process("web", "/bin/sh").args(["-c", &script]).bufsize(4096).make().unwrap();
    let mut watcher = papa.watch(["web"]).window(4096).start().unwrap();
    let mut held = next(&mut watcher);
    if held.iter().len() == 1 {
        // That it is watched was told before it has written anything.
        held.acknowledge();
        held = next(&mut watcher);
    }
    fifo.send_line();
    web.wait().unwrap();
    held.acknowledge();
    let events = all(watcher);
    let lost = |event: &Seen| matches!(event, Seen::Lost(_, _, bytes) if *bytes > 0);
    assert!(events.iter().any(lost), "{events:?}");
    let mut position = 3;
    for event in &events {
        position = match event {
            Seen::Output(_, _, at, bytes) if *at == position => at + bytes.len() as u64,
            Seen::Lost(_, at, bytes) if *at == position => at + bytes,
            Seen::Closed(_, at, _) if *at == position => *at,
            Seen::Joined(..) => position,
            event => panic!("{event:?} does not begin at {position}"),
        };
    }
    assert_eq!(position, 3 + 10_000 * LINE);
}

#[test]
fn a_watch_may_be_of_ends_alone() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    run(papa, "web", "printf one");
    let events = all(papa.watch(["web"]).only_exits().start().unwrap());
    assert_eq!(events, [joined("web", 0), closed("web", 3)]);
    // Its output was nobody's yet.
    assert_eq!(papa.processes("web").unwrap().len(), 1);
    assert_eq!(all(papa.watch(["web"]).start().unwrap()).len(), 3);
}

#[test]
fn a_watch_may_end_with_what_is_there() {
    let hosted = Hosted::start();
    let (papa, fifo) = (&hosted.papa, Fifo::new(&hosted.scratch, "go"));
    let script = format!("printf one; read line < {}", fifo.path());
    papa.process("web", "/bin/sh").args(["-c", &script]).make().unwrap();
    eventually("it has written", || papa.processes("web").unwrap()[0].next == 3);
    for mode in [Mode::Peek, Mode::Take] {
        let events = all(papa.watch(["web", "no*"]).mode(mode).follow(false).start().unwrap());
        assert_eq!(events, [joined("web", 0), out("web", 0, "one")], "{mode:?}");
    }
    assert_eq!(all(papa.watch(["web"]).follow(false).start().unwrap()), [joined("web", 3)]);
    assert!(all(papa.watch(["no*"]).follow(false).start().unwrap()).is_empty());
}

#[test]
fn a_watch_may_begin_with_what_comes_next() {
    let hosted = Hosted::start();
    let (papa, fifo) = (&hosted.papa, Fifo::new(&hosted.scratch, "go"));
    let script = format!("printf one; read line < {}; printf two", fifo.path());
    papa.process("web", "/bin/sh").args(["-c", &script]).make().unwrap();
    eventually("it has written", || papa.processes("web").unwrap()[0].next == 3);
    let watcher = papa.watch(["web"]).from(Start::Newest).start().unwrap();
    fifo.send_line();
    let events = all(watcher);
    assert_eq!(events, [joined("web", 3), out("web", 3, "two"), closed("web", 6)]);
}

#[test]
fn processes_join_and_are_removed_while_they_are_watched() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let mut watcher = papa.watch(["web.*"]).start().unwrap();
    assert!(watcher.try_next().unwrap().is_none() && !watcher.is_finished());
    papa.process("web.1", "/bin/echo").arg("one").make().unwrap();
    papa.process("other", "/bin/echo").make().unwrap();
    let mut events = Vec::new();
    while events.len() < 3 {
        let batch = next(&mut watcher);
        events.extend(seen(&batch));
        batch.acknowledge();
    }
    assert_eq!(events, [joined("web.1", 0), out("web.1", 0, "one\n"), closed("web.1", 4)]);
    let web = papa.process("web.2", "/bin/sleep").arg("1000").make().unwrap();
    let batch = next(&mut watcher);
    assert_eq!(seen(&batch), [joined("web.2", 0)]);
    batch.acknowledge();
    papa.remove_process("web.2").unwrap();
    let batch = next(&mut watcher);
    assert_eq!(seen(&batch), [Seen::Removed("web.2".to_owned())]);
    web.kill().unwrap();
    batch.acknowledge();
    watcher.stop().unwrap();
}

#[test]
fn more_short_lives_than_are_remembered_come_once_each() {
    const LIVES: usize = 1500;
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let mut watcher = papa.watch(["life.*"]).start().unwrap();
    let maker = papa.clone();
    let making = thread::spawn(move || {
        for life in 0..LIVES {
            let name = format!("life.{life}");
            maker.process(name, "/bin/true").env_clear().make().unwrap();
        }
    });
    let mut ends = Vec::new();
    while ends.len() < LIVES {
        let batch = next(&mut watcher);
        for event in &batch {
            if let Event::Closed { name, end, .. } = event {
                assert!(end.success());
                ends.push(name.to_string());
            }
        }
        batch.acknowledge();
    }
    making.join().unwrap();
    hosted.papad.kill_server();
    ends.sort();
    ends.dedup();
    assert_eq!(ends.len(), LIVES);
    eventually("all have left the list", || {
        watcher.try_next().unwrap().is_none() && papa.processes("*").unwrap().is_empty()
    });
}

#[test]
fn no_more_than_the_window_comes_before_it_is_acknowledged() {
    const WINDOW: u64 = 64 << 10;
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let flood = Flood::make(papa, "web", 500_000);
    let mut watcher = papa.watch(["web"]).window(WINDOW).start().unwrap();
    let mut check = flood.check();
    let mut held = Vec::new();
    while !check.is_closed() {
        // As long as there is room in the window, there is more.
        let before = check.position();
        while check.position() - before < WINDOW && !check.is_closed() {
            let batch = next(&mut watcher);
            check.take(&batch);
            held.push(batch);
        }
        assert!(check.position() - before <= WINDOW);
        assert!(watcher.try_next().unwrap().is_none(), "more than the window came");
        held.drain(..).for_each(Batch::acknowledge);
    }
    assert!(watcher.next().is_none());
}

#[test]
fn ten_watchers_of_one_flood_each_have_all_of_it() {
    let hosted = Hosted::start();
    let (papa, fifo) = (&hosted.papa, Fifo::new(&hosted.scratch, "go"));
    let flood = Flood::make_waiting(papa, "web", 200_000, fifo.path());
    let watchers: Vec<_> = (0..10).map(|_| papa.watch(["web"]).start().unwrap()).collect();
    fifo.send_line();
    thread::scope(|scope| {
        for watcher in watchers {
            let mut check = flood.check();
            scope.spawn(move || {
                for batch in watcher {
                    let batch = batch.unwrap();
                    check.take(&batch);
                    batch.acknowledge();
                }
                assert!(check.is_closed());
            });
        }
    });
    eventually("it has left the list", || papa.processes("*").unwrap().is_empty());
}

#[test]
fn a_watcher_is_served_by_a_poll_loop() {
    let hosted = Hosted::start();
    let (papa, papad) = (&hosted.papa, &hosted.papad);
    let flood = Flood::make(papa, "web", 100_000);
    let mut watcher = papa.watch(["web"]).start().unwrap();
    let mut check = flood.check();
    let mut is_first = true;
    while !watcher.is_finished() {
        assert!(wait_readable(&watcher.as_fd()), "nothing comes");
        while let Some(batch) = watcher.try_next().unwrap() {
            check.take(&batch);
            batch.acknowledge();
            if std::mem::take(&mut is_first) {
                papad.kill_server();
            }
        }
    }
    assert!(check.is_closed());
}

#[test]
fn a_watch_is_resumed_where_the_caller_says() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let id = run(papa, "web", "printf onetwo");
    let name = Name::new("web").unwrap();
    let watch = || papa.watch(["web"]);
    let events = all(watch().mode(Mode::Peek).resume_from(name.clone(), id, 3).start().unwrap());
    assert_eq!(events, [joined("web", 3), out("web", 3, "two"), closed("web", 6)]);
    let stranger: ProcessId = "0000000000000000-1".parse().unwrap();
    let resumed = watch().mode(Mode::Peek).resume_from(name.clone(), stranger, 3);
    assert_eq!(all(resumed.start().unwrap())[1], out("web", 0, "onetwo"));
    let beyond = watch().resume_from(name, id, 7).start();
    assert_eq!(kind(beyond), ErrorKind::Conflict);
}

#[test]
fn the_places_of_a_batch_are_where_to_resume() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let flood = Flood::make_kept(papa, "web", 300_000);
    let mut check = flood.check();
    let mut place = None;
    // Each watcher crashes with a batch that it has worked on and not acknowledged.
    while !check.is_closed() {
        let mut watch = papa.watch(["web"]);
        if let Some((name, id, position)) = place.take() {
            watch = watch.resume_from(name, id, position);
        }
        let mut watcher = watch.start().unwrap();
        for _ in 0..3 {
            if check.is_closed() {
                break;
            }
            let batch = next(&mut watcher);
            check.take(&batch);
            place = batch.places().last().or(place);
            if !check.is_closed() && check.position().is_multiple_of(2) {
                batch.acknowledge();
            } else {
                std::mem::forget(batch);
            }
        }
    }
}

#[test]
fn a_watch_that_makes_no_sense_is_not_begun() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    assert_eq!(kind(papa.watch([] as [&str; 0]).start()), ErrorKind::Usage);
    assert_eq!(kind(papa.watch(["a b"]).start()), ErrorKind::Usage);
    assert_eq!(kind(papa.watch(["*"]).window(1).start()), ErrorKind::Usage);
}

#[test]
fn a_signal_is_told_as_the_end() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let web = papa
        .process("web", "/bin/sleep")
        .arg("1000")
        .overflow(Overflow::Block)
        .linger(Duration::ZERO)
        .make()
        .unwrap();
    let watcher = papa.watch(["web"]).start().unwrap();
    web.signal(Signal::HUP).unwrap();
    let end = End::Signaled(Signal::HUP);
    assert_eq!(all(watcher)[1], Seen::Closed("web".to_owned(), 0, end));
}
