//! Kills while a socket is made.

use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use papad_tests::kills::{Client, Gone};
use papad_tests::{BANNER, field};

use crate::armed::Armed;

/// An address of this machine that no client's connection begins at, so that its ports are taken
/// by those who listen and nobody else.
const HOST: &str = "127.0.0.2";

/// A port that nobody listens on. papad has had it: a socket of this process would be open for a
/// moment longer in whatever another test is just starting.
fn free_port(armed: &Armed) -> u16 {
    let mut session = armed.papad.session();
    let line = session.ask(format!("make socket free host={HOST}"));
    session.ask_expecting("remove sockets free", "");
    field(&line, "port").parse().unwrap()
}

#[test]
fn killed_between_holding_a_socket_and_the_journal() {
    let armed = Armed::start();
    let before = armed.files();
    let port = free_port(&armed);
    let make = format!("make socket s host={HOST} port={port}");

    let mut session = armed.ask_and_kill_at("socket-held", &make);
    session.ask_expecting("list sockets", "");
    drop(session);
    armed.expect_files(&before);
    assert!(TcpStream::connect((HOST, port)).is_err());

    let mut session = armed.papad.session();
    let line = session.ask(&make);
    assert!(line.starts_with("s family=inet "), "{line}");
    session.ask_expecting("list sockets", &line);
    TcpStream::connect((HOST, port)).unwrap();
    session.ask_expecting("remove sockets s", "");
    drop(session);
    armed.expect_files(&before);
}

#[test]
fn a_port_can_be_had_again_at_once_after_a_kill() {
    let armed = Armed::start();
    let make = format!("make socket s host={HOST} port={}", free_port(&armed));
    for _ in 0..100 {
        armed.arm("socket-held");
        let mut client = Client::connect(&armed.papad).unwrap();
        assert_eq!(client.ask(&make), Err(Gone));
        // The request is there before the next server is.
        let mut session = armed.papad.connect();
        session.send(format!("{make}\n"));
        session.expect(BANNER);
        let line = session.read_reply();
        assert!(line.starts_with("s family=inet "), "{line}");
        session.ask_expecting("remove sockets s", "");
    }
}

#[test]
fn killed_between_holding_a_unix_socket_and_the_journal() {
    let armed = Armed::start();
    let before = armed.files();
    let path = armed.scratch.join("socket");
    let make = format!("make socket s path={path}");

    let mut session = armed.ask_and_kill_at("socket-held", &make);
    session.ask_expecting("list sockets", "");
    let line = session.ask(&make);
    assert!(line.starts_with("s family=unix "), "{line}");
    UnixStream::connect(&path).unwrap();
    session.ask_expecting("remove sockets s", "");
    assert!(UnixStream::connect(&path).is_err());
    drop(session);
    armed.expect_files(&before);
}

#[test]
fn killed_between_the_record_of_a_removal_and_the_rest_of_it() {
    let armed = Armed::start();
    let before = armed.files();
    let path = armed.scratch.join("socket");
    let port = free_port(&armed);
    for options in [format!("path={path}"), format!("host={HOST} port={port}")] {
        let make = format!("make socket s {options}");
        let line = armed.papad.session().ask(&make);
        assert!(line.starts_with("s family="), "{line}");
        let mut session = armed.ask_and_kill_at("socket-unrecorded", "remove sockets s");
        session.ask_expecting("list sockets", "");
        assert!(!Path::new(&path).exists(), "{path} is left");
        assert!(TcpStream::connect((HOST, port)).is_err());
        drop(session);
        armed.expect_files(&before);
    }
}

#[test]
fn a_removal_that_was_finished_is_not_done_again() {
    let armed = Armed::start();
    let path = armed.scratch.join("socket");
    let mut session = armed.papad.session();
    session.ask(format!("make socket s path={path}"));
    session.ask_expecting("remove sockets s", "");
    // What is there now is somebody else's.
    let _listener = UnixListener::bind(&path).unwrap();
    armed.papad.kill_server();
    armed.papad.session().ask_expecting("list sockets", "");
    UnixStream::connect(&path).unwrap();
}
