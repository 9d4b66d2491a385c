//! What a watcher finds when it comes back, and how it comes back.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use papa_client::{
    Batch, Endpoint, ErrorKind, Event, Mode, OnDisconnect, Papa, Process, Signal, Watcher,
};
use papad_tests::{DEADLINE, Fifo, Papad, ScratchDir, eventually, wait_readable};

use crate::stand_in::StandIn;
use crate::{Hosted, kind};

/// More ends than are remembered one by one.
const MANY: usize = 1100;

/// An event in a few words, without the bytes of output.
fn told(event: Event<'_>) -> String {
    match event {
        Event::Output { name, position, .. } => format!("{name} wrote at {position}"),
        Event::Lost { name, position, bytes, .. } => format!("{name} lost {bytes} at {position}"),
        Event::Closed { name, .. } => format!("{name} closed"),
        Event::Joined { name, position, .. } => format!("{name} joined at {position}"),
        Event::Removed { name, .. } => format!("{name} removed"),
        event => panic!("{event:?}"),
    }
}

/// The next batch, which must come.
#[track_caller]
fn next(watcher: &mut Watcher) -> Batch {
    watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time")
}

/// Acknowledges batches up to an event, and returns all events.
#[track_caller]
fn until(watcher: &mut Watcher, last: &str) -> Vec<String> {
    let mut events: Vec<String> = Vec::new();
    while !events.iter().any(|event| event == last) {
        let batch = next(watcher);
        events.extend(batch.iter().map(told));
        batch.acknowledge();
    }
    events
}

/// Has a watcher notice that the server was killed, and not yet come back.
fn kill_server_under(hosted: &Hosted, watcher: &mut Watcher) {
    hosted.papad.kill_server();
    loop {
        match watcher.next_timeout(DEADLINE) {
            Err(error) => break assert_eq!(error.kind(), ErrorKind::Disconnected),
            Ok(batch) => batch.expect("the news comes").acknowledge(),
        }
    }
    // This session has come back, too, once it was asked something.
    hosted.papa.status().unwrap();
}

fn sleeper(papa: &Papa, name: &str) -> Process {
    papa.process(name, "/bin/sleep").arg("1000").make().unwrap()
}

#[test]
fn an_acknowledgement_that_meets_the_end_of_the_connection_does_not_hide_it() {
    let hosted = Hosted::start();
    let go = Fifo::new(&hosted.scratch, "go");
    let script = format!("echo one; read line < {}; echo two; sleep 1000", go.path());
    hosted.papa.process("web", "/bin/sh").args(["-c", &script]).make().unwrap();
    let mut watcher = hosted.papa.watch(["web"]).start().unwrap();
    let mut held = vec![next(&mut watcher)];
    while !held.iter().flatten().any(|event| matches!(event, Event::Output { .. })) {
        held.push(next(&mut watcher));
    }
    hosted.papad.kill_server();
    assert!(wait_readable(&watcher.as_fd()), "the end of the connection is not told");
    held.into_iter().for_each(Batch::acknowledge);
    go.send_line();
    // As a poll(2) loop has it: nothing is asked before the descriptor tells.
    let mut events = Vec::new();
    while events.is_empty() {
        assert!(wait_readable(&watcher.as_fd()), "the watcher does not come back");
        if let Some(batch) = watcher.try_next().unwrap() {
            events.extend(batch.iter().map(told));
            batch.acknowledge();
        }
    }
    assert_eq!(events, ["web wrote at 4"]);
}

#[test]
fn after_an_error_the_descriptor_tells_that_it_goes_on() {
    let papad = StandIn::start(|connection, guest| match connection {
        0 => {}
        1 => guest.answer("watch", "ok 0\n"),
        // To close while something is unread would take the answer back.
        2 => {
            guest.answer("list", "what is this?\n");
            guest.wait_for_end();
        }
        _ => {
            guest.answer("list", "ok 0\n");
            guest.answer("list previous", "ok 0\n");
            guest.answer("watch", "ok 0\njoined web 1 7\n");
            guest.wait_for_end();
        }
    });
    let papa = Papa::connect(&papad.endpoint()).unwrap();
    let mut watcher = papa.watch(["*"]).start().unwrap();
    assert_eq!(kind(watcher.next_timeout(DEADLINE)), ErrorKind::Protocol);
    let batch = loop {
        assert!(wait_readable(&watcher.as_fd()), "the descriptor is silent");
        if let Some(batch) = watcher.try_next().unwrap() {
            break batch;
        }
    };
    assert_eq!(batch.iter().map(told).collect::<Vec<_>>(), ["web joined at 0"]);
    batch.acknowledge();
}

