//! Network namespaces and ports of a test's own.

use std::os::fd::{AsRawFd, OwnedFd};
use std::panic::resume_unwind;
use std::process::{Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, sockopt};

use crate::skip;

/// A port of 127.0.0.1 that nobody else is given, by bind(2) or connect(2), for as long as the
/// socket that is bound there lives. It is not listened on, and bound with `SO_REUSEADDR`, so that
/// whoever asks for this very port in the same way, as papad does, has it.
#[must_use]
pub fn reserve_port() -> (OwnedFd, u16) {
    let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    let bound = socket::socket(AddressFamily::Inet, kind, flags, None).unwrap();
    socket::setsockopt(&bound, sockopt::ReuseAddr, &true).unwrap();
    socket::bind(bound.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
    let port = socket::getsockname::<SockaddrIn>(bound.as_raw_fd()).unwrap().port();
    (bound, port)
}

/// Whether ip(8) is there to make interfaces with.
#[must_use]
pub fn has_ip() -> bool {
    let has = Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has {
        skip("ip", "there is no program ip: it is in Debian's package iproute2");
    }
    has
}

/// Runs ip(8) in the calling thread's network namespace.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}: {status}");
}

/// Runs `act` on a thread that has a network of its own, in which there is nothing but its loopback
/// addresses, and returns what it returned. Processes that `act` starts share that network.
///
/// # Panics
/// When `act` does, or when this process may not make namespaces.
pub fn in_new_network<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            act()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
