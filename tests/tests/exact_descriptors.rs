//! Descriptors over a Unix socket: sockets handed in and out, and pidfds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, number_of, script};
use papad_tests::{Papad, ScratchDir, eventually, procfs, wait_readable};

fn papad_at(scratch: &ScratchDir) -> Papad {
    Papad::builder().unix_path(scratch.join("papad.sock")).start()
}

/// Hands papad a socket; returns its line.
fn adopt(exact: &mut Exact, name: &str, socket: &impl AsFd) -> String {
    exact.send_with(format!("adopt socket {name}\n"), &[socket.as_fd()]);
    exact.expect("ok 1\n");
    String::from_utf8(exact.next_line()).unwrap()
}

fn inode(fd: impl AsFd) -> u64 {
    File::from(fd.as_fd().try_clone_to_owned().unwrap()).metadata().unwrap().ino()
}

#[test]
fn a_bound_socket_is_adopted_and_passed_to_a_process() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let line = adopt(&mut exact, "web", &listener);
    assert_eq!(
        line,
        format!(
            "name=web family=inet type=stream backlog=2147483647 host=127.0.0.1 port={port} \
             fileno=3 cookie={}",
            number_of(&line, "cookie")
        )
    );
    assert_eq!(exact.ask_line("list sockets"), line);
    // Adopting the very same one again changes nothing.
    exact.send_with("adopt socket web\n", &[listener.as_fd()]);
    exact.expect(format!("ok 1\n{line}\n"));
    drop(listener);
    papad.kill_server();
    let mut exact = Exact::unix(&papad);
    assert_eq!(exact.ask("list sockets"), [line]);
    // A LISTEN_FDS-aware server: it answers on descriptor 3.
    let server = "import os, socket\n\
        assert os.environ['LISTEN_FDS'] == '1' and os.environ['LISTEN_PID'] == str(os.getpid())\n\
        client, _ = socket.socket(fileno=3).accept()\n\
        client.sendall(os.environ['LISTEN_FDNAMES'].encode())\n";
    exact.ask(format!(
        "make process server listen=web -- python3 -c {}",
        papad_tests::exact::escaped(server.as_bytes())
    ));
    let mut answer = String::new();
    TcpStream::connect(("127.0.0.1", port)).unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "web");
}

#[test]
fn sockets_of_other_kinds_are_adopted() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let path = scratch.join("adopted");
    let unix = UnixListener::bind(&path).unwrap();
    let line = adopt(&mut exact, "unix", &unix);
    let cookie = number_of(&line, "cookie");
    assert_eq!(
        line,
        format!(
            "name=unix family=unix type=stream backlog=2147483647 path={path} fileno=3 \
             cookie={cookie}"
        )
    );
    let udp = UdpSocket::bind("[::1]:0").unwrap();
    let port = udp.local_addr().unwrap().port();
    let line = adopt(&mut exact, "udp", &udp);
    let cookie = number_of(&line, "cookie");
    assert_eq!(
        line,
        format!(
            "name=udp family=inet6 type=dgram backlog=2147483647 host=::1 port={port} fileno=4 \
             cookie={cookie}"
        )
    );
}

#[test]
fn what_cannot_be_hosted_is_refused() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let refuse = |exact: &mut Exact, code: &str, fd: OwnedFd| {
        exact.send_with("adopt socket s\n", &[fd.as_fd()]);
        let refusal = exact.reply().unwrap_err();
        assert_eq!(refusal.code, code, "{refusal:?}");
    };
    refuse(&mut exact, "usage", File::open("/dev/null").unwrap().into());
    refuse(&mut exact, "usage", std::os::unix::net::UnixStream::pair().unwrap().0.into());
    // One that is bound to a path which says nothing without its maker's directory.
    let relative = format!("papad-test-{}", std::process::id());
    let bound = std::os::unix::net::UnixListener::bind(&relative).unwrap();
    std::fs::remove_file(&relative).unwrap();
    refuse(&mut exact, "usage", bound.into());
    exact.ask("make socket s");
    refuse(&mut exact, "exists", TcpListener::bind("127.0.0.1:0").unwrap().into());
    exact.ask_for("usage", "adopt socket");
    exact.ask_for("usage", "adopt socket a b");
    exact.ask_for("usage", "adopt sockets s");
    exact.ask_for("usage", "adopt process p");
    assert_eq!(exact.ask("list sockets").len(), 1);
}

