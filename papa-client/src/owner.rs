//! Whose the server at the other end of a connection is, as the operating system says.
//!
//! Whoever answers is handed commands, environments and descriptors, so it is asked before anything
//! of that is sent.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockname, getsockopt, sockopt};
use nix::unistd::Uid;

use crate::error::{Error, ErrorKind, Result};
use crate::transport::Transport;

const ROOT: u32 = 0;

/// Checks that the server belongs to this user, to root, or to `trusted`, and tells whose it is.
///
/// # Errors
/// [`ErrorKind::NotYours`] if it does not, [`ErrorKind::Disconnected`] if it is gone.
pub(crate) fn check(transport: &Transport, trusted: Option<u32>) -> Result<u32> {
    let owner = if transport.is_unix() { unix_owner(transport) } else { tcp_owner(transport) };
    let owner = owner.map_err(|error| {
        let what = "it cannot be told whose the server is";
        Error::new(ErrorKind::NotYours, what).because(error)
    })?;
    match owner {
        None => Err(Error::disconnected()),
        Some(uid) if uid == ROOT || Uid::effective().as_raw() == uid => Ok(uid),
        Some(uid) if trusted == Some(uid) => Ok(uid),
        Some(uid) => {
            let what = format!("who answers belongs to uid {uid}, not to this user or root");
            Err(Error::new(ErrorKind::NotYours, what))
        }
    }
}

/// The user who listens on a Unix socket.
fn unix_owner(transport: &Transport) -> io::Result<Option<u32>> {
    Ok(Some(getsockopt(transport, sockopt::PeerCredentials)?.uid()))
}

/// The connections of this thread's network namespace. `/proc/net` has those of the main thread's,
/// which may be in another one.
const TCP: &str = "/proc/thread-self/net/tcp";
const TCP6: &str = "/proc/thread-self/net/tcp6";

/// The user who has the other end of a TCP connection on this machine: `None` if that is closed.
fn tcp_owner(transport: &Transport) -> io::Result<Option<u32>> {
    let number = transport.as_fd().as_raw_fd();
    let here = inet(&getsockname(number)?)?;
    let there = match getpeername(number) {
        Ok(there) => inet(&there)?,
        Err(Errno::ENOTCONN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let table = fs::read_to_string(if here.is_ipv4() { TCP } else { TCP6 })?;
    Ok(find_owner(&table, there, here))
}

fn inet(address: &SockaddrStorage) -> io::Result<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|it| SocketAddr::V4((*it).into()));
    let v6 = || address.as_sockaddr_in6().map(|it| SocketAddr::V6((*it).into()));
    v4.or_else(v6).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The owner of the socket at `local` that is connected to `remote`, from a table as
/// `proc_net_tcp` of the kernel's documentation describes it.
fn find_owner(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (local, remote) = (shown(local), shown(remote));
    table.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next()? != local || fields.next()? != remote {
            return None;
        }
        // After the addresses: state, queues, timer, retransmits, uid, timeout, inode.
        let uid = fields.nth(4)?.parse().ok()?;
        // A socket that nobody holds any more, or has accepted yet, is shown as root's.
        (fields.nth(1)? != "0").then_some(uid)
    })
}

/// An address as the table shows it: the bytes of the address by fours, each as a number of this
/// machine's byte order, and the port.
fn shown(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.as_chunks::<4>().0.iter().map(|word| u32::from_ne_bytes(*word));
    let words: Vec<String> = words.map(|word| format!("{word:08X}")).collect();
    format!("{}:{:04X}", words.concat(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4EEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 7 1
   1: 0100007F:4EEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 8 1
   2: 0100007F:4EEA 0100007F:9C41 01 00000000:00000000 00:00000000 00000000     0        0 0 1
   3: 0100007F:9C40 0100007F:4EEA 01 00000000:00000000 00:00000000 00000000  1001        0 9 1
";

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn the_owner_is_who_holds_the_other_end_of_this_very_connection() {
        assert_eq!(find_owner(TABLE, address(20202), address(40000)), Some(1000));
        assert_eq!(find_owner(TABLE, address(40000), address(20202)), Some(1001));
    }

    #[test]
    fn a_socket_that_nobody_holds_has_no_owner() {
        assert_eq!(find_owner(TABLE, address(20202), address(40001)), None);
        assert_eq!(find_owner(TABLE, address(20202), address(40002)), None);
    }
}
