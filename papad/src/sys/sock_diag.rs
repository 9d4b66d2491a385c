//! What the kernel tells of sockets on this machine (`sock_diag(7)`): who owns the other end of a TCP
//! connection, and which file a Unix socket is bound to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use nix::sys::stat::fstat;

use crate::limit;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `struct unix_diag_req`, and `struct unix_diag_msg`, which attributes follow.
const UNIX_REQUEST: usize = 24;
const UNIX_REPLY: usize = 16;
/// The bit that asks for the file, and the attribute that tells of it.
const UDIAG_SHOW_VFS: u32 = 2;
const UNIX_DIAG_VFS: u16 = 1;
/// `struct nlattr`.
const ATTRIBUTE: usize = 4;
/// Where these stand in `struct inet_diag_msg`.
const STATE: usize = 1;
const RQUEUE: usize = 56;
const UID: usize = 64;
const INODE: usize = 68;

/// States of a TCP socket (`net/tcp_states.h` in the kernel) whose owner has a connection, and may
/// have ended sending: `ESTABLISHED`, `FIN_WAIT1`, `FIN_WAIT2`.
const CONNECTED: [u8; 3] = [1, 4, 5];

/// States of the socket at our end of that: `ESTABLISHED`, `CLOSE_WAIT`.
const OPEN: [u8; 2] = [1, 8];

/// What the kernel says of a TCP socket on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpPeer {
    /// Whether it has a connection. Where nobody has one, the kernel looks for a socket that
    /// listens at the peer's address, and tells of that.
    pub(crate) is_connected: bool,
    /// Who made it.
    pub(crate) uid: u32,
    /// 0 if its owner has closed it; the user then reads as 0, which says nothing of who it was.
    pub(crate) inode: u32,
    /// Bytes that have come and were not read.
    pub(crate) unread: u32,
}

/// Looks at the socket that is bound to `peer` and connected to `local`.
///
/// # Errors
/// `NotFound` where the kernel knows no such socket: it is in another network namespace, or gone.
pub(crate) fn tcp_peer(peer: SocketAddr, local: SocketAddr) -> io::Result<TcpPeer> {
    parse(&ask(&request(peer, local))?)
}

/// The inode of the file that a Unix socket is bound to, or was when it was bound: the low 32 bits of
/// it. `None` for one that is bound to no file.
///
/// # Errors
/// This is no Unix socket, or a kernel that does not tell.
pub(crate) fn unix_inode(socket: BorrowedFd) -> io::Result<Option<u32>> {
    let socket = fstat(socket)?.st_ino as u32;
    let mut request = begin_request(UNIX_REQUEST);
    request.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    request.extend(u32::MAX.to_ne_bytes()); // every state
    request.extend(socket.to_ne_bytes());
    request.extend(UDIAG_SHOW_VFS.to_ne_bytes());
    request.extend([0xff; 8]); // no cookie
    let reply = ask(&request)?;
    if check(&reply)? != SOCK_DIAG_BY_FAMILY {
        return Err(unknown());
    }
    let mut rest = reply.get(HEADER + UNIX_REPLY..).unwrap_or_default();
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        if kind == UNIX_DIAG_VFS {
            return Ok(Some(word(rest, ATTRIBUTE)?));
        }
        // Each begins at a multiple of four bytes.
        let next = usize::from(length).max(ATTRIBUTE).next_multiple_of(4);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(None)
}

/// Sends a request to the kernel, and returns what it answers.
fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let netlink = open()?;
    let kernel = NetlinkAddr::new(0, 0);
    let netlink = netlink.as_raw_fd();
    limit::uninterrupted(|| sendto(netlink, request, &kernel, MsgFlags::empty()))?;
    let mut reply = vec![0; 1024];
    let length = limit::uninterrupted(|| recv(netlink, &mut reply, MsgFlags::empty()))?;
    reply.truncate(length);
    Ok(reply)
}

