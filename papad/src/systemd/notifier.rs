//! The socket on which systemd is told things.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};

use crate::sys;

/// Names the socket: a path, or `@` and an abstract name.
pub(super) const SOCKET: &str = "NOTIFY_SOCKET";

/// A connection to systemd's socket.
pub(super) struct Notifier {
    address: UnixAddr,
    socket: OwnedFd,
}

impl Notifier {
    /// Connects to the socket that the environment names; `None` if it names none.
    ///
    /// # Errors
    /// The name is of another kind, or nobody answers to it.
    pub(super) fn from_environment() -> Option<io::Result<Notifier>> {
        env::var_os(SOCKET).map(|name| Notifier::connect(address(&name)?))
    }

    fn connect(address: UnixAddr) -> io::Result<Notifier> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        connect(socket.as_raw_fd(), &address)?;
        Ok(Notifier { address, socket })
    }

    /// Sends one message, without waiting: false if systemd's queue is full.
    ///
    /// # Errors
    /// Nobody has the socket any more, or the message is not one that can be sent.
    pub(super) fn send(&mut self, text: &str, fds: &[BorrowedFd]) -> io::Result<bool> {
        let sent = sys::send_now(self.socket.as_fd(), text.as_bytes(), fds);
        let errno = |error: &io::Error| error.raw_os_error().map(Errno::from_raw);
        match sent.as_ref().map_err(errno) {
            // Another socket may have its name by now.
            Err(Some(Errno::ECONNREFUSED | Errno::ENOTCONN | Errno::ECONNRESET)) => {
                *self = Notifier::connect(self.address)?;
                sys::send_now(self.socket.as_fd(), text.as_bytes(), fds)
            }
            _ => sent,
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn address(name: &OsStr) -> io::Result<UnixAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => Ok(UnixAddr::new_abstract(name)?),
        path @ [b'/', ..] => Ok(UnixAddr::new(path)?),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("{SOCKET} is neither a path nor an abstract name"),
        )),
    }
}