#[test]
fn connections_are_not_adopted() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.connect(listener.local_addr().unwrap()).unwrap();
    for fd in [client.as_fd(), accepted.as_fd(), udp.as_fd()] {
        exact.send_with("adopt socket s\n", &[fd]);
        let refusal = exact.reply().unwrap_err();
        assert_eq!(refusal.what, "It cannot be adopted: it is connected");
    }
    assert!(exact.ask("list sockets").is_empty());
}

#[test]
fn two_descriptors_with_one_line_are_refused() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (one, other) = (bind(), bind());
    exact.send_with("adopt socket s\n", &[one.as_fd(), other.as_fd()]);
    let refusal = exact.reply().unwrap_err();
    assert_eq!(refusal.what, "more than one descriptor came with the line");
    assert!(exact.ask("list sockets").is_empty());
    exact.send_with("adopt socket s\n", &[other.as_fd()]);
    let line = exact.reply().unwrap().remove(0);
    assert_eq!(number_of(&line, "port"), u64::from(other.local_addr().unwrap().port()));
}

#[test]
fn without_a_descriptor_there_is_nothing_to_adopt() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    Exact::unix(&papad).ask_for("denied", "adopt socket s");
    Exact::tcp(&papad).ask_for("denied", "adopt socket s");
}

#[test]
fn a_line_adopts_the_descriptor_that_came_with_it() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (stray, wanted) = (bind(), bind());
    let port = wanted.local_addr().unwrap().port();
    // A refused request has used its descriptor up, and one that takes none has no use for it.
    exact.send_with("adopt socket \"a b\"\n", &[stray.as_fd()]);
    assert_eq!(exact.reply().unwrap_err().code, "usage");
    exact.send_with("set a 1\n", &[stray.as_fd()]);
    exact.expect("ok 0\n");
    exact.send_with("adopt socket web\n", &[wanted.as_fd()]);
    let line = exact.reply().unwrap().remove(0);
    assert_eq!(number_of(&line, "port"), u64::from(port), "{line}");
}

#[test]
fn a_socket_is_fetched() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let port = number_of(&exact.ask_line("make socket web"), "port");
    exact.ask_expecting("fetch socket web", "ok 1\nname=web\n");
    let listener = TcpListener::from(exact.take_descriptor().expect("a descriptor"));
    assert!(exact.take_descriptor().is_none());
    assert_eq!(u64::from(listener.local_addr().unwrap().port()), port);
    exact.ask("remove sockets web");
    let mut client = TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_socket_of_a_shared_port_is_fetched_as_one_of_its_own() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let port = number_of(&exact.ask_line("make socket web reuseport=1"), "port");
    exact.send("fetch socket web\nfetch socket web\n");
    exact.expect("ok 1\nname=web\nok 1\nname=web\n");
    let (one, two) = (exact.take_descriptor().unwrap(), exact.take_descriptor().unwrap());
    assert_ne!(inode(&one), inode(&two));
    for fd in [one, two] {
        assert_eq!(u64::from(TcpListener::from(fd).local_addr().unwrap().port()), port);
    }
}

#[test]
fn a_pidfd_is_fetched() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let pid = number_of(&exact.ask_line("make process p -- /bin/sleep 1000"), "pid");
    exact.ask_expecting("fetch pidfd p", "ok 1\nname=p\n");
    let pidfd = exact.take_descriptor().unwrap();
    let info = procfs::open_files(std::process::id() as i32);
    assert!(info.values().any(|file| file.contains("pidfd")), "{info:?}");
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    // A pidfd can be read from when its process has ended (pidfd_open(2)).
    assert!(wait_readable(&pidfd));
    eventually("it has ended", || exact.ask_line("list processes").contains("signal=9"));
    exact.ask_for("gone", "fetch pidfd p");
}

