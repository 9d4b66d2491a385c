//! What is there still when a manager is killed, and when nothing of papad is left.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::{Papad, Session, field, pid_of, procfs, shell, wait_for_end};

/// A process that runs, one that has ended with 3, a socket and a value; returns the pid of the
/// first and the port.
fn make_everything(session: &mut Session) -> (i32, u16) {
    let running = pid_of(&session.ask("make process running /bin/sleep 1000"));
    session.ask(format!("make process ended {}", shell("echo unread; exit 3")));
    wait_for_end(session, "ended");
    session.ask("set value kept");
    let port = field(&session.ask("make socket web host=127.0.0.1"), "port").parse().unwrap();
    (running, port)
}

fn is_running(pid: i32) -> bool {
    procfs::stat(pid).is_some_and(|stat| !stat.is_zombie())
}

#[test]
fn a_killed_manager_leaves_everything_as_it_is() {
    let papad = Papad::start();
    let mut manager = papad.session();
    let (running, port) = make_everything(&mut manager);
    // It is in the middle of a batch when it dies.
    manager.send("watch processes ended\n");
    manager.expect("Watching 1\nout:ended:");
    drop(manager);

    let mut next = papad.session();
    assert_eq!(pid_of(&next.ask("list processes running")), running);
    assert!(is_running(running));
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(next.ask("get value"), "kept");
    next.watch("ended", 1);
    let ended = &next.watch_on()["ended"];
    assert_eq!((ended.text(), ended.code), ("unread\n", Some(3)));
}

#[test]
fn when_both_were_killed_processes_run_on_and_the_next_papad_knows_nothing_of_them() {
    let mut papad = Papad::start();
    let (running, _) = make_everything(&mut papad.session());
    papad.kill_both();
    assert!(is_running(running));
    let next = Papad::start();
    assert_eq!(next.session().ask("list processes"), "");
    assert_eq!(next.session().ask("get value"), "");
    kill(Pid::from_raw(running), Signal::SIGKILL).unwrap();
}
