//! The sockets papad itself listens on.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect,
    getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};
use nix::unistd::Uid;

use crate::cli::Options;
use crate::{limit, log};

/// Connections that may wait to be accepted, while a server starts again for instance.
const BACKLOG: i32 = 1024;

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
        let socket = open_unix(path, &options.allowed_uids)
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

fn unix_path(socket: &OwnedFd) -> Option<PathBuf> {
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

/// Binds with the right mode from the start. Who connects is checked again at accept. `others` are
/// let in beside papad's own user, and may have been made the file's owner.
fn open_unix(path: &Path, others: &[Uid]) -> io::Result<OwnedFd> {
    unlink_stale(path, others)?;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let for_own = Mode::S_IRWXG | Mode::S_IRWXO;
    let hidden = if others.is_empty() { for_own } else { Mode::empty() };
    // The umask is the whole process's: nothing else runs in it yet.
    let before = umask(hidden | Mode::S_IXUSR);
    let bound = bind(socket.as_raw_fd(), &UnixAddr::new(path)?);
    umask(before);
    bound?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    Ok(socket)
}

/// Removes a Unix socket of papad's user that nobody listens on any more. Anything else at the path
/// is left alone, and a symbolic link is not followed.
///
/// # Errors
/// `AlreadyExists` for something that is no socket, or is of a user that is neither papad's own nor
/// among `owners`; `AddrInUse` for a socket that is answered.
pub(crate) fn unlink_stale(path: &Path, owners: &[Uid]) -> io::Result<()> {
    let exists = |what: String| Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    let owner = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return exists("there is a file that is not a socket".to_owned());
        }
        Ok(file) => Uid::from_raw(file.uid()),
    };
    // Without waiting: one whose queue is full is alive, too (EAGAIN), and so is one of another
    // type (EPROTOTYPE).
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let probe = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    match limit::uninterrupted(|| connect(probe.as_raw_fd(), &address)) {
        Err(Errno::ECONNREFUSED) if owner == Uid::effective() || owners.contains(&owner) => {
            fs::remove_file(path)
        }
        Err(Errno::ECONNREFUSED) => exists(format!("there is a socket of uid {owner}")),
        Err(Errno::ENOENT) => Ok(()),
        _ => Err(Errno::EADDRINUSE.into()),
    }
}

fn describe(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() != io::ErrorKind::AddrInUse {
        return format!("cannot listen on {address}: {error}");
    }
    match port_owner::find(address) {
        Some(owner) => format!("{address} is in use by {owner}"),
        None if TcpStream::connect_timeout(&address, PATIENCE).is_ok() => {
            format!("{address} is in use by another process, which cannot be seen from here")
        }
        None => format!("{address} is in use"),
    }
}

mod port_owner {
    //! Who listens on a TCP port, from proc(5).

    use std::fs;
    use std::net::SocketAddr;

    /// `NAME (pid N)` of a process that listens at this address or at all addresses.
    pub(super) fn find(address: SocketAddr) -> Option<String> {
        let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
        let inodes = listening_inodes(&fs::read_to_string(table).ok()?, address.port());
        let processes = fs::read_dir("/proc").ok()?.flatten();
        for process in processes {
            let pid = process.file_name().to_string_lossy().into_owned();
            if pid.parse::<i32>().is_err() {
                continue;
            }
            let Ok(fds) = fs::read_dir(process.path().join("fd")) else {
                continue;
            };
            for fd in fds.flatten() {
                let Ok(target) = fs::read_link(fd.path()) else {
                    continue;
                };
                let target = target.to_string_lossy();
                let inode = target.strip_prefix("socket:[").and_then(|t| t.strip_suffix(']'));
                if inode.is_some_and(|inode| inodes.iter().any(|i| i == inode)) {
                    let name = fs::read_to_string(process.path().join("comm")).ok()?;
                    return Some(format!("{} (pid {pid})", name.trim_end()));
                }
            }
        }
        None
    }

    fn listening_inodes(table: &str, port: u16) -> Vec<String> {
        const LISTEN: &str = "0A";
        let suffix = format!(":{port:04X}");
        let columns = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        columns
            .filter(|c| c.len() > 9 && c[1].ends_with(&suffix) && c[3] == LISTEN)
            .map(|c| c[9].to_owned())
            .collect()
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
