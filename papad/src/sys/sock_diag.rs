//! Who owns the other end of a TCP connection on this machine (`sock_diag(7)`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::limit;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
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
    let netlink = open()?;
    let request = request(peer, local);
    let kernel = NetlinkAddr::new(0, 0);
    let netlink = netlink.as_raw_fd();
    limit::uninterrupted(|| sendto(netlink, &request, &kernel, MsgFlags::empty()))?;
    let mut reply = [0; 1024];
    let length = limit::uninterrupted(|| recv(netlink, &mut reply, MsgFlags::empty()))?;
    parse(&reply[..length])
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

fn request(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port id
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
    let short = || io::Error::new(io::ErrorKind::InvalidData, "a short answer from sock_diag");
    let word = |at: usize| {
        let bytes = reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_ne_bytes).ok_or_else(short)
    };
    match word(4)? as u16 {
        NLMSG_ERROR => Err(io::Error::from_raw_os_error(-(word(HEADER)? as i32))),
        SOCK_DIAG_BY_FAMILY => Ok(TcpPeer {
            is_connected: CONNECTED.contains(reply.get(HEADER + STATE).ok_or_else(short)?),
            uid: word(HEADER + UID)?,
            inode: word(HEADER + INODE)?,
            unread: word(HEADER + RQUEUE)?,
        }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "an unknown answer from sock_diag")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

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
    fn a_listener_where_a_closed_socket_was_is_not_connected() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _there = TcpListener::bind(other).unwrap();
        let seen = tcp_peer(other, listener.local_addr().unwrap()).unwrap();
        assert_ne!(seen.inode, 0);
        assert!(!seen.is_connected);
    }
}
