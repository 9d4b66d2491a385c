//! Ending all in a process's session, and what a process leaves that another replaces.

use std::time::Duration;

use papa_client::{Batch, Event, Papa, Scope, Signal, StopOptions, Watcher};
use papad_tests::{DEADLINE, Fifo, eventually, procfs};

use crate::{Hosted, kind};

/// No time to end by itself.
const NO_TIME: Duration = Duration::from_millis(1);

/// A shell that ends at SIGTERM, whose child does not; returns the child's pid.
fn make_with_stubborn_child(papa: &Papa, name: &str, fifo: &Fifo) -> i32 {
    let stubborn = format!("trap \"\" TERM; echo $$ >{}; exec sleep 1000", fifo.path());
    let line = format!("sh -c '{stubborn}' & wait");
    papa.process(name, "/bin/sh").args(["-c", &line]).make().unwrap();
    fifo.read_line().parse().unwrap()
}

fn has_ended(pid: i32) -> bool {
    procfs::stat(pid).is_none_or(|stat| stat.is_zombie())
}

#[test]
fn session_is_signaled_and_ended_also_without_its_leader() {
    let hosted = Hosted::start();
    for (papa, fifo) in [(hosted.papa.clone(), "unix"), (hosted.over_tcp(), "tcp")] {
        let fifo = Fifo::new(&hosted.scratch, fifo);
        let child = make_with_stubborn_child(&papa, "web", &fifo);
        let process = papa.process_named("web").unwrap().unwrap();
        let stopped = process.stop_with(Signal::TERM, Scope::Leader, DEADLINE).unwrap();
        assert_eq!(stopped.end.unwrap().signal(), Some(Signal::TERM));
        assert!(!has_ended(child));

        let members = process.members().unwrap();
        assert_eq!(members.iter().map(papa_client::Member::pid).collect::<Vec<_>>(), [child]);
        assert_eq!(process.signal_session(Signal::CONT).unwrap(), 1);
        let lenient = StopOptions::new().grace(NO_TIME).kill(false);
        let stopped =
            papa.stop_all(std::slice::from_ref(&process), lenient).unwrap().remove(0).unwrap();
        assert!(stopped.already && !stopped.is_complete());
        assert_eq!((stopped.descendants, stopped.left), (0, 1));

        let stopped = process.stop_with(Signal::TERM, Scope::Session, NO_TIME).unwrap();
        assert!(stopped.already && stopped.is_complete() && has_ended(child));
        assert_eq!((stopped.descendants, stopped.killed), (1, 1));
        assert!(members[0].has_ended() && process.members().unwrap().is_empty());
        assert_eq!(kind(members[0].signal(Signal::CONT)), papa_client::ErrorKind::Ended);
        papa.remove_process("web").unwrap();
    }
}

#[tokio::test]
async fn session_is_ended_in_calls_to_await() {
    let hosted = Hosted::start();
    let fifo = Fifo::new(&hosted.scratch, "fifo");
    let papa = papa_client::tokio::Papa::connect(&hosted.endpoint()).await.unwrap();
    for scope in [Scope::Session, Scope::Group] {
        let child = make_with_stubborn_child(&hosted.papa, "web", &fifo);
        let process = papa.process_named("web").await.unwrap().unwrap();
        let grace = if scope == Scope::Session { NO_TIME } else { DEADLINE };
        let stopped = process.stop_with(Signal::TERM, scope, grace).await.unwrap();
        assert!(stopped.is_complete() && !stopped.already);
        assert_eq!(has_ended(child), scope == Scope::Session);
        if !has_ended(child) {
            assert_eq!(process.signal_session(Signal::KILL).await.unwrap(), 1);
            eventually("the child has ended", || has_ended(child));
            assert!(process.members().await.unwrap().is_empty());
        }
        assert!(papa.remove_process("web").await.unwrap());
    }
}

/// Batches up to an event of which this holds.
#[track_caller]
fn until(watcher: &mut Watcher, holds: impl Fn(&Event<'_>) -> bool) -> Vec<Batch> {
    let mut batches = Vec::new();
    loop {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time");
        let is_last = batch.iter().any(|event| holds(&event));
        batches.push(batch);
        if is_last {
            return batches;
        }
    }
}

fn output(batches: &[Batch]) -> Vec<u8> {
    let events = batches.iter().flatten();
    let bytes = events.filter_map(|event| match event {
        Event::Output { bytes, .. } => Some(bytes.to_vec()),
        _ => None,
    });
    bytes.flatten().collect()
}

#[test]
fn watcher_gets_all_of_a_process_and_then_its_successor_whatever_is_killed() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let go = Fifo::new(&hosted.scratch, "go");
    let line = format!("echo one; read line <{}; echo two; exit 3", go.path());
    let old = papa.process("web", "/bin/sh").args(["-c", &line]).make().unwrap();
    let mut watcher = papa.watch(["w*"]).start().unwrap();
    let first = until(&mut watcher, |event| matches!(event, Event::Output { .. }));
    first.into_iter().for_each(Batch::acknowledge);
    go.send_line();
    old.wait().unwrap();
    let sleeper = papa.process("web", "/bin/sh").args(["-c", "echo new; exec sleep 1000"]);
    let new = sleeper.replace_ended().make().unwrap();
    assert_eq!(papa.previous("web").unwrap()[0].id, old.id());
    // What it had is not acknowledged, so that it comes again.
    let before = until(&mut watcher, |event| matches!(event, Event::Closed { .. }));
    assert_eq!(output(&before), b"two\n");
    drop(watcher);

    let place =
        |watch: papa_client::WatchBuilder<Papa>| watch.resume_from(old.name().clone(), old.id(), 4);
    let mut watcher = place(papa.watch(["w*"])).start().unwrap();
    for _ in 0..2 {
        hosted.papad.kill_server();
    }
    let again = until(&mut watcher, |event| matches!(event, Event::Closed { .. }));
    assert_eq!(output(&again), b"two\n");
    assert!(again.iter().flatten().all(|event| event.id() == old.id()));
    again.into_iter().for_each(Batch::acknowledge);
    let after = until(&mut watcher, |event| matches!(event, Event::Output { .. }));
    assert_eq!(output(&after), b"new\n");
    assert!(after.iter().flatten().all(|event| event.id() == new.id()));
    after.into_iter().for_each(Batch::acknowledge);
    watcher.stop().unwrap();
    eventually("nothing is left of it", || papa.previous("*").unwrap().is_empty());
}

#[test]
fn replaced_process_is_watched_by_its_id_alone() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let old = papa.process("web", "/bin/echo").arg("one").make().unwrap();
    old.wait().unwrap();
    papa.process("web", "/bin/sleep").arg("1000").replace_ended().make().unwrap();
    let mut seen = Vec::new();
    for batch in papa.watch(["web"]).only(old.id()).start().unwrap() {
        let batch = batch.unwrap();
        seen.extend(output(std::slice::from_ref(&batch)));
        batch.acknowledge();
    }
    assert_eq!(seen, b"one\n");
    let gone = || papa.watch(["web"]).only(old.id()).start();
    eventually("its end is heard of", || papa.previous("web").unwrap().is_empty());
    assert_eq!(kind(gone()), papa_client::ErrorKind::NotFound);
    assert!(!papa.remove_previous("web").unwrap());
    assert_eq!(kind(papa.watch(["w*"]).only(old.id()).start()), papa_client::ErrorKind::Usage);
}
