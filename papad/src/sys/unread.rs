//! Whether what was sent over a connection was read at its other end.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockname};

/// Bytes on their way to a peer on this machine, or waiting there to be read. For a Unix socket,
/// the memory that they take.
pub(crate) fn unread_by_peer(connection: BorrowedFd) -> io::Result<u32> {
    let local: SockaddrStorage = getsockname(connection.as_raw_fd())?;
    let peer: SockaddrStorage = getpeername(connection.as_raw_fd())?;
    match (internet_address(&peer), internet_address(&local)) {
        (Some(peer), Some(local)) => Ok(super::tcp_peer(peer, local)?.unread),
        _ => unread_of_unix(connection),
    }
}

fn unread_of_unix(connection: BorrowedFd) -> io::Result<u32> {
    let mut unread = 0_i32;
    // SAFETY: SIOCOUTQ, which has TIOCOUTQ's number, writes one int, for which `unread` is valid.
    let result = unsafe { libc::ioctl(connection.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
    Errno::result(result)?;
    Ok(unread.unsigned_abs())
}

/// The internet address that this is, if it is one.
pub(crate) fn internet_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port())))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_unix_peer_has_read_everything_when_nothing_is_unread() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(unread_by_peer(ours.as_fd()).unwrap(), 0);
        ours.write_all(b"four").unwrap();
        assert!(unread_by_peer(ours.as_fd()).unwrap() > 0);
        theirs.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(unread_by_peer(ours.as_fd()).unwrap(), 0);
    }
}
