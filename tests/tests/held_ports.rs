//! What papad holds nobody else may take: no other name, papad, program or user, by whatever options.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use papad_tests::exact::{Exact, number_of, value_of};
use papad_tests::{NOBODY, Papad, as_user, field, is_root, make_stopped};

/// How a rival tries to have the port.
#[derive(Debug, Clone, Copy)]
struct Options {
    reuse_address: bool,
    reuse_port: bool,
}

const ALL: [Options; 4] = [
    Options { reuse_address: false, reuse_port: false },
    Options { reuse_address: true, reuse_port: false },
    Options { reuse_address: false, reuse_port: true },
    Options { reuse_address: true, reuse_port: true },
];

/// Takes an address as any program would.
fn take(address: SocketAddr, kind: SockType, options: Options) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let rival = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&rival, sockopt::ReuseAddr, &options.reuse_address)?;
    setsockopt(&rival, sockopt::ReusePort, &options.reuse_port)?;
    bind(rival.as_raw_fd(), &SockaddrStorage::from(address))?;
    if kind == SockType::Stream {
        listen(&rival, Backlog::new(1)?)?;
    }
    Ok(rival)
}

#[track_caller]
fn is_refused(address: SocketAddr, kind: SockType, options: Options, what: &str) {
    match take(address, kind, options) {
        Ok(_) => panic!("{what}: {address} is taken with {options:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::AddrInUse, "{what}: {address}: {error}"),
    }
}

fn has_ipv6() -> bool {
    let is_there = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !is_there {
        eprintln!("IPv6 is skipped, because this machine has none");
    }
    is_there
}

/// The hosts to hold, and those that a rival may try for each.
fn hosts() -> Vec<(&'static str, Vec<IpAddr>)> {
    let (one, every) = (IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let (six, every6) = (IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv6Addr::UNSPECIFIED));
    if !has_ipv6() {
        return vec![("127.0.0.1", vec![one, every]), ("0.0.0.0", vec![one, every])];
    }
    vec![
        ("127.0.0.1", vec![one, every, every6]),
        ("0.0.0.0", vec![one, every, every6]),
        ("::1", vec![six, every6]),
        ("::", vec![six, every6, one, every]),
    ]
}

fn family_of(host: &str) -> &'static str {
    if host.contains(':') { "inet6" } else { "inet" }
}

#[test]
fn a_port_is_nobody_elses_by_any_option() {
    let (papad, another) = (Papad::start(), Papad::start());
    let (mut papa, mut exact) = (papad.session(), Exact::tcp(&papad));
    let mut rival_papa = another.session();
    let mut rival_exact = Exact::tcp(&another);
    let is_root = is_root("taking a port as somebody else");
    for (host, rivals) in hosts() {
        for (word, kind) in [("stream", SockType::Stream), ("dgram", SockType::Datagram)] {
            for in_protocol_2 in [false, true] {
                let options = format!("family={} type={word} host={host}", family_of(host));
                let port = if in_protocol_2 {
                    number_of(&exact.ask_line(format!("make socket s {options}")), "port") as u16
                } else {
                    let line = papa.ask(format!("make socket s {options}"));
                    field(&line, "port").parse().unwrap()
                };
                let what = format!("{options}, protocol 2: {in_protocol_2}");
                for &rival in &rivals {
                    let address = SocketAddr::from((rival, port));
                    for options in ALL {
                        is_refused(address, kind, options, &what);
                        if is_root {
                            as_user(NOBODY, || is_refused(address, kind, options, &what));
                        }
                    }
                    let family = family_of(&rival.to_string());
                    let make = format!("make socket t family={family} type={word} host={rival}");
                    let plain = format!("{make} port={port}");
                    let shared = format!("{plain} reuseport=1");
                    for (session, make) in [(&mut papa, &plain), (&mut rival_papa, &shared)] {
                        let error = session.ask_for_error(make);
                        assert!(error.contains("Address already in use"), "{what}: {error}");
                    }
                    exact.ask_for("conflict", &shared);
                    rival_exact.ask_for("conflict", &plain);
                }
                papa.ask_expecting("remove sockets s", "");
                // It is free as soon as papad has let go of it.
                take(SocketAddr::from((rivals[0], port)), kind, ALL[0]).unwrap();
            }
        }
    }
}