/// Whether a TCP connection still is one: its peer may have ended sending, and has not reset it.
pub(crate) fn is_tcp_open(connection: BorrowedFd) -> io::Result<bool> {
    let mut state = 0_u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: of a `tcp_info`, whose first byte is the state, no more is written than `length` says,
    // which is one byte; `state` and `length` are valid for writes.
    let result = unsafe {
        libc::getsockopt(
            connection.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    Errno::result(result)?;
    Ok(OPEN.contains(&state))
}

fn open() -> io::Result<OwnedFd> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    Ok(fd)
}

/// The header of a request that has so many bytes besides.
fn begin_request(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.extend(((HEADER + length) as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port id
    bytes
}

fn request(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut bytes = begin_request(REQUEST);
    bytes.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes()); // every state
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(address(peer.ip()));
    bytes.extend(address(local.ip()));
    bytes.extend(0_u32.to_ne_bytes()); // interface
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&ip.octets());
            bytes
        }
    }
}

fn parse(reply: &[u8]) -> io::Result<TcpPeer> {
    if check(reply)? != SOCK_DIAG_BY_FAMILY {
        return Err(unknown());
    }
    Ok(TcpPeer {
        is_connected: CONNECTED.contains(reply.get(HEADER + STATE).ok_or_else(short)?),
        uid: word(reply, HEADER + UID)?,
        inode: word(reply, HEADER + INODE)?,
        unread: word(reply, HEADER + RQUEUE)?,
    })
}

/// The kind of an answer that is no error.
fn check(reply: &[u8]) -> io::Result<u16> {
    match word(reply, 4)? as u16 {
        NLMSG_ERROR => Err(io::Error::from_raw_os_error(-(word(reply, HEADER)? as i32))),
        kind => Ok(kind),
    }
}

fn word(bytes: &[u8], at: usize) -> io::Result<u32> {
    let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
    word.map(u32::from_ne_bytes).ok_or_else(short)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let half = bytes.get(at..at + 2).and_then(|half| half.try_into().ok());
    half.map(u16::from_ne_bytes)
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a short answer from sock_diag")
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an unknown answer from sock_diag")
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::time::{Duration, Instant};
    use std::{env, fs, process, thread};

    use super::*;

    #[test]
    fn the_owner_of_a_connected_socket_is_this_user() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            let seen = tcp_peer(peer, local).unwrap();
            assert_eq!(seen.uid, nix::unistd::geteuid().as_raw());
            assert_ne!(seen.inode, 0);
            assert!(seen.is_connected);
            assert_eq!(seen.unread, 0);
            std::io::Write::write_all(&mut &server, b"four").unwrap();
            // On a busy machine it comes a moment later.
            assert_eq!(client.peek(&mut [0; 4]).unwrap(), 4);
            assert_eq!(tcp_peer(peer, local).unwrap().unread, 4);
        }
    }

    #[test]
    fn a_closed_socket_has_no_inode_or_is_unknown() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        drop(client);
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            match tcp_peer(peer, server.local_addr().unwrap()) {
                // A child that another test is making has a copy until it calls exec.
                Ok(seen) if seen.inode != 0 => assert!(Instant::now() < until, "it has an inode"),
                Ok(_) => break,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::NotFound);
                    break;
                }
            }
            thread::yield_now();
        }
    }

    #[test]
    fn a_unix_socket_knows_its_file_though_that_is_gone() {
        let path = env::temp_dir().join(format!("papad-sock-diag-{}", process::id()));
        let socket = UnixListener::bind(&path).unwrap();
        let inode = fs::metadata(&path).unwrap().ino() as u32;
        fs::remove_file(&path).unwrap();
        assert_eq!(unix_inode(socket.as_fd()).unwrap(), Some(inode));
        let nowhere = UnixDatagram::unbound().unwrap();
        assert_eq!(unix_inode(nowhere.as_fd()).unwrap(), None);
    }

    #[test]
    fn a_listener_where_a_closed_socket_was_is_not_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _there = TcpListener::bind(other).unwrap();
        let seen = tcp_peer(other, listener.local_addr().unwrap()).unwrap();
        assert_ne!(seen.inode, 0);
        assert!(!seen.is_connected);
    }
}