#[test]
fn what_is_fetched_must_be_there() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    exact.ask_for("not-found", "fetch socket web");
    exact.ask_for("not-found", "fetch pidfd p");
    exact.ask_for("usage", "fetch socket");
    exact.ask_for("usage", "fetch process p");
    exact.ask_for("usage", "fetch pidfd p q");
    exact.ask("make socket web");
    exact.ask_for("not-found", "fetch socket w*");
}

#[test]
fn over_tcp_no_descriptor_travels() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket web");
    exact.ask("make process p -- /bin/sleep 1000");
    for line in ["fetch socket web", "fetch pidfd p", "adopt socket other"] {
        exact.ask_for("denied", line);
    }
    exact.ask_expecting("set a 1", "ok 0\n");
}

#[test]
fn descriptors_come_with_the_first_byte_of_their_reply_among_others() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    for name in ["a", "b", "c"] {
        exact.ask(format!("make socket {name}"));
    }
    let ports = exact.ask("list sockets");
    let mut requests = String::new();
    for _ in 0..50 {
        requests += "get nothing\nfetch socket a\nlist sockets\nfetch socket b\nfetch socket c\n";
    }
    exact.send(requests);
    for _ in 0..50 {
        assert!(exact.reply().is_err());
        for (name, line) in ["a", "b", "c"].into_iter().zip(&ports) {
            assert_eq!(exact.reply(), Ok(vec![format!("name={name}")]));
            let listener = TcpListener::from(exact.take_descriptor().expect("a descriptor"));
            assert_eq!(u64::from(listener.local_addr().unwrap().port()), number_of(line, "port"));
            if name == "a" {
                assert_eq!(exact.reply(), Ok(ports.clone()));
            }
        }
    }
    assert!(exact.take_descriptor().is_none());
}

#[test]
fn descriptors_that_nobody_asked_for_are_closed() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    exact.ask("make process p -- /bin/sleep 1000");
    let server = papad.server_pid();
    let count = || procfs::open_files(server).len();
    let before = count();
    let null = File::open("/dev/null").unwrap();
    for _ in 0..200 {
        exact.send_with("set a 1\n", &[null.as_fd(), null.as_fd(), null.as_fd()]);
        exact.expect("ok 0\n");
    }
    // A few may wait for a request that takes them.
    assert!(count() <= before + 16, "{} of {before}", count());
    exact.ask("watch p");
    for _ in 0..50 {
        exact.send_with("ack p 0\n", &[null.as_fd()]);
    }
    exact.ask_expecting("stop", "end stopped\n");
    assert!(count() <= before + 16, "{} of {before}", count());
    drop(exact);
    eventually("all are closed", || count() < before);
}

#[test]
fn descriptors_do_not_pile_up_over_many_adoptions_and_fetches() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    let server = papad.server_pid();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    exact.ask("make process p -- /bin/sleep 1000");
    let before = procfs::open_files(server).len();
    for _ in 0..100 {
        exact.send_with("adopt socket web\n", &[listener.as_fd()]);
        assert!(exact.reply().is_ok());
        exact.ask("fetch socket web");
        exact.ask("fetch pidfd p");
        exact.ask("remove sockets web");
        exact.take_descriptor().unwrap();
        exact.take_descriptor().unwrap();
    }
    eventually("as many as before", || procfs::open_files(server).len() <= before);
}

#[test]
fn a_watch_goes_over_a_unix_socket_as_well() {
    let scratch = ScratchDir::new();
    let papad = papad_at(&scratch);
    let mut exact = Exact::unix(&papad);
    exact.ask(format!("make process p {}", script("head -c 1000000 /dev/zero; exit 1")));
    exact.ask("watch p");
    let mut length = 0;
    loop {
        match exact.next_seen() {
            Seen::Data { data, .. } => length += data.len(),
            Seen::Closed { .. } => break,
            other => panic!("{other:?}"),
        }
        exact.send(format!("ack p {length}\n"));
    }
    assert_eq!(length, 1_000_000);
}
