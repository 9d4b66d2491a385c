//! Whether a socket was shut down (shutdown(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use crate::limit;

/// Whether nothing can be received, or accepted, from a Unix socket any more.
pub(crate) fn is_shut_for_reading(socket: BorrowedFd) -> io::Result<bool> {
    let mut polled = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    let now = 0;
    // SAFETY: `polled` is one pollfd, and valid for writes.
    let poll = || Errno::result(unsafe { libc::poll(&raw mut polled, 1, now) });
    limit::uninterrupted(poll)?;
    Ok(polled.revents & libc::POLLRDHUP != 0)
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn only_an_end_of_receiving_counts() {
        for (how, expected) in
            [(Shutdown::Write, false), (Shutdown::Read, true), (Shutdown::Both, true)]
        {
            let (stream, _peer) = UnixStream::pair().unwrap();
            let (datagram, _peer) = UnixDatagram::pair().unwrap();
            assert!(!is_shut_for_reading(stream.as_fd()).unwrap());
            stream.shutdown(how).unwrap();
            datagram.shutdown(how).unwrap();
            assert_eq!(is_shut_for_reading(stream.as_fd()).unwrap(), expected, "{how:?}");
            assert_eq!(is_shut_for_reading(datagram.as_fd()).unwrap(), expected, "{how:?}");
        }
    }
}
