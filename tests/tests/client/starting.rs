//! Starting papad where nobody answers.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use papa_client::{Endpoint, ErrorKind, Papa};
use papad_tests::{ScratchDir, eventually, papad_program, procfs};

use crate::kind;

/// How many try at once.
const CROWD: usize = 100;

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

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
    assert_one_papad(&endpoint);
}

#[test]
fn a_crowd_at_a_port_starts_one_papad() {
    assert_one_papad(&Endpoint::tcp(free_port()).program(papad_program()));
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