#[test]
fn a_shared_port_is_shared_with_nobody_who_does_not_ask() {
    let papad = Papad::start();
    let mut session = papad.session();
    let is_root = is_root("taking a port as somebody else");
    for (word, kind) in [("stream", SockType::Stream), ("dgram", SockType::Datagram)] {
        let line = session.ask(format!("make socket s type={word} reuseport=1"));
        let port: u16 = field(&line, "port").parse().unwrap();
        // Before a process has a socket of its own there, and after.
        for has_process in [false, true] {
            if has_process {
                make_stopped(&mut session, word, "", "$(socket.s.fileno)");
            }
            let what = format!("{word}, with a process: {has_process}");
            for rival in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
                let address = SocketAddr::from((rival, port));
                for options in ALL.into_iter().filter(|options| !options.reuse_port) {
                    is_refused(address, kind, options, &what);
                }
                if is_root {
                    for options in ALL {
                        as_user(NOBODY, || is_refused(address, kind, options, &what));
                    }
                }
            }
        }
        session.ask(format!("remove processes {word}"));
        session.ask("remove sockets s");
    }
}

#[test]
fn a_shared_datagram_port_on_every_address_is_the_processes() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make socket s type=dgram host=0.0.0.0 reuseport=1");
    let port: u16 = field(&line, "port").parse().unwrap();
    let script = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); \
                  print(s.getsockname(), flush=True); print(s.recv(9).decode(), flush=True)";
    session.ask(format!(
        "make process p /usr/bin/env python3 -c {} $(socket.s.fileno)",
        papad_tests::argument(script)
    ));
    let mut exact = Exact::tcp(&papad);
    exact.ask("watch p");
    let bound = format!("('0.0.0.0', {port})\n");
    assert_eq!(papad_tests::exact::read_data(&mut exact, bound.len()), bound.as_bytes());
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    sender.send_to(b"here", (Ipv4Addr::new(127, 0, 0, 7), port)).unwrap();
    assert_eq!(papad_tests::exact::read_data(&mut exact, 5), b"here\n");
}

#[test]
fn both_families_have_one_port_where_ipv6_is_alone() {
    if !has_ipv6() {
        return;
    }
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for kind in ["stream", "dgram"] {
        let make = format!("make socket six family=inet6 host=:: v6only=1 type={kind}");
        let six = exact.ask_line(&make);
        let port = number_of(&six, "port");
        assert_eq!(value_of(&six, "v6only"), "1");
        let four = exact.ask_line(format!("make socket four host=0.0.0.0 port={port} type={kind}"));
        assert_eq!(exact.ask_line(&make), six);
        exact.ask_for("exists", "make socket six family=inet6 host=::");
        papad.kill_server();
        exact = Exact::tcp(&papad);
        assert_eq!(exact.ask("list sockets"), [four, six]);
        for address in [
            SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16)),
            SocketAddr::from((Ipv6Addr::LOCALHOST, port as u16)),
        ] {
            if kind == "stream" {
                TcpStream::connect(address).unwrap();
            }
        }
        exact.ask("remove sockets four six");
        // Without it, the one for IPv6 has both.
        let six = exact.ask_line(format!("make socket six family=inet6 host=:: type={kind}"));
        let port = number_of(&six, "port");
        exact.ask_for("conflict", format!("make socket four host=0.0.0.0 port={port} type={kind}"));
        exact.ask("remove sockets six");
    }
}

#[test]
fn a_backlog_that_was_not_asked_for_is_the_systems() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let port = number_of(&exact.ask_line("make socket s"), "port") as u16;
    let most: usize =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let wanted = most.min(64);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let waiting: Vec<TcpStream> = (0..wanted)
        .map(|_| TcpStream::connect_timeout(&address, papad_tests::DEADLINE).unwrap())
        .collect();
    assert_eq!(waiting.len(), wanted);
}