#[test]
fn who_ends_at_each_request_is_asked_with_pauses() {
    /// So many requests are not answered. The pauses between them take a second at least.
    const ENDS: usize = 20;
    const PAUSES: Duration = Duration::from_secs(1);
    // The first connection is that which `papa` begins with.
    const WATCHED: usize = ENDS + 1;
    const GOT: usize = WATCHED + ENDS + 1;
    let papad = StandIn::start(|connection, guest| match connection {
        0 => {}
        WATCHED => guest.answer("watch", "ok 0\n"),
        GOT => guest.answer("get", "ok 1\nvalue\n"),
        _ => drop(guest.hear()),
    });
    let papa = Papa::connect(&papad.endpoint().deadline(DEADLINE)).unwrap();
    let began = Instant::now();
    drop(papa.watch(["*"]).start().unwrap());
    assert!(began.elapsed() > PAUSES, "watched after {:?}", began.elapsed());
    let began = Instant::now();
    assert_eq!(papa.get("a").unwrap().unwrap(), b"value");
    assert!(began.elapsed() > PAUSES, "answered after {:?}", began.elapsed());
    assert_eq!(papad.connections(), GOT + 1);
}

#[test]
fn when_the_last_process_goes_between_two_requests_the_watch_is_over() {
    let listed = "name=web id=1 state=running pid=7 started=0 bufsize=1 overflow=drop first=0 \
                  next=0 lost=0 watchers=0 -- x";
    let papad = StandIn::start(move |connection, guest| match connection {
        0 => {}
        1 => guest.answer("watch", "ok 1\nname=web id=1 pid=7 from=0\n"),
        2 => {
            guest.answer("list", &format!("ok 1\n{listed}\n"));
            guest.answer("list previous", "ok 0\n");
            guest.answer("watch", "error not-found \"there is no process of the name web\"\n");
            guest.wait_for_end();
        }
        _ => {
            guest.answer("list", "ok 0\n");
            guest.answer("list previous", "ok 0\n");
            guest.wait_for_end();
        }
    });
    let papa = Papa::connect(&papad.endpoint()).unwrap();
    let mut watcher = papa.watch(["web"]).start().unwrap();
    let events = until(&mut watcher, "web removed");
    assert_eq!(events, ["web joined at 0", "web removed"]);
    assert!(watcher.next_timeout(DEADLINE).unwrap().is_none() && watcher.is_finished());
}

#[test]
fn what_joins_while_nobody_looks_is_told_from_its_first_byte() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let mut watcher = papa.watch(["*"]).on_disconnect(OnDisconnect::Report).start().unwrap();
    kill_server_under(&hosted, &mut watcher);
    let script = "head -c 1000000 /dev/zero";
    papa.process("web", "/bin/sh").args(["-c", script]).bufsize(1 << 16).make().unwrap();
    let info = || papa.processes("web").unwrap().remove(0);
    eventually("it has ended", || !info().is_running() && info().next == 1_000_000);
    let first = info().first;
    let events = until(&mut watcher, "web closed");
    assert_eq!(events[..2], ["web joined at 0".to_owned(), format!("web lost {first} at 0")]);
    assert_eq!(events[2], format!("web wrote at {first}"));
}

#[test]
fn a_name_without_a_star_is_no_later_process_of_that_name() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let (a, b) = (sleeper(papa, "a"), sleeper(papa, "b"));
    let watch = papa.watch(["a", "b"]).on_disconnect(OnDisconnect::Report);
    let mut watcher = watch.start().unwrap();
    a.kill().unwrap();
    until(&mut watcher, "a closed");
    eventually("a is off the list", || papa.processes("a").unwrap().is_empty());
    kill_server_under(&hosted, &mut watcher);
    let a = sleeper(papa, "a");
    b.kill().unwrap();
    assert_eq!(until(&mut watcher, "b closed"), ["b closed"]);
    assert!(watcher.next_timeout(DEADLINE).unwrap().is_none() && watcher.is_finished());
    a.kill().unwrap();
}

#[test]
fn many_ends_come_once_however_long_papad_keeps_them() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let mut holder = papa.watch(["job.*"]).start().unwrap();
    let mut watchers = [
        papa.watch(["job.*"]).only_exits().start().unwrap(),
        papa.watch(["job.*"]).mode(Mode::Peek).start().unwrap(),
        papa.watch(["job.*"]).start().unwrap(),
    ];
    for job in 0..MANY {
        let process = papa.process(format!("job.{job}"), "/bin/echo").arg("x").env_clear();
        process.bufsize(4096).make().unwrap();
    }
    // As long as one who has been told does not acknowledge it, papad keeps everything.
    let held = read_ends(&mut holder);
    for watcher in &mut watchers {
        read_ends(watcher).into_iter().for_each(Batch::acknowledge);
    }
    hosted.papad.kill_server();
    assert_eq!(papa.processes("job.*").unwrap().len(), MANY);
    papa.process("job.last", "/bin/echo").make().unwrap();
    for watcher in &mut watchers {
        let events = until(watcher, "job.last closed");
        assert!(events.iter().all(|event| event.starts_with("job.last ")), "{events:?}");
    }
    held.into_iter().for_each(Batch::acknowledge);
}

/// The batches with many ends.
fn read_ends(watcher: &mut Watcher) -> Vec<Batch> {
    let (mut batches, mut ends) = (Vec::new(), 0);
    while ends < MANY {
        let batch = next(watcher);
        ends += batch.iter().filter(|event| matches!(event, Event::Closed { .. })).count();
        batches.push(batch);
    }
    batches
}

