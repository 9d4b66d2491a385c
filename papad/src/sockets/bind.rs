//! Making sockets and binding them.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect,
    getpeername, getsockname, getsockopt, listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, fstat, umask};

use papa_protocol::exact::{Code, Failure};
use papa_protocol::options::{
    Family, MAX_BACKLOG, SocketAddress, SocketOptions, SocketType, abstract_name,
};

use crate::socket_file::{SocketFile, unlink_stale};
use crate::{limit, sys};

/// How a socket has its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Nobody else has it.
    Alone,
    /// It keeps the port for sockets of the same user that share it, and gets nothing itself.
    Keeper,
    /// It shares the port with others of the same user.
    Sharer,
}

/// The host a socket is bound to when none is named: the loopback address, or with an interface
/// every address.
pub(super) fn default_host(family: Family, has_interface: bool) -> IpAddr {
    match (family, has_interface) {
        (Family::Inet6, false) => Ipv6Addr::LOCALHOST.into(),
        (Family::Inet6, true) => Ipv6Addr::UNSPECIFIED.into(),
        (_, false) => Ipv4Addr::LOCALHOST.into(),
        (_, true) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// The address that options name; `None` for a path. May wait for a name service.
pub(super) fn look_up(options: &SocketOptions) -> Result<Option<SocketAddr>, Failure> {
    let SocketAddress::Host { host, port, interface, .. } = &options.address else {
        return Ok(None);
    };
    let Some(host) = host else {
        let ip = default_host(options.family, interface.is_some());
        return Ok(Some(SocketAddr::from((ip, *port))));
    };
    let bad = |why: String| {
        let what = format!("Bad host - {why}: {}", papa_protocol::text::shown(host));
        Failure::new(Code::NotFound, what)
    };
    let name = std::str::from_utf8(host).map_err(|_| bad("not a name".to_owned()))?;
    let found = (name, *port).to_socket_addrs();
    let mut found = found.map_err(|error| bad(error.to_string()))?;
    let address = found.find(|address| address.is_ipv6() == (options.family == Family::Inet6));
    let none = || bad(format!("it has no {} address", options.family.as_str()));
    address.map(Some).ok_or_else(none)
}

/// Makes the socket that the options ask for. One with `reuseport` only keeps its port for the
/// sockets that [`bind_clone`] makes.
pub(super) fn make(
    options: &SocketOptions,
    address: Option<SocketAddr>,
) -> Result<OwnedFd, Failure> {
    match (&options.address, address) {
        (SocketAddress::Host { interface, reuseport, .. }, Some(address)) => {
            let claim = if *reuseport { Claim::Keeper } else { Claim::Alone };
            let socket = bind_inet(options, address, interface.as_deref(), claim);
            let prepared = socket.and_then(|socket| {
                if *reuseport {
                    keep_port(options, &socket)?;
                } else {
                    listen_on(options, &socket)?;
                }
                Ok(socket)
            });
            prepared.map_err(|error| refused(&format!("Bind failed on {address}"), &error))
        }
        (SocketAddress::Path { path, umask }, _) => {
            let socket = bind_unix(options, path, *umask);
            let listening = socket.and_then(|socket| {
                if let Err(error) = listen_on(options, &socket) {
                    if let Some(file) = SocketFile::of(&socket, path) {
                        file.unlink(path);
                    }
                    return Err(error);
                }
                Ok(socket)
            });
            listening.map_err(|error| refused("Bind failed", &error))
        }
        (SocketAddress::Host { .. }, None) => {
            Err(Failure::new(Code::Internal, "Bind failed: no address"))
        }
    }
}

/// Why a socket cannot be had that was asked for.
pub(super) fn refused(what: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::AlreadyExists => Code::Conflict,
        io::ErrorKind::PermissionDenied => Code::Denied,
        _ if limit::is_met(error) => Code::Limit,
        _ => Code::Usage,
    };
    Failure::new(code, format!("{what}: {error}"))
}

/// What a bound socket would have been asked for as. Its backlog cannot be told.
pub(super) fn options_of(socket: &OwnedFd) -> Result<SocketOptions, Failure> {
    let unfit = |what: &str| Failure::new(Code::Usage, format!("It cannot be adopted: {what}"));
    let socket_type = match getsockopt(socket, sockopt::SockType) {
        Ok(SockType::Stream) => SocketType::Stream,
        Ok(SockType::Datagram) => SocketType::Dgram,
        Ok(SockType::SeqPacket) => SocketType::Seqpacket,
        Ok(SockType::Raw) => SocketType::Raw,
        Ok(SockType::Rdm) => SocketType::Rdm,
        _ => return Err(unfit("it is no socket")),
    };
    if getpeername::<SockaddrStorage>(socket.as_raw_fd()).is_ok() {
        return Err(unfit("it is connected"));
    }
    let (family, address) = match address_of(socket) {
        Some(address) if address.port() == 0 => return Err(unfit("it is not bound")),
        Some(address) => {
            let host = Some(address.ip().to_string().into_bytes());
            let family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
            let (port, interface, reuseport) = (address.port(), None, false);
            let v6only = !address.is_ipv4() && getsockopt(socket, sockopt::Ipv6V6Only) == Ok(true);
            // Of one address it says nothing.
            let v6only = v6only && address.ip().is_unspecified();
            (family, SocketAddress::Host { host, port, interface, reuseport, v6only })
        }
        None => {
            let address = getsockname::<UnixAddr>(socket.as_raw_fd());
            let address = address.map_err(|_| unfit("it is not bound to a path or a port"))?;
            (Family::Unix, SocketAddress::Path { path: path_of(&address)?, umask: None })
        }
    };
    Ok(SocketOptions { family, socket_type, backlog: MAX_BACKLOG, address })
}

/// The path, or `@` and the abstract name, that a Unix socket is bound to.
fn path_of(address: &UnixAddr) -> Result<Vec<u8>, Failure> {
    let unfit = |what: &str| Failure::new(Code::Usage, format!("It cannot be adopted: {what}"));
    match (address.path(), address.as_abstract()) {
        (Some(path), _) if !path.is_absolute() => {
            Err(unfit("its path is relative to a directory that is not known"))
        }
        (Some(path), _) => Ok(path.as_os_str().as_bytes().to_vec()),
        (None, Some(name)) if name.contains(&0) => Err(unfit("its abstract name has a NUL byte")),
        (None, Some(name)) => Ok([b"@", name].concat()),
        (None, None) => Err(unfit("it is not bound to a path or a port")),
    }
}

/// Whether two descriptors are of one socket.
pub(super) fn is_same_socket(one: &OwnedFd, other: &OwnedFd) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

/// A socket of its own for a process, on the port that `kept` has.
pub(super) fn bind_clone(options: &SocketOptions, kept: &OwnedFd) -> io::Result<OwnedFd> {
    let address = claimed_address(options, kept).ok_or(Errno::EAFNOSUPPORT)?;
    let interface = match &options.address {
        SocketAddress::Host { interface, .. } => interface.as_deref(),
        SocketAddress::Path { .. } => None,
    };
    let socket = bind_inet(options, address, interface, Claim::Sharer)?;
    listen_on(options, &socket)?;
    Ok(socket)
}

/// Where a socket that keeps a port was bound. Of a datagram socket the system says otherwise: to be
/// connected gave it one address in place of every address.
fn claimed_address(options: &SocketOptions, kept: &OwnedFd) -> Option<SocketAddr> {
    let mut address = address_of(kept)?;
    if let SocketAddress::Host { host, interface, .. } = &options.address {
        let asked = match host {
            Some(host) => std::str::from_utf8(host).ok().and_then(|host| host.parse().ok()),
            None => Some(default_host(options.family, interface.is_some())),
        };
        if let Some(every) = asked.filter(IpAddr::is_unspecified) {
            address.set_ip(every);
        }
    }
    Some(address)
}

/// Where a socket is bound, if that is an internet address.
pub(super) fn address_of(socket: &OwnedFd) -> Option<SocketAddr> {
    let address: SockaddrStorage = getsockname(socket.as_raw_fd()).ok()?;
    sys::internet_address(&address)
}

fn new_socket(options: &SocketOptions) -> io::Result<OwnedFd> {
    let family = match options.family {
        Family::Unix => AddressFamily::Unix,
        Family::Inet => AddressFamily::Inet,
        Family::Inet6 => AddressFamily::Inet6,
    };
    let kind = match options.socket_type {
        SocketType::Stream => SockType::Stream,
        SocketType::Dgram => SockType::Datagram,
        SocketType::Raw => SockType::Raw,
        SocketType::Rdm => SockType::Rdm,
        SocketType::Seqpacket => SockType::SeqPacket,
    };
    Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?)
}

