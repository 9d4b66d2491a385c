//! Peers that are gone before papad has looked at them, and others who have their port by then.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;
use papad_tests::{Session, as_user, eventually, is_root, procfs};

use crate::{House, MISCHIEF, STRANGER, welcome};

/// The server accepts nothing while this lives.
struct Held<'a>(&'a House, Pid);

impl<'a> Held<'a> {
    fn new(house: &'a House) -> Self {
        let server = Pid::from_raw(house.papad.server_pid());
        kill(server, Signal::SIGSTOP).unwrap();
        eventually("each thread of the server has stopped", || {
            let threads = fs::read_dir(format!("/proc/{server}/task")).unwrap().flatten();
            let states = threads.map(|thread| fs::read_to_string(thread.path().join("status")));
            states.flatten().all(|status| status.contains("State:\tT"))
        });
        Self(house, server)
    }

    /// A stranger connects, tries mischief, and leaves, by a reset or in order; returns where it was.
    fn stranger_was_here(&self, by_reset: bool) -> SocketAddr {
        let was_at = as_user(STRANGER, || {
            // Bound before it connects, the port is no other connection's.
            let mut guest = File::from(connect_from((Ipv4Addr::LOCALHOST, 0).into(), self.0));
            guest.write_all(MISCHIEF.as_bytes()).unwrap();
            if by_reset {
                let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&guest, sockopt::Linger, &at_once).unwrap();
            }
            TcpStream::from(OwnedFd::from(guest)).local_addr().unwrap()
        });
        // Whatever another test is just starting has it open for a moment longer.
        eventually("the stranger has left", || !procfs::is_connected_from(was_at.port()));
        was_at
    }
}

/// Connects to papad from this address.
fn connect_from(address: SocketAddr, house: &House) -> OwnedFd {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None);
    let socket = socket.unwrap();
    setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    let papad = SocketAddr::from((Ipv4Addr::LOCALHOST, house.papad.port()));
    connect(socket.as_raw_fd(), &SockaddrStorage::from(papad)).unwrap();
    socket
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = kill(self.1, Signal::SIGCONT);
    }
}

#[test]
fn who_sends_and_leaves_is_not_heard() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let held = Held::new(&house);
    for by_reset in [false, true] {
        held.stranger_was_here(by_reset);
    }
    drop(held);
    house.papad.wait_for_log("it is gone already");
    house.papad.wait_for_log("it cannot be told who it is");
    house.is_untouched();
}

#[test]
fn who_left_is_not_taken_for_the_one_who_connects_from_the_same_port() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let held = Held::new(&house);
    let was_at = held.stranger_was_here(true);
    let ours = connect_from(was_at, &house);
    drop(held);
    welcome(Session::over(ours));
    house.papad.wait_for_log("it is gone already");
    house.is_untouched();
}

#[test]
fn who_left_is_not_taken_for_the_one_who_listens_on_the_same_port() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let held = Held::new(&house);
    let was_at = held.stranger_was_here(true);
    let _ours = TcpListener::bind(was_at).unwrap();
    drop(held);
    house.papad.wait_for_log("it is gone already");
    house.is_untouched();
}