#[test]
fn a_watcher_that_comes_back_waits_for_a_place_among_the_sessions() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder()
        .unix_path(scratch.join("papad"))
        .arg("--max-sessions=2")
        .arg("--max-sessions-per-user=2")
        .start();
    let endpoint = Endpoint::unix(papad.unix_path());
    let papa = Papa::connect(&endpoint).unwrap();
    let web = sleeper(&papa, "web");
    let mut watcher = papa.watch(["web"]).on_disconnect(OnDisconnect::Report).start().unwrap();
    next(&mut watcher).acknowledge();
    papad.kill_server();
    assert_eq!(kind(watcher.next_timeout(DEADLINE)), ErrorKind::Disconnected);
    papa.status().unwrap();
    let other = Papa::connect(&endpoint).unwrap();
    assert!(watcher.next_timeout(Duration::from_millis(50)).unwrap().is_none());
    drop(other);
    web.signal(Signal::KILL).unwrap();
    until(&mut watcher, "web closed");
}

/// Bytes that are written by a process of two takers.
const WRITTEN: u64 = 100_000;

/// Two takers of one process, of whom one has taken everything and the other a batch that it holds.
struct TwoTakers {
    hosted: Hosted,
    fast: Watcher,
    slow: Watcher,
    held: Option<Batch>,
}

impl TwoTakers {
    /// `last` is the last event that the faster one is told, if it matters.
    fn of(script: &str, last: &str) -> Self {
        let hosted = Hosted::start();
        let script = format!("head -c {WRITTEN} /dev/zero; {script}");
        hosted.papa.process("web", "/bin/sh").args(["-c", &script]).make().unwrap();
        let mut slow = hosted.papa.watch(["w*"]).window(4096).start().unwrap();
        let mut fast = hosted.papa.watch(["w*"]).start().unwrap();
        let held = Some(next(&mut slow));
        let (mut taken, mut has_ended) = (0, last.is_empty());
        while taken < WRITTEN || !has_ended {
            let batch = next(&mut fast);
            taken += written(&batch);
            has_ended |= batch.iter().any(|event| told(event) == last);
            batch.acknowledge();
        }
        Self { hosted, fast, slow, held }
    }

    /// Reads all that the slower one has not.
    #[track_caller]
    fn assert_slow_gets_the_rest(&mut self, last: &str) {
        let mut position = self.held.as_ref().map_or(0, written);
        self.held.take().into_iter().for_each(Batch::acknowledge);
        let mut has_ended = last.is_empty();
        while position < WRITTEN || !has_ended {
            let batch = next(&mut self.slow);
            for event in &batch {
                assert!(!matches!(event, Event::Lost { .. }), "{event:?}");
                has_ended |= told(event) == last;
            }
            position += written(&batch);
            batch.acknowledge();
        }
        assert_eq!(position, WRITTEN);
    }
}

fn written(batch: &Batch) -> u64 {
    let length = |event| match event {
        Event::Output { bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    batch.iter().map(length).sum()
}

#[test]
fn who_comes_back_first_has_nothing_dropped_that_others_do_not_have() {
    let mut two = TwoTakers::of("sleep 1000", "");
    two.hosted.papad.kill_server();
    assert!(two.fast.next_timeout(Duration::ZERO).unwrap().is_none());
    let info = || two.hosted.papa.processes("web").unwrap().remove(0);
    eventually("the fast one is back", || {
        assert!(two.fast.try_next().unwrap().is_none());
        info().watchers == 1
    });
    two.assert_slow_gets_the_rest("");
    let info = || two.hosted.papa.processes("web").unwrap().remove(0);
    eventually("what both have is dropped", || info().first == WRITTEN);
}

#[test]
fn who_comes_back_first_has_no_end_dropped_that_others_were_not_told() {
    let mut two = TwoTakers::of("true", "web closed");
    let info = || two.hosted.papa.processes("web").unwrap().remove(0);
    eventually("papad has heard of it", || info().watchers == 1);
    for _ in 0..2 {
        two.hosted.papad.kill_server();
        // This session comes back, and what changes something is not asked twice.
        two.hosted.papa.status().unwrap();
        two.hosted.papa.process("web.2", "/bin/echo").make().unwrap();
        until(&mut two.fast, "web.2 closed");
        assert!(two.hosted.papa.remove_process("web.2").is_ok());
    }
    two.assert_slow_gets_the_rest("web closed");
    let is_listed = || two.hosted.papa.process_named("web").unwrap().is_some();
    eventually("nobody needs it any more", || !is_listed());
}

#[test]
fn who_does_not_come_back_is_not_waited_for_for_ever() {
    let mut two = TwoTakers::of("sleep 1000", "");
    two.hosted.papad.kill_server();
    drop(two.slow);
    let info = || two.hosted.papa.processes("web").unwrap().remove(0);
    eventually("what the other has taken is dropped", || {
        assert!(two.fast.try_next().unwrap().is_none());
        info().first == WRITTEN
    });
}
