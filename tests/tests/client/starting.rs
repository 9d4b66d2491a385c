//! Starting papad where nobody answers.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use nix::fcntl::{Flock, FlockArg};
use papa_client::{Endpoint, ErrorKind, Papa};
use papad_tests::network::reserve_port;
use papad_tests::{DEADLINE, Papad, ScratchDir, eventually, papad_program, procfs};

use crate::{kind, patient};

/// How many try at once.
const CROWD: usize = 100;

/// Has a crowd connect, or start papad, at the same moment; returns the pids of those they found.
fn crowd(endpoint: &Endpoint) -> Vec<i32> {
    let barrier = Barrier::new(CROWD);
    thread::scope(|scope| {
        let one = || {
            barrier.wait();
            let papa = Papa::connect_or_start(endpoint).unwrap();
            (papa.status().unwrap().pid, papa)
        };
        let crowd: Vec<_> = (0..CROWD).map(|_| scope.spawn(one)).collect();
        let met: Vec<(i32, Papa)> = crowd.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(met[0].1.exit_if_idle().unwrap());
        met.into_iter().map(|(pid, _)| pid).collect()
    })
}

#[track_caller]
fn assert_one_papad(endpoint: &Endpoint) {
    let pids = crowd(endpoint);
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    eventually("papad has left with its last session", || procfs::stat(pids[0]).is_none());
}

#[test]
fn a_crowd_at_a_unix_socket_starts_one_papad() {
    let scratch = ScratchDir::new();
    let endpoint = Endpoint::unix(scratch.join("papad")).program(papad_program());
    assert_one_papad(&patient(endpoint));
}

#[test]
fn a_crowd_at_a_port_starts_one_papad() {
    let (_reserved, port) = reserve_port();
    assert_one_papad(&patient(Endpoint::tcp(port).program(papad_program())));
}

#[test]
fn who_waits_for_another_to_start_papad_does_not_wait_for_the_others_lock() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad");
    let lock = File::create(format!("{path}.lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
    let endpoint = Endpoint::unix(&path).program("/no/such/program").deadline(DEADLINE);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| Papa::connect_or_start(&endpoint).unwrap());
        let papad = Papad::builder().unix_path(&path).start();
        assert_eq!(waiting.join().unwrap().status().unwrap().pid, papad.keeper_pid());
    });
}

#[test]
fn no_papad_is_started_where_it_could_not_be_found_again() {
    for endpoint in [Endpoint::tcp(0), Endpoint::unix("papad")] {
        let endpoint = endpoint.program(papad_program());
        assert_eq!(kind(Papa::connect_or_start(&endpoint)), ErrorKind::Usage, "{endpoint}");
    }
}

#[test]
fn a_papad_that_cannot_start_says_why() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad");
    std::fs::write(&path, "not a socket").unwrap();
    let endpoint = Endpoint::unix(&path).program(papad_program());
    let error = Papa::connect_or_start(&endpoint).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRunning);
    assert!(error.to_string().contains("papad: "), "{error}");
    let endpoint = endpoint.program(PathBuf::from("/no/such/program"));
    assert_eq!(kind(Papa::connect_or_start(&endpoint)), ErrorKind::NotRunning);
}
