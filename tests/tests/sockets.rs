//! Sockets: what is made of which options, and how they are shown and removed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};
use papad_tests::network::reserve_port;
use papad_tests::{Papad, ScratchDir, field, skip};

fn port_of(line: &str) -> u16 {
    field(line, "port").parse().unwrap()
}

/// Whether somebody listens there.
fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn has_ipv6() -> bool {
    let loopback = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !loopback {
        skip("ipv6", "this machine has no IPv6");
    }
    loopback
}

#[test]
fn without_options_it_is_a_listener_on_the_loopback_at_a_free_port() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s");
    let (port, fileno) = (port_of(&line), field(&line, "fileno"));
    assert_eq!(
        line,
        format!("s family=inet type=stream backlog=5 host=127.0.0.1 port={port} fileno={fileno}")
    );
    session.ask_expecting("list sockets", &line);
    assert!(listens(port));
}

#[test]
fn host_port_and_backlog_are_as_given() {
    let papad = Papad::start();
    let mut session = papad.session();
    let (_reserved, port) = reserve_port();
    let line = session.ask(format!("make socket s backlog=17 port={port} host=127.0.0.2"));
    let fileno = field(&line, "fileno");
    assert_eq!(
        line,
        format!("s family=inet type=stream backlog=17 host=127.0.0.2 port={port} fileno={fileno}")
    );
    TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap();
    assert!(!listens(port));
}

#[test]
fn a_host_name_is_resolved_and_shown_as_it_was_given() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s host=localhost");
    let port = port_of(&line);
    assert!(
        line.starts_with(&format!(
            "s family=inet type=stream backlog=5 host=localhost port={port} fileno="
        )),
        "{line}"
    );
    assert!(listens(port));
    session.ask_for_error("make socket t host=no..such..host");
    session.ask_expecting("list sockets t", "");
}

#[test]
fn inet6_listens_on_its_own_loopback() {
    if !has_ipv6() {
        return;
    }
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s family=inet6");
    let (port, fileno) = (port_of(&line), field(&line, "fileno"));
    assert_eq!(
        line,
        format!("s family=inet6 type=stream backlog=5 host=::1 port={port} fileno={fileno}")
    );
    TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).unwrap();
    let named = session.ask("make socket t family=inet6 host=0::1");
    assert!(named.contains(" family=inet6 ") && named.contains(" host=0::1 "), "{named}");
    TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port_of(&named)))).unwrap();
}

#[test]
fn an_interface_opens_every_address_of_that_device() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s interface=lo");
    let (port, fileno) = (port_of(&line), field(&line, "fileno"));
    assert_eq!(
        line,
        format!(
            "s family=inet type=stream backlog=5 host=0.0.0.0 port={port} interface=lo \
             fileno={fileno}"
        )
    );
    assert!(listens(port));
    TcpStream::connect((Ipv4Addr::new(127, 3, 2, 1), port)).unwrap();
    session.ask_for_error("make socket t interface=nosuchdevice");
    session.ask_expecting("list sockets", line);
}

#[test]
fn an_interface_with_inet6_opens_every_address_too() {
    if !has_ipv6() {
        return;
    }
    let papad = Papad::start();
    let line = papad.session().ask("make socket s family=inet6 interface=lo");
    let (port, fileno) = (port_of(&line), field(&line, "fileno"));
    assert_eq!(
        line,
        format!(
            "s family=inet6 type=stream backlog=5 host=:: port={port} interface=lo \
             fileno={fileno}"
        )
    );
    TcpStream::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).unwrap();
}

#[test]
fn a_datagram_socket_is_bound() {
    let papad = Papad::start();
    let line = papad.session().ask("make socket s type=dgram");
    let (port, fileno) = (port_of(&line), field(&line, "fileno"));
    assert_eq!(
        line,
        format!("s family=inet type=dgram backlog=5 host=127.0.0.1 port={port} fileno={fileno}")
    );
    let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    client.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    // Were nobody bound there, the second send would report the first one's refusal (udp(7)).
    client.send(b"a").unwrap();
    client.send(b"b").unwrap();
}

