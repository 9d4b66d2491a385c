//! Whose a connection is: on TCP, the user who made the socket at its other end; on a Unix socket, the
//! effective user of whoever connected it, when that was. What becomes of the descriptor, or of the
//! process, changes nothing.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, connect, socket,
};
use papad_tests::{Session, as_user, is_root};

use crate::{House, STRANGER, refused, welcome};

/// A TCP socket that is connected to nobody yet.
fn tcp_socket() -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

fn unix_socket() -> OwnedFd {
    socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}

impl House {
    fn address(&self) -> SockaddrStorage {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.papad.port())).into()
    }

    fn connect_tcp(&self, socket: &OwnedFd) {
        connect(socket.as_raw_fd(), &self.address()).unwrap();
    }

    fn connect_unix(&self, socket: &OwnedFd) {
        let address = UnixAddr::new(self.papad.unix_path()).unwrap();
        connect(socket.as_raw_fd(), &address).unwrap();
    }
}

#[test]
fn another_user_is_refused_by_name_and_root_is_let_in() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    as_user(STRANGER, || {
        refused(house.papad.connect(), STRANGER);
        refused(house.papad.connect_unix(), STRANGER);
    });
    welcome(house.papad.connect());
    welcome(house.papad.connect_unix());
    house.papad.wait_for_log("refused 127.0.0.1:");
    house.papad.wait_for_log(&format!("refused uid {STRANGER} (pid {})", std::process::id()));
    house.is_untouched();
}

#[test]
fn on_tcp_the_user_counts_who_made_the_socket() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    // Made and connected before its process became somebody else, or connected after.
    let (connected, made) = (tcp_socket(), tcp_socket());
    house.connect_tcp(&connected);
    as_user(STRANGER, || {
        welcome(Session::over(connected));
        house.connect_tcp(&made);
        welcome(Session::over(made));
    });
    // And the other way round, as in a program that gains rights.
    let (connected, made) = as_user(STRANGER, || {
        let (connected, made) = (tcp_socket(), tcp_socket());
        house.connect_tcp(&connected);
        (connected, made)
    });
    house.connect_tcp(&made);
    refused(Session::over(connected), STRANGER);
    refused(Session::over(made), STRANGER);
    house.is_untouched();
}

#[test]
fn on_a_unix_socket_the_user_counts_who_connected() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let (connected, made) = (unix_socket(), unix_socket());
    house.connect_unix(&connected);
    as_user(STRANGER, || {
        welcome(Session::over(connected));
        house.connect_unix(&made);
        refused(Session::over(made), STRANGER);
    });
    let (connected, made) = as_user(STRANGER, || {
        let (connected, made) = (unix_socket(), unix_socket());
        house.connect_unix(&connected);
        (connected, made)
    });
    refused(Session::over(connected), STRANGER);
    house.connect_unix(&made);
    welcome(Session::over(made));
    house.is_untouched();
}

/// Takes one connection at `listener`, and carries bytes between it and `onward` until both have
/// ended.
fn relay(listener: &TcpListener, onward: OwnedFd) {
    let (inward, _) = listener.accept().unwrap();
    let onward = TcpStream::from(onward);
    let carry = |mut from: &TcpStream, mut to: &TcpStream| {
        // An end in the middle is an end.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| carry(&inward, &onward));
        carry(&onward, &inward);
    });
}

#[test]
fn through_a_relay_the_user_of_the_relay_counts() {
    if !is_root("relaying as somebody else") {
        return;
    }
    let mut house = House::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let at_relay = || Session::over(TcpStream::connect(("127.0.0.1", port)).unwrap().into());
    let onward = |to: fn(&House, &OwnedFd), socket: OwnedFd| {
        to(&house, &socket);
        socket
    };
    thread::scope(|scope| {
        for (to, socket) in [
            (House::connect_tcp as fn(&House, &OwnedFd), tcp_socket as fn() -> OwnedFd),
            (House::connect_unix, unix_socket),
        ] {
            let listener = &listener;
            let relaying = scope.spawn(move || {
                as_user(STRANGER, || relay(listener, onward(to, socket())));
            });
            refused(at_relay(), STRANGER);
            relaying.join().unwrap();
            // Whoever has something that forwards for others speaks for them.
            let relaying = scope.spawn(move || relay(listener, onward(to, socket())));
            as_user(STRANGER, || welcome(at_relay()));
            relaying.join().unwrap();
        }
    });
    house.is_untouched();
}

#[test]
fn an_ipv6_socket_that_comes_over_ipv4_is_told_by_its_user() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let port = house.papad.port();
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    for address in [SocketAddr::from((mapped, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
    {
        let connect = || match TcpStream::connect(address) {
            Ok(connection) => Some(Session::over(connection.into())),
            Err(error) => {
                eprintln!("not tried, because there is no {address} here: {error}");
                None
            }
        };
        if let Some(guest) = as_user(STRANGER, connect) {
            refused(guest, STRANGER);
        }
        if let Some(guest) = connect() {
            welcome(guest);
        }
    }
    house.is_untouched();
}

#[test]
fn a_unix_connection_that_was_passed_on_is_whose_it_was() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    // As if by SCM_RIGHTS: the same open socket in the hands of another user.
    let theirs = as_user(STRANGER, || UnixStream::connect(house.papad.unix_path()).unwrap());
    refused(Session::over(theirs.into()), STRANGER);
    let ours = UnixStream::connect(house.papad.unix_path()).unwrap();
    as_user(STRANGER, || welcome(Session::over(ours.into())));
    house.is_untouched();
}
