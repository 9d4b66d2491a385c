//! Sockets as the standard library's types, each only if it is of that kind.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use nix::sys::socket::{AddressFamily, SockType, SockaddrLike, SockaddrStorage};
use nix::sys::socket::{getsockname, getsockopt, sockopt};

use crate::error::{Error, Result};

pub(crate) fn tcp_listener(socket: OwnedFd) -> Result<TcpListener> {
    expect(&socket, &[AddressFamily::Inet, AddressFamily::Inet6], SockType::Stream, "TCP")?;
    Ok(socket.into())
}

pub(crate) fn udp_socket(socket: OwnedFd) -> Result<UdpSocket> {
    expect(&socket, &[AddressFamily::Inet, AddressFamily::Inet6], SockType::Datagram, "UDP")?;
    Ok(socket.into())
}

pub(crate) fn unix_listener(socket: OwnedFd) -> Result<UnixListener> {
    expect(&socket, &[AddressFamily::Unix], SockType::Stream, "Unix stream")?;
    Ok(socket.into())
}

pub(crate) fn unix_datagram(socket: OwnedFd) -> Result<UnixDatagram> {
    expect(&socket, &[AddressFamily::Unix], SockType::Datagram, "Unix datagram")?;
    Ok(socket.into())
}

fn expect(socket: &OwnedFd, families: &[AddressFamily], kind: SockType, what: &str) -> Result<()> {
    let cannot = |errno| Error::io("a fetched socket cannot be looked at", errno);
    let address: SockaddrStorage = getsockname(socket.as_raw_fd()).map_err(cannot)?;
    let its_kind = getsockopt(socket, sockopt::SockType).map_err(cannot)?;
    let is_family = address.family().is_some_and(|family| families.contains(&family));
    if is_family && its_kind == kind {
        return Ok(());
    }
    Err(Error::usage(format!("the socket is not a {what} socket")))
}
