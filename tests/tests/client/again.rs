//! Processes made again, and in place of those that have ended.

use std::time::Duration;

use nix::unistd::Uid;
use papa_client::{ErrorKind, Papa, Process, Resource, Signal, Stderr};
use papad_tests::exact::{Exact, Seen};
use papad_tests::{Fifo, eventually, procfs};

use crate::{Hosted, kind};

/// A shell that runs this line.
fn make(papa: &Papa, name: &str, line: &str) -> Process {
    papa.process(name, "/bin/sh").args(["-c", line]).env_clear().make().unwrap()
}

#[test]
fn a_process_is_made_again_by_who_does_not_know_what_it_was_made_of() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let old = papa
        .process("web", "/bin/sleep")
        .args(["1000"])
        .env_clear()
        .env("A", "\u{e9}=\n")
        .rlimit(Resource::Nofile, 77, 99)
        .umask(0o027)
        .stderr(Stderr::Merge)
        .linger(Duration::from_millis(7))
        .make()
        .unwrap();
    let again = hosted.over_tcp().process_again("web").unwrap();
    // It is the same in everything.
    assert_eq!(again.make().unwrap().id(), old.id());
    let shown = papa.show_process("web").unwrap();
    let request = again.to_request().unwrap();
    old.kill().unwrap();
    old.wait().unwrap();
    papa.remove_process("web").unwrap();
    assert_eq!(kind(papa.process_again("web")), ErrorKind::NotFound);

    let new = papa.process_of_request(&request).unwrap().make().unwrap();
    assert_ne!(new.id(), old.id());
    assert_eq!(papa.show_process("web").unwrap(), shown);
    assert_eq!(kind(papa.process_of_request("list processes")), ErrorKind::Usage);
    assert_eq!(kind(papa.process_of_request("make")), ErrorKind::Usage);
}

#[test]
fn the_place_of_one_whose_output_nobody_has_taken_is_taken_only_if_asked_for() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let old = make(papa, "web", "echo one");
    let mut exact = Exact::tcp(&hosted.papad);
    exact.ask("watch web");
    while !matches!(exact.next_seen(), Seen::Closed { .. }) {}
    let sleeper = || papa.process("web", "/bin/sleep").arg("1000").env_clear();
    assert_eq!(kind(sleeper().replace_taken().make()), ErrorKind::Exists);

    // Its output is taken, and its end is not: it stays on the list.
    exact.send("ack web 4\nstop\n");
    exact.expect("end stopped\n");
    assert_eq!(papa.processes("web").unwrap()[0].first, 4);
    let new = sleeper().replace_taken().make().unwrap();
    assert_ne!(new.id(), old.id());
    // One that runs is found, and never removed.
    assert_eq!(sleeper().replace_taken().make().unwrap().id(), new.id());
    assert_eq!(sleeper().replace_ended().make().unwrap().id(), new.id());
    assert_eq!(kind(make_other(papa)), ErrorKind::Exists);
    assert!(!papa.processes("web").unwrap()[0].removed);
}

fn make_other(papa: &Papa) -> papa_client::Result<Process> {
    papa.process("web", "/bin/sleep").arg("1001").env_clear().replace_ended().make()
}

#[test]
fn of_many_who_replace_at_the_same_time_all_get_the_same_process() {
    let hosted = Hosted::start();
    make(&hosted.papa, "web", "exit").wait().unwrap();
    let ids = std::thread::scope(|scope| {
        let one = || {
            let papa = hosted.over_tcp();
            let sleeper = papa.process("web", "/bin/sleep").arg("1000").env_clear();
            sleeper.replace_ended().make().unwrap().id()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
        all.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(!hosted.papa.processes("web").unwrap()[0].removed);
}

#[test]
fn a_signal_to_the_group_reaches_the_children() {
    let hosted = Hosted::start();
    for (papa, fifo) in [(hosted.papa.clone(), "unix"), (hosted.over_tcp(), "tcp")] {
        let fifo = Fifo::new(&hosted.scratch, fifo);
        let path = fifo.path();
        let process = make(&papa, "web", &format!("sleep 1000 & echo $! > {path}; wait"));
        let child: i32 = fifo.read_line().parse().unwrap();
        process.signal_group(Signal::TERM).unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(Signal::TERM));
        eventually("the child has ended", || {
            procfs::stat(child).is_none_or(|child| child.is_zombie())
        });
        assert_eq!(kind(process.signal_group(Signal::TERM)), ErrorKind::Ended);
        papa.remove_process("web").unwrap();
    }
}

#[test]
fn whose_papad_is_can_be_asked() {
    let hosted = Hosted::start();
    for papa in [hosted.papa.clone(), hosted.over_tcp()] {
        assert_eq!(papa.owner().unwrap(), Uid::effective().as_raw());
    }
}
