//! Locks: one holder at a time, and none that is dead.

use std::env;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use papa_client::{Endpoint, ErrorKind, Lock, Papa};
use papad_tests::{DEADLINE, eventually, wait_readable};

use crate::{Hosted, kind};

/// Set in the environment of a test program that is to hold a lock: the endpoint.
const HOLD: &str = "PAPA_CLIENT_TEST_HOLDS_LOCK_AT";

#[test]
fn one_holds_a_lock_until_it_gives_it_back() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
    assert!(lock.is_held());
    assert_eq!(lock.name(), &"manager");
    assert!(Lock::try_acquire(&endpoint, "manager").unwrap().is_none());
    assert!(Lock::try_acquire(&endpoint, "other").unwrap().is_some());
    let soon = Duration::from_millis(1);
    assert_eq!(kind(Lock::acquire(&endpoint, "manager", soon)), ErrorKind::Timeout);
    assert!(lock.release().unwrap());
    assert!(Lock::try_acquire(&endpoint, "manager").unwrap().is_some());
}

#[test]
fn who_waits_gets_a_lock_that_is_dropped() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Lock::acquire(&endpoint, "manager", DEADLINE).unwrap());
        drop(lock);
        assert!(waiting.join().unwrap().is_held());
    });
}

#[test]
fn a_lock_does_not_outlive_its_holder() {
    if let Some(endpoint) = env::var_os(HOLD) {
        let endpoint = Endpoint::parse(endpoint).unwrap();
        let _lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
        println!("held");
        loop {
            std::thread::park();
        }
    }
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "locks::a_lock_does_not_outlive_its_holder", "--nocapture"])
        .env(HOLD, endpoint.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(said.map_while(Result::ok).any(|line| line.contains("held")));
    assert!(Lock::try_acquire(&endpoint, "manager").unwrap().is_none());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(Lock::acquire(&endpoint, "manager", DEADLINE).unwrap().is_held());
}

#[test]
fn a_holder_learns_that_its_lock_is_lost_with_papads_server() {
    let hosted = Hosted::start();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").unwrap().unwrap();
    hosted.papad.kill_server();
    assert!(wait_readable(&lock.as_fd()), "the lock's descriptor does not tell");
    assert!(!lock.is_held());
    assert_eq!(kind(lock.check()), ErrorKind::Disconnected);
    assert_eq!(kind(lock.release()), ErrorKind::Disconnected);
    assert!(Lock::try_acquire(&hosted.endpoint(), "manager").unwrap().is_some());
}

#[test]
fn a_lock_that_is_kept_outlives_papads_server() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
    let lock = lock.keep(|lost| panic!("{lost}")).unwrap();
    let value = || hosted.papa.get("manager").unwrap();
    let before = value();
    for _ in 0..5 {
        hosted.papad.kill_server();
        eventually("the lock is back", || value() == before);
        assert!(lock.lost().is_none());
    }
    assert!(Lock::try_acquire(&endpoint, "manager").unwrap().is_none());
    assert!(lock.release().unwrap());
    assert!(Lock::try_acquire(&endpoint, "manager").unwrap().is_some());
}

#[test]
fn the_loss_of_a_lock_that_is_kept_is_an_event() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    for is_removed in [true, false] {
        let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
        let (tell, told) = mpsc::channel();
        let lock = lock.keep(move |lost| tell.send(lost.to_string()).unwrap()).unwrap();
        let expected = if is_removed {
            assert!(hosted.papa.unset("manager").unwrap());
            "the lock manager is lost: somebody has removed it"
        } else {
            hosted.papa.set("manager", "another").unwrap();
            "the lock manager is lost: somebody else has it"
        };
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), expected);
        assert!(wait_readable(&lock.as_fd()), "the lock's descriptor does not tell");
        assert_eq!(lock.lost().unwrap().to_string(), expected);
        assert!(!lock.release().unwrap());
    }
}

#[test]
fn a_lock_that_is_kept_is_lost_to_who_was_faster() {
    let hosted = Hosted::start();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").unwrap().unwrap();
    let (tell, told) = mpsc::channel();
    hosted.papad.kill_server();
    // Before there is anybody who would take it again. The server may end under the first try.
    while hosted.papa.set("manager", "another").is_err() {}
    let lock = lock.keep(move |lost| tell.send(lost.to_string()).unwrap()).unwrap();
    assert_eq!(
        told.recv_timeout(DEADLINE).unwrap(),
        "the lock manager is lost: somebody else has it"
    );
    assert!(!lock.release().unwrap());
}

#[test]
fn a_lock_that_is_kept_and_dropped_is_free() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
    drop(lock.keep(|lost| panic!("{lost}")).unwrap());
    assert!(Lock::acquire(&endpoint, "manager", DEADLINE).unwrap().is_held());
}

#[test]
fn a_holder_learns_that_somebody_has_removed_its_value() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").unwrap().unwrap();
    assert!(lock.check().unwrap());
    assert!(Papa::connect(&endpoint).unwrap().unset("manager").unwrap());
    assert!(!lock.check().unwrap());
    assert!(!lock.release().unwrap());
}