fn bind_inet(
    options: &SocketOptions,
    address: SocketAddr,
    interface: Option<&[u8]>,
    claim: Claim,
) -> io::Result<OwnedFd> {
    // SO_REUSEADDR lets a stream socket have a port whose last connections are still closing. Two
    // datagram sockets that have it share a port, whoever's they are, and the last one bound gets
    // everything.
    let is_datagram = options.socket_type == SocketType::Dgram;
    let bind = |address: SocketAddr, reuse_address: bool| -> io::Result<OwnedFd> {
        let socket = new_socket(options)?;
        if reuse_address && !is_datagram {
            setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        }
        if claim != Claim::Alone {
            setsockopt(&socket, sockopt::ReusePort, &true)?;
        }
        if let SocketAddress::Host { v6only: true, .. } = options.address {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        if let Some(interface) = interface {
            let interface = std::ffi::OsString::from_vec(interface.to_vec());
            setsockopt(&socket, sockopt::BindToDevice, &interface)?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
        Ok(socket)
    };
    match claim {
        // It does not listen: whoever else has SO_REUSEADDR could listen on the port. But if the port
        // was used otherwise a moment ago, there is no other way to have it.
        Claim::Keeper => bind(address, false).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse => bind(address, true),
            _ => Err(error),
        }),
        Claim::Sharer => bind(address, true),
        Claim::Alone => {
            let socket = bind(address, true)?;
            match address_of(&socket) {
                // A port that the system chose is lost when a process shuts the socket down, one that
                // was asked for is not. While this one has it, nobody else gets it.
                Some(chosen) if address.port() == 0 && !is_datagram && chosen.port() != 0 => {
                    match bind(chosen, true) {
                        // The last descriptor is better used for this one than for none.
                        Err(error) if limit::is_met(&error) => Ok(socket),
                        bound => bound,
                    }
                }
                _ => Ok(socket),
            }
        }
    }
}

