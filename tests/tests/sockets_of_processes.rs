//! Sockets in the hands of processes: who gets which, and under what number.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::{Papad, ScratchDir, field, make_stopped, procfs};

fn port_of(line: &str) -> u16 {
    field(line, "port").parse().unwrap()
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

/// The inodes of the sockets that `pid` has open, by descriptor.
fn sockets_of(pid: i32) -> Vec<(i32, u64)> {
    procfs::open_files(pid)
        .into_iter()
        .filter_map(|(number, target)| {
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()?;
            Some((number, inode))
        })
        .collect()
}

#[test]
fn a_process_gets_the_sockets_it_refers_to_and_no_others() {
    let papad = Papad::start();
    let mut session = papad.session();
    let mine = session.ask("make socket web.one");
    session.ask("make socket other");
    let pid = make_stopped(&mut session, "p", "", "$(socket.web.one.fileno)");
    let sockets = sockets_of(pid);
    let inodes: Vec<u64> = sockets.iter().map(|&(_, inode)| inode).collect();
    assert_eq!(inodes, procfs::tcp_listeners(port_of(&mine)));
    assert_eq!(procfs::open_files(pid).len(), 4, "{:?}", procfs::open_files(pid));
    // The argument is the number at which the process finds it.
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(command, format!("/bin/sh\0-c\0kill -STOP $$\0{}\0", sockets[0].0));
}

#[test]
fn a_process_keeps_a_socket_that_is_removed() {
    let papad = Papad::start();
    let mut session = papad.session();
    let port = port_of(&session.ask("make socket s"));
    make_stopped(&mut session, "p", "", "$(socket.s.fileno)");
    session.ask_expecting("remove sockets s", "");
    connect(port).unwrap();
}

#[test]
fn references_are_replaced_wherever_they_stand_in_an_argument() {
    let papad = Papad::start();
    let mut session = papad.session();
    let port = port_of(&session.ask("make socket web.1"));
    let words = "/bin/echo --port=$(socket.web.1.port)! $(socket.web.1.port):$(socket.web.1.port)";
    let line = session.ask(format!("make process p {words}"));
    // The line keeps the words as they were given.
    assert!(line.ends_with(&format!(" args={words}")), "{line}");
    session.watch("p", 1);
    assert_eq!(session.watch_on()["p"].text(), format!("--port={port}! {port}:{port}\n"));
}

#[test]
fn a_bad_reference_makes_no_process() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask("make socket s");
    let make = |word: &str| format!("make process p /bin/echo {word}");
    session.ask_expecting(make("$(socket.nothing.port)"), "Error: Socket nothing not found");
    session.ask_expecting(make("a$(socket.nothing.fileno)b"), "Error: Socket nothing not found");
    for word in ["$(socket.s.port", "$(socket.s.path)", "$(socket.s)", "$(socket.)"] {
        session.ask_for_error(&make(word));
    }
    session.ask_expecting("list processes", "");
}

#[test]
fn with_reuseport_every_process_gets_a_socket_of_its_own() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s reuseport=1");
    let port = port_of(&line);
    assert_eq!(
        line,
        format!("s family=inet type=stream backlog=5 host=127.0.0.1 port={port} reuseport=1")
    );
    // Nobody listens before there is a process.
    assert_eq!(procfs::tcp_listeners(port), []);
    let first = sockets_of(make_stopped(&mut session, "one", "", "$(socket.s.fileno)"));
    connect(port).unwrap();
    let second = sockets_of(make_stopped(&mut session, "two", "", "$(socket.s.fileno)"));
    let listening: BTreeSet<u64> = procfs::tcp_listeners(port).into_iter().collect();
    let theirs: BTreeSet<u64> = first.iter().chain(&second).map(|&(_, inode)| inode).collect();
    assert_eq!(theirs.len(), 2, "{first:?} {second:?}");
    assert_eq!(theirs, listening);
    session.ask_expecting("list sockets", line);
}

#[test]
fn ending_papad_unlinks_its_paths_and_leaves_the_processes_alone() {
    let scratch = ScratchDir::new();
    let mut papad = Papad::builder().unix_path(scratch.join("papad.sock")).start();
    let mut session = papad.session();
    let path = scratch.join("s");
    session.ask(format!("make socket s path={path}"));
    let pid = make_stopped(&mut session, "p", "", "$(socket.s.fileno)");
    kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGTERM).unwrap();
    assert_eq!(papad.wait_for_exit().code(), Some(0), "{}", papad.log());
    assert!(!Path::new(&path).exists());
    assert!(!papad.unix_path().exists());
    let left = procfs::stat(pid).expect("the process is still there");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    assert_eq!(left.state, 'T');
}
