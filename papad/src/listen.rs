//! The sockets papad itself listens on.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, getsockopt, listen,
    setsockopt, socket, sockopt,
};

use crate::cli::Options;
use crate::{log, socket_owner, unix_endpoint};

/// Connections that may wait to be accepted, while a server starts again for instance.
pub(crate) const BACKLOG: i32 = 1024;

/// How long to wait for whoever has an address that is to be listened on.
const PATIENCE: Duration = Duration::from_secs(1);

/// Opens every endpoint that the options name and of which there is none among `existing`.
///
/// # Errors
/// One sentence that says which endpoint could not be opened and why, and who has it if the
/// system tells.
pub(crate) fn open(options: &Options, existing: &[&OwnedFd]) -> Result<Vec<OwnedFd>, String> {
    let mut sockets = Vec::new();
    let addresses: Vec<Option<SocketAddr>> = existing.iter().map(|fd| tcp_address(fd)).collect();
    if let Some(port) = options.port {
        match open_port(port, addresses.iter().flatten()) {
            Ok(opened) => sockets = opened,
            Err(why) if options.port_is_optional => {
                log::info!("keeper", "papad does not listen on port {port}: {why}");
            }
            Err(why) => return Err(why),
        }
    }
    if let Some(path) = &options.unix_socket
        && addresses.iter().all(Option::is_some)
    {
        let socket = unix_endpoint::open(path, &options.allowed_uids)
            .map_err(|error| format!("cannot listen on {}: {error}", path.display()))?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Opens a port of both loopback addresses, but for those that there are already.
fn open_port<'a>(
    port: u16,
    existing: impl Iterator<Item = &'a SocketAddr> + Clone,
) -> Result<Vec<OwnedFd>, String> {
    let mut sockets = Vec::new();
    let has_inet = existing.clone().any(SocketAddr::is_ipv4);
    let has_inet6 = existing.clone().any(SocketAddr::is_ipv6);
    let mut port = existing.map(SocketAddr::port).next().unwrap_or(port);
    if !has_inet {
        let inet = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = open_tcp(inet).map_err(|error| describe(inet, &error))?;
        port = tcp_address(&socket).map_or(port, |address| address.port());
        sockets.push(socket);
    }
    let inet6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    match (!has_inet6).then(|| open_tcp(inet6)) {
        Some(Ok(socket)) => sockets.push(socket),
        Some(Err(error)) if !has_no_ipv6(&error) => return Err(describe(inet6, &error)),
        Some(Err(_)) | None => {}
    }
    Ok(sockets)
}

/// Whether this is an endpoint that the options name. A Unix socket whose path is gone is none:
/// nobody can reach it.
pub(crate) fn is_wanted(options: &Options, socket: &OwnedFd) -> bool {
    match tcp_address(socket) {
        Some(address) => {
            let is_own = address.ip().is_loopback();
            is_own && options.port.is_some_and(|port| port == 0 || port == address.port())
        }
        None => unix_path(socket)
            .is_some_and(|path| options.unix_socket.as_ref() == Some(&path) && path.exists()),
    }
}

/// Whether connections can be accepted from it.
pub(crate) fn is_listening(fd: &OwnedFd) -> bool {
    getsockopt(fd, sockopt::AcceptConn).unwrap_or(false)
}

/// `127.0.0.1:20202`, `[::1]:20202` or a path.
pub(crate) fn name(socket: &OwnedFd) -> String {
    if let Some(address) = tcp_address(socket) {
        return address.to_string();
    }
    match unix_path(socket) {
        Some(path) => path.display().to_string(),
        None => "an unknown socket".to_owned(),
    }
}

/// The path of a Unix socket.
pub(crate) fn unix_path(socket: &OwnedFd) -> Option<PathBuf> {
    let address = UnixListener::from(socket.try_clone().ok()?).local_addr().ok()?;
    address.as_pathname().map(Path::to_owned)
}

/// The TCP port of a socket that has one.
pub(crate) fn port(socket: &OwnedFd) -> Option<u16> {
    tcp_address(socket).map(|address| address.port())
}

fn tcp_address(socket: &OwnedFd) -> Option<SocketAddr> {
    TcpListener::from(socket.try_clone().ok()?).local_addr().ok()
}

fn open_tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

fn has_no_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)
    )
}

fn describe(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return format!("cannot listen on {address}: {error}");
    }
    match socket_owner::of_port(address) {
        Some(owner) => format!("{address} is in use by {owner}"),
        None if TcpStream::connect_timeout(&address, PATIENCE).is_ok() => {
            format!("{address} is in use by another process, which cannot be seen from here")
        }
        None => format!("{address} is in use"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told_with_its_owner() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let told = describe(address, &open_tcp(address).unwrap_err());
        assert!(told.starts_with(&format!("{address} is in use by ")), "{told}");
        assert!(told.ends_with(&format!("(pid {})", std::process::id())), "{told}");
    }
}
