//! Watchers whose server is killed all the time.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use papa_client::{Batch, End, Endpoint, ErrorKind, Event, Mode, OnDisconnect, Papa, Signal};
use papad_tests::{DEADLINE, Papad, ScratchDir, wait_readable};

use crate::flood::Flood;
use crate::{Hosted, kind};

/// How often the server is killed.
const KILLS: usize = 1000;

#[test]
fn each_byte_comes_once_through_a_thousand_kills() {
    let hosted = Hosted::start();
    watch_through_kills(&hosted, &hosted.papa, KILLS);
}

#[test]
fn each_byte_comes_once_over_tcp_too() {
    let hosted = Hosted::start();
    watch_through_kills(&hosted, &hosted.over_tcp(), KILLS / 10);
}

/// Watches a flood while the server is killed again and again, and to its end.
fn watch_through_kills(hosted: &Hosted, papa: &Papa, kills: usize) {
    let flood = Flood::make_endless(papa, "web");
    let mut watcher = papa.watch(["w*"]).start().unwrap();
    let mut check = flood.check();
    let mut held: Vec<Batch> = Vec::new();
    for round in 0..kills {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time");
        check.take(&batch);
        held.push(batch);
        // Acknowledged before the kill, after it, or several later: it makes no difference.
        match round % 4 {
            0 => held.drain(..).for_each(Batch::acknowledge),
            1 => {}
            _ => {
                hosted.papad.kill_server();
                held.drain(..).for_each(Batch::acknowledge);
                continue;
            }
        }
        hosted.papad.kill_server();
    }
    let position = check.position();
    held.drain(..).for_each(Batch::acknowledge);
    flood.process.kill().unwrap();
    while !check.is_closed() {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("the end comes");
        check.take(&batch);
        batch.acknowledge();
    }
    assert!(check.position() >= position);
    watcher.stop().unwrap();
    assert!(hosted.papa.processes("*").unwrap().is_empty());
    assert!(papa.status().unwrap().starts > kills as u64 / 2);
}

#[test]
fn who_looks_misses_nothing_through_kills_either() {
    let hosted = Hosted::start();
    let flood = Flood::make_kept(&hosted.papa, "web", 200_000);
    let mut watcher = hosted.papa.watch(["web"]).mode(Mode::Peek).start().unwrap();
    let mut check = flood.check();
    while !check.is_closed() {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time");
        check.take(&batch);
        hosted.papad.kill_server();
        batch.acknowledge();
    }
    assert!(watcher.next().is_none());
}

#[test]
fn ends_come_once_through_kills() {
    const LIVES: usize = 200;
    let hosted = Hosted::start();
    let mut watcher = hosted.papa.watch(["life.*"]).start().unwrap();
    let mut ends: BTreeMap<String, Vec<End>> = BTreeMap::new();
    for life in 0..LIVES {
        let name = format!("life.{life}");
        let script = format!("echo $$; exit {}", life % 100);
        let process = loop {
            // A request whose answer was lost was done or was not: to ask again is right as long
            // as nobody has taken the end of this process off the list.
            match hosted.papa.process(&name, "/bin/sh").args(["-c", &script]).make() {
                Err(error) if error.kind() == ErrorKind::Disconnected => {}
                made => break made.unwrap(),
            }
        };
        hosted.papad.kill_server();
        while ends.len() <= life {
            let batch = watcher.next_timeout(DEADLINE).unwrap().expect("the end comes");
            for event in &batch {
                if let Event::Closed { name, id, end, .. } = event {
                    assert_eq!(id, process.id());
                    ends.entry(name.to_string()).or_default().push(end);
                }
            }
            if life % 2 == 0 {
                hosted.papad.kill_server();
            }
            batch.acknowledge();
        }
    }
    watcher.stop().unwrap();
    for life in 0..LIVES {
        assert_eq!(ends[&format!("life.{life}")], [End::Exited(life as i32 % 100)]);
    }
    assert!(hosted.papa.processes("*").unwrap().is_empty());
}

