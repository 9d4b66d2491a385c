//! Sessions: whom they speak with, how long they wait, and what they do when the server is killed.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use papa_client::{Endpoint, ErrorKind, Papa};
use papad_tests::network::{has_ip, in_new_network};
use papad_tests::{DEADLINE, Papad, ScratchDir, is_root};

use crate::{Hosted, continue_server, kind, stop_server};

#[test]
fn papad_tells_how_it_is_doing() {
    let hosted = Hosted::start();
    hosted.papa.set("a", "1").unwrap();
    let status = hosted.papa.status().unwrap();
    assert_eq!(status.pid, hosted.papad.keeper_pid());
    assert_eq!(status.server, hosted.papad.server_pid());
    assert_eq!((status.values, status.processes, status.sockets), (1, 0, 0));
    assert_eq!((status.starts, status.last_end.as_str()), (1, "none"));
    assert!(status.descriptors < status.descriptors_allowed);
    assert_eq!(status.sessions[0].protocol, 2);
    let values = status.limits.iter().find(|limit| limit.name == "values").unwrap();
    assert_eq!((values.used, values.allowed), (1, 100_000));
    hosted.papad.kill_server();
    let status = hosted.papa.status().unwrap();
    assert_eq!((status.starts, status.last_end.as_str()), (2, "signal-9"));
    assert!(hosted.papa.help().unwrap().contains("status"));
}

#[test]
fn a_request_longer_than_papad_takes_is_refused_and_the_next_is_done() {
    let scratch = ScratchDir::new();
    let papad =
        Papad::builder().unix_path(scratch.join("papad")).arg("--max-line").arg("1k").start();
    for endpoint in [Endpoint::tcp(papad.port()), Endpoint::unix(papad.unix_path())] {
        let papa = Papa::connect(&endpoint).unwrap();
        let error = papa.set("a", "x".repeat(2_000_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert_eq!(error.to_string(), "a line may have at most 1024 bytes");
        // papad has hung up, or is about to. What only looks is asked again on another connection.
        papa.get("a").unwrap();
        papa.set("a", "1").unwrap();
    }
}

#[test]
fn papad_leaves_when_it_is_idle() {
    let scratch = ScratchDir::new();
    let mut papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let papa = Papa::connect(&Endpoint::unix(papad.unix_path())).unwrap();
    papa.set("a", "1").unwrap();
    assert!(!papa.exit_if_idle().unwrap());
    papa.unset("a").unwrap();
    assert!(papa.exit_if_idle().unwrap());
    drop(papa);
    assert!(papad.wait_for_exit().success());
}

#[test]
fn a_session_goes_on_with_the_next_server() {
    let hosted = Hosted::start();
    for papa in [hosted.papa.clone(), hosted.over_tcp()] {
        papa.set("a", "1").unwrap();
        for round in 0..10 {
            hosted.papad.kill_server();
            assert_eq!(papa.get("a").unwrap().unwrap(), b"1", "{round}");
        }
    }
}

#[test]
fn owner_is_found_in_the_network_of_the_thread_that_connects() {
    if !is_root("to make a network namespace") || !has_ip() {
        return;
    }
    in_new_network(|| {
        let papad = Papad::start();
        let papa = Papa::connect(&Endpoint::tcp(papad.port())).unwrap();
        assert!(papa.status().is_ok());
    });
}

#[test]
fn where_nobody_listens_papad_does_not_run() {
    let scratch = ScratchDir::new();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    assert_eq!(kind(Papa::connect(&Endpoint::tcp(free))), ErrorKind::NotRunning);
    let path = scratch.join("papad");
    assert_eq!(kind(Papa::connect(&Endpoint::unix(&path))), ErrorKind::NotRunning);
    // A socket whose owner is gone.
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(kind(Papa::connect(&Endpoint::unix(&path))), ErrorKind::NotRunning);
}

#[test]
fn a_call_fails_when_its_deadline_has_passed_and_the_next_ones_answer_is_its_own() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    papa.set("a", "1").unwrap();
    papa.set("b", "2").unwrap();
    let server = stop_server(&hosted.papad);
    papa.set_deadline(Duration::from_millis(20));
    let begun = Instant::now();
    assert_eq!(kind(papa.get("a")), ErrorKind::Timeout);
    assert!(begun.elapsed() >= Duration::from_millis(20));
    continue_server(server);
    papa.set_deadline(DEADLINE);
    assert_eq!(papa.get("b").unwrap().unwrap(), b"2");
}

#[test]
fn what_is_not_papad_is_found_out() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let stranger = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"220 mail.example.org ESMTP\r\n").unwrap();
        connection
    });
    assert_eq!(kind(Papa::connect(&Endpoint::tcp(port))), ErrorKind::Protocol);
    drop(stranger.join().unwrap());
}

#[test]
fn papads_own_bounds_are_told() {
    let papad = Papad::builder().arg("--max-sessions=1").start();
    let endpoint = Endpoint::tcp(papad.port());
    let first = Papa::connect(&endpoint).unwrap();
    let error = Papa::connect(&endpoint).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("at most 1"), "{error}");
    first.status().unwrap();
}

#[test]
fn threads_share_a_session() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    thread::scope(|scope| {
        for thread in 0..8 {
            let papa = papa.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let name = format!("{thread}.{round}");
                    papa.set(&name, &name).unwrap();
                    assert_eq!(papa.get(&name).unwrap().unwrap(), name.as_bytes());
                }
            });
        }
    });
    assert_eq!(papa.values("*").unwrap().len(), 400);
}
