//! Sockets that a process shuts down, which does it for all who have them: papad has them listen again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{Shutdown, shutdown};
use papad_tests::exact::{Exact, number_of, read_data, wait_for_end};
use papad_tests::{Papad, ScratchDir, argument, exact};

/// Shuts a hosted socket down as a process that has it does.
fn shut_down(papad: &Papad, name: &str, how: Shutdown) {
    let mut unix = Exact::unix(papad);
    unix.ask_line(format!("fetch socket {name}"));
    let socket = unix.take_descriptor().unwrap();
    shutdown(socket.as_fd().as_raw_fd(), how).unwrap();
}

/// Connects to the socket at a path or port.
type Connect = fn(&str, u16) -> io::Result<()>;

/// The sockets to try, by their options and how to reach them.
fn kinds(scratch: &ScratchDir) -> Vec<(String, Connect)> {
    let four = |_: &str, port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(drop);
    let six = |_: &str, port| TcpStream::connect((Ipv6Addr::LOCALHOST, port)).map(drop);
    let path = scratch.join("s");
    let mut kinds: Vec<(String, Connect)> = vec![
        ("backlog=3".to_owned(), four),
        ("backlog=3 host=0.0.0.0".to_owned(), four),
        (format!("backlog=3 path={path}"), |path: &str, _| UnixStream::connect(path).map(drop)),
    ];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        kinds.push(("backlog=3 family=inet6".to_owned(), six));
    }
    kinds
}

fn without_cookie(line: &str) -> &str {
    line.split_once(" cookie=").unwrap().0
}

#[test]
fn a_socket_listens_again_when_it_is_made_again() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let mut exact = Exact::tcp(&papad);
    let path = scratch.join("s");
    for (options, connect) in kinds(&scratch) {
        let make = format!("make socket s {options}");
        let mut line = exact.ask_line(&make);
        let port = if line.contains("port=") { number_of(&line, "port") as u16 } else { 0 };
        for how in [Shutdown::Read, Shutdown::Both] {
            shut_down(&papad, "s", how);
            connect(&path, port).unwrap_err();
            assert_eq!(exact.ask_line("list sockets"), format!("{line} fault=shut-down"));
            // Whoever kills the server meanwhile changes nothing.
            papad.kill_server();
            exact = Exact::tcp(&papad);
            assert_eq!(exact.ask_line("list sockets"), format!("{line} fault=shut-down"));
            let again = exact.ask_line(&make);
            // Only a new Unix socket listens.
            let is_another = number_of(&again, "cookie") != number_of(&line, "cookie");
            assert_eq!(is_another, line.contains(" family=unix "));
            assert_eq!(without_cookie(&again), without_cookie(&line));
            line = again;
            assert_eq!(exact.ask_line("list sockets"), line);
            connect(&path, port).unwrap();
        }
        // To end sending does nothing to who listens.
        shut_down(&papad, "s", Shutdown::Write);
        assert_eq!(exact.ask_line("list sockets"), line);
        connect(&path, port).unwrap();
        exact.ask("remove sockets s");
    }
}

#[test]
fn a_process_gets_a_socket_that_listens() {
    const SHUT: &str = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).shutdown(2)";
    const ACCEPT: &str = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); \
                          print('ready', flush=True); s.accept(); print('accepted', flush=True)";
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let mut session = papad.session();
    let path = scratch.join("s");
    for (options, connect) in kinds(&scratch) {
        let line = session.ask(format!("make socket s {options}"));
        let port = line.split("port=").nth(1).and_then(|it| it.split(' ').next());
        let port: u16 = port.map_or(0, |port| port.parse().unwrap());
        let run = |name: &str, script: &str| {
            let script = argument(script);
            format!("make process {name} /usr/bin/env python3 -c {script} $(socket.s.fileno)")
        };
        let mut exact = Exact::tcp(&papad);
        session.ask(run("shut", SHUT));
        wait_for_end(&mut exact, "shut");
        connect(&path, port).unwrap_err();
        session.ask(run("accept", ACCEPT));
        exact.ask("watch accept");
        assert_eq!(read_data(&mut exact, 6), b"ready\n");
        connect(&path, port).unwrap();
        assert_eq!(exact::read_data(&mut exact, 9), b"accepted\n");
        exact.leave();
        session.ask("remove processes shut accept");
        session.ask("remove sockets s");
    }
}