#[test]
fn a_path_makes_a_unix_socket() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let path = scratch.join("stream");
    let line = session.ask(format!("make socket s path={path}"));
    let fileno = field(&line, "fileno");
    assert_eq!(line, format!("s family=unix type=stream backlog=5 path={path} fileno={fileno}"));
    session.ask_expecting("list sockets", &line);
    UnixStream::connect(&path).unwrap();
    let same = session.ask(format!("make socket s family=unix type=stream path={path}"));
    assert_eq!(same, line);
}

#[test]
fn unix_sockets_come_in_every_type_the_kernel_has() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    // Linux makes a datagram socket of a raw one (unix(7)).
    for kind in ["dgram", "raw"] {
        let path = scratch.join(kind);
        let line = session.ask(format!("make socket {kind} type={kind} path={path}"));
        let fileno = field(&line, "fileno");
        assert_eq!(
            line,
            format!("{kind} family=unix type={kind} backlog=5 path={path} fileno={fileno}")
        );
        UnixDatagram::unbound().unwrap().send_to(b"a", &path).unwrap();
    }
    let path = scratch.join("seqpacket");
    session.ask(format!("make socket seqpacket type=seqpacket path={path}"));
    let client =
        socket::socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
            .unwrap();
    socket::connect(client.as_raw_fd(), &UnixAddr::new(path.as_str()).unwrap()).unwrap();

    let reason = session.ask_for_error("make socket rdm type=rdm");
    assert!(!reason.is_empty());
    session.ask_expecting("list sockets rdm", "");
}

#[test]
fn umask_is_decimal_and_sets_the_mode_of_the_path_alone() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    for (umask, mode) in [(0, 0o777), (0o22, 0o755), (0o77, 0o700), (0o177, 0o600)] {
        let path = scratch.join(&format!("mode{umask}"));
        let line = session.ask(format!("make socket s{umask} umask={umask} path={path}"));
        let fileno = field(&line, "fileno");
        assert_eq!(
            line,
            format!(
                "s{umask} family=unix type=stream backlog=5 path={path} umask={umask} \
                 fileno={fileno}"
            )
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode, "{line}");
    }
    let before = session.run("/bin/sh -c umask").out;
    session.ask(format!("make socket other umask=127 path={}", scratch.join("other")));
    assert_eq!(session.run("/bin/sh -c umask").out, before);
}

#[test]
fn a_stale_path_is_replaced() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let path = scratch.join("stale");
    drop(UnixListener::bind(&path).unwrap());
    papad.session().ask(format!("make socket s path={path}"));
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_path_is_absolute_and_belongs_to_one_name() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let absolute = "Error: Absolute path required for Unix sockets";
    session.ask_expecting("make socket s path=relative", absolute);
    session.ask_expecting("make socket s family=unix", absolute);
    let path = scratch.join("one");
    let line = session.ask(format!("make socket s path={path}"));
    let reason = session.ask_for_error(&format!("make socket t path={path}"));
    assert!(reason.contains(&path), "{reason}");
    session.ask_expecting("list sockets", line);
    UnixStream::connect(&path).unwrap();
    // 108 bytes are all an address has room for (unix(7)).
    session.ask_for_error(&format!("make socket t path={}", scratch.join(&"x".repeat(108))));
    session.ask_for_error(&format!("make socket t path={}", scratch.join("no/such/directory")));
    session.ask_expecting("list sockets t", "");
}

#[test]
fn the_same_name_with_the_same_parameters_is_the_same_socket() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s");
    let port = port_of(&line);
    session.ask_expecting("make socket s", &line);
    session.ask_expecting(format!("make socket s port={port}"), &line);
    session.ask_expecting("make socket s port=0", &line);
    session.ask_expecting("make socket s family=inet type=stream host=127.0.0.1", &line);
    session.ask_expecting("list sockets", &line);
}

#[test]
fn the_same_name_with_other_parameters_is_refused() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s");
    let refused = format!("Error: Socket for s has already been created - {line}");
    session.ask_expecting("make socket s family=inet6", &refused);
    session.ask_expecting("make socket s type=dgram", &refused);
    session.ask_expecting("make socket s backlog=6", &refused);
    session.ask_expecting("make socket s host=127.0.0.2", &refused);
    session.ask_expecting("make socket s path=/tmp/x", &refused);
    session.ask_expecting("make socket s interface=lo", &refused);
    let (_reserved, port) = reserve_port();
    session.ask_expecting(format!("make socket s port={port}"), &refused);
    session.ask_expecting("list sockets", &line);
}