fn bind_unix(options: &SocketOptions, path: &[u8], mask: Option<u32>) -> io::Result<OwnedFd> {
    if let Some(name) = abstract_name(path) {
        let socket = new_socket(options)?;
        bind(socket.as_raw_fd(), &UnixAddr::new_abstract(name)?)?;
        return Ok(socket);
    }
    let path = Path::new(OsStr::from_bytes(path));
    unlink_stale(path, &[])?;
    let socket = new_socket(options)?;
    let address = UnixAddr::new(path)?;
    let bind = || bind(socket.as_raw_fd(), &address);
    match mask {
        None => bind()?,
        // A umask is the whole process's. A thread of its own can have its own.
        Some(mask) => thread::scope(|scope| {
            let bound = thread::Builder::new().spawn_scoped(scope, || {
                unshare(CloneFlags::CLONE_FS)?;
                umask(Mode::from_bits_truncate(mask));
                Ok::<_, io::Error>(bind()?)
            })?;
            bound.join().unwrap_or_else(|_| Err(Errno::EIO.into()))
        })?,
    }
    Ok(socket)
}

/// Has a socket listen whose type is one that does, with the backlog that was asked for.
pub(super) fn listen_on(options: &SocketOptions, socket: &OwnedFd) -> io::Result<()> {
    match options.socket_type {
        SocketType::Stream | SocketType::Seqpacket => {
            let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
            // More than the type takes is as many as the system allows (listen(2)).
            listen(socket, Backlog::new(backlog).unwrap_or(Backlog::MAXCONN))?;
            Ok(())
        }
        SocketType::Dgram | SocketType::Raw | SocketType::Rdm => Ok(()),
    }
}

/// A bound stream socket that does not listen takes no connections, and a datagram socket that is
/// connected to itself gets nobody else's datagrams: the processes' sockets get them all.
fn keep_port(options: &SocketOptions, socket: &OwnedFd) -> io::Result<()> {
    if let (SocketType::Dgram, Some(own)) = (options.socket_type, address_of(socket)) {
        connect(socket.as_raw_fd(), &SockaddrStorage::from(own))?;
    }
    Ok(())
}