#[test]
fn who_wants_to_know_is_told_of_each_kill() {
    let hosted = Hosted::start();
    let flood = Flood::make_endless(&hosted.papa, "web");
    let watch = hosted.papa.watch(["web"]).on_disconnect(OnDisconnect::Report);
    let mut watcher = watch.start().unwrap();
    let mut check = flood.check();
    let mut told = 0;
    for _ in 0..10 {
        let kills = told + 1;
        hosted.papad.kill_server();
        while told < kills {
            match watcher.next_timeout(DEADLINE) {
                Ok(batch) => {
                    let batch = batch.expect("a batch or the news comes");
                    check.take(&batch);
                    batch.acknowledge();
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Disconnected);
                    told += 1;
                }
            }
        }
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("it goes on");
        check.take(&batch);
        batch.acknowledge();
    }
    flood.process.kill().unwrap();
}

#[test]
fn what_another_papad_has_is_not_taken_for_the_old() {
    let scratch = ScratchDir::new();
    let start = || Papad::builder().unix_path(scratch.join("papad")).start();
    let endpoint = Endpoint::unix(scratch.join("papad"));
    let papad = start();
    let papa = Papa::connect(&endpoint).unwrap();
    papa.process("web", "/bin/sleep").arg("1000").make().unwrap();
    let mut watcher = papa.watch(["w*"]).start().unwrap();
    let first = watcher.next_timeout(DEADLINE).unwrap().expect("it joins");
    let Some(Event::Joined { id: old, .. }) = first.iter().next() else { panic!("{first:?}") };
    first.acknowledge();
    drop(papad);
    let papad = start();
    // The new papad counts its processes from the beginning, too.
    papa.process("web", "/bin/echo").arg("one").make().unwrap();
    let mut told = Vec::new();
    while !told.iter().any(|event: &String| event.starts_with("closed")) {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("the new process is watched");
        for event in &batch {
            told.push(match event {
                Event::Removed { id, .. } => format!("removed {}", id == old),
                Event::Joined { id, position, .. } => format!("joined {} {position}", id == old),
                Event::Output { position, .. } => format!("output {position}"),
                Event::Closed { end, .. } => format!("closed {end}"),
                event => panic!("{event:?}"),
            });
        }
        batch.acknowledge();
    }
    assert_eq!(told, ["removed true", "joined false 0", "output 0", "closed exit status 0"]);
    drop(papad);
}

#[test]
fn a_papad_that_is_gone_is_an_error_in_time() {
    let Hosted { papa, papad, scratch: _scratch } = Hosted::start();
    papa.process("web", "/bin/sleep").arg("1000").make().unwrap();
    // Time enough for the watch to begin, on any machine.
    papa.set_deadline(std::time::Duration::from_secs(2));
    let mut watcher = papa.watch(["web"]).start().unwrap();
    watcher.next_timeout(DEADLINE).unwrap().expect("it joins").acknowledge();
    drop(papad);
    assert_eq!(kind(watcher.next_timeout(DEADLINE)), ErrorKind::NotRunning);
    assert!(wait_readable(&watcher.as_fd()), "the descriptor does not tell that time is up");
    assert_eq!(watcher.next().map(kind), Some(ErrorKind::NotRunning));
    assert_eq!(kind(papa.get("a")), ErrorKind::NotRunning);
    assert_eq!(kind(watcher.stop()), ErrorKind::NotRunning);
}

#[test]
fn a_process_that_was_removed_meanwhile_is_told() {
    let hosted = Hosted::start();
    let web = hosted.papa.process("web", "/bin/sleep").arg("1000").make().unwrap();
    let watch = hosted.papa.watch(["web"]).on_disconnect(OnDisconnect::Report);
    let mut watcher = watch.start().unwrap();
    watcher.next_timeout(DEADLINE).unwrap().expect("it joins").acknowledge();
    hosted.papad.kill_server();
    assert_eq!(kind(watcher.next_timeout(DEADLINE)), ErrorKind::Disconnected);
    // This session has come back, too, once it was asked something.
    hosted.papa.status().unwrap();
    hosted.papa.remove_process("web").unwrap();
    let batch = watcher.next_timeout(DEADLINE).unwrap().expect("the news comes");
    assert!(matches!(batch.iter().next(), Some(Event::Removed { id, .. }) if id == web.id()));
    batch.acknowledge();
    assert!(watcher.next().is_none());
    web.signal(Signal::KILL).unwrap();
}