#[test]
fn a_port_in_use_is_named() {
    let papad = Papad::start();
    let mut session = papad.session();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let reason = session.ask_for_error(&format!("make socket s port={port}"));
    assert!(reason.contains(&port.to_string()), "{reason}");
    assert!(reason.contains("in use"), "{reason}");
    session.ask_expecting("list sockets", "");
}

#[test]
fn a_bad_option_makes_nothing() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("make socket", "Error: Socket requires a name");
    for options in [
        "family=klingon",
        "type=round",
        "backlog=many",
        "backlog=-1",
        "port=http",
        "port=65536",
        "port=-1",
        "umask=x path=/tmp/papad-test-never-made",
        "reuseport=perhaps",
        "colour=red",
        "stray",
    ] {
        let value = options.split(['=', ' ']).next().unwrap();
        let reason = session.ask_for_error(&format!("make socket s {options}"));
        assert!(reason.contains(value), "{options}: {reason}");
    }
    session.ask_expecting("list sockets", "");
    assert!(!Path::new("/tmp/papad-test-never-made").exists());
}

#[test]
fn sockets_are_listed_in_order_by_name_wildcard_and_file_number() {
    let papad = Papad::start();
    let mut session = papad.session();
    let other = session.ask("make socket other");
    let second = session.ask("make socket web.2");
    let first = session.ask("make socket web.1");
    let reserved = session.ask("make socket reserved reuseport=1");
    session.ask_expecting("list sockets", format!("{other}\n{reserved}\n{first}\n{second}"));
    session.ask_expecting("list sockets *", format!("{other}\n{reserved}\n{first}\n{second}"));
    session.ask_expecting("list sockets web.*", format!("{first}\n{second}"));
    session.ask_expecting("list sockets web.2 o*", format!("{other}\n{second}"));
    session.ask_expecting("list sockets nothing", "");
    session.ask_expecting(format!("list sockets {}", field(&second, "fileno")), &second);
}

#[test]
fn a_removed_socket_is_closed() {
    let papad = Papad::start();
    let mut session = papad.session();
    let (_reserved, port) = reserve_port();
    session.ask(format!("make socket s port={port}"));
    // More than once: it is closed by the time of the reply, not soon after.
    for _ in 0..20 {
        session.ask_expecting("remove sockets s", "");
        session.ask_expecting("list sockets", "");
        assert!(!listens(port));
        let again = session.ask(format!("make socket s port={port}"));
        assert_eq!(port_of(&again), port);
        assert!(listens(port));
    }
    session.ask_expecting("remove sockets s", "");
    session.ask_expecting("remove sockets s", "Error: s not found");
}

#[test]
fn sockets_are_removed_by_name_wildcard_and_file_number_or_not_at_all() {
    let papad = Papad::start();
    let mut session = papad.session();
    let other = session.ask("make socket other");
    for name in ["web.1", "web.2", "a", "b"] {
        session.ask(format!("make socket {name}"));
    }
    session.ask_expecting("remove sockets web.* a", "");
    let left = session.ask("list sockets");
    session.ask_expecting("remove sockets b nothing", "Error: nothing not found");
    session.ask_expecting("list sockets", &left);
    session.ask_expecting(format!("remove sockets {}", field(&other, "fileno")), "");
    assert!(session.ask("list sockets").starts_with("b "), "b alone is left");
    session.ask_expecting("remove sockets", "");
    session.ask_expecting("list sockets", "");
    session.ask_expecting("remove sockets nothing*", "");
}

#[test]
fn removing_a_unix_socket_unlinks_its_path() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let path = scratch.join("s");
    session.ask(format!("make socket s path={path}"));
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    session.ask_expecting("remove sockets s", "");
    assert!(!Path::new(&path).exists());
    session.ask(format!("make socket other path={path}"));
    UnixStream::connect(&path).unwrap();
}
