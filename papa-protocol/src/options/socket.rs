//! The options of `make socket`.

use super::{Pairs, c_text, flag, number, refuse_nul, unknown};
use crate::error::CommandError;
use crate::text::shown;

/// The backlog of a socket for which none was given in papa 1.0's dialect.
pub const DEFAULT_BACKLOG: u32 = 5;

/// The most that listen(2) takes, an `int`: as many as the system allows (`net.core.somaxconn`). The
/// backlog of a socket for which none was given in protocol 2.
pub const MAX_BACKLOG: u32 = i32::MAX.cast_unsigned();

/// What the path of an abstract socket begins with: see unix(7).
const ABSTRACT: u8 = b'@';

/// The permission bits: what umask(2) looks at.
const MAX_UMASK: u32 = 0o777;
/// Bytes of a network interface's name: `IFNAMSIZ` less its NUL. `SO_BINDTODEVICE` cuts a longer
/// name there and so may find another interface.
const MAX_INTERFACE: usize = 15;

/// The address family of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A path in the file system.
    Unix,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// `unix`, `inet` or `inet6`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
        }
    }

    /// The family of that name.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        [Self::Unix, Self::Inet, Self::Inet6].into_iter().find(|it| it.as_str().as_bytes() == text)
    }
}

/// The type of a socket: see socket(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// `SOCK_STREAM`
    Stream,
    /// `SOCK_DGRAM`
    Dgram,
    /// `SOCK_RAW`
    Raw,
    /// `SOCK_RDM`
    Rdm,
    /// `SOCK_SEQPACKET`
    Seqpacket,
}

impl SocketType {
    const ALL: [Self; 5] = [Self::Stream, Self::Dgram, Self::Raw, Self::Rdm, Self::Seqpacket];

    /// `stream`, `dgram`, `raw`, `rdm` or `seqpacket`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Dgram => "dgram",
            Self::Raw => "raw",
            Self::Rdm => "rdm",
            Self::Seqpacket => "seqpacket",
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().as_bytes() == text)
    }
}

/// How a socket is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// `family=`: unless given, unix with a path and inet without.
    pub family: Family,
    /// `type=`: stream unless given.
    pub socket_type: SocketType,
    /// `backlog=`: connections that may wait to be accepted. Unless given, [`DEFAULT_BACKLOG`] in
    /// papa 1.0's dialect and [`MAX_BACKLOG`] in protocol 2.
    pub backlog: u32,
    /// Where it is bound. A path with [`Family::Unix`] alone, a host with the others.
    pub address: SocketAddress,
}

/// Where a socket is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketAddress {
    /// A file, or in protocol 2 an abstract name.
    Path {
        /// `path=`: absolute, naming a file, without a NUL byte; or `@` and an abstract name: see
        /// [`abstract_name`].
        path: Vec<u8>,
        /// `umask=`: the bits taken away from the file's permissions, 0 to 0o777. On the wire it
        /// is decimal. `None` leaves papad's own.
        umask: Option<u32>,
    },
    /// A port of a host.
    Host {
        /// `host=`: an address or a name to look up. `None` is the loopback address, or every
        /// address when there is an interface.
        host: Option<Vec<u8>>,
        /// `port=`: 0 lets the system choose.
        port: u16,
        /// `interface=`: the network device to bind to, at most 15 bytes.
        interface: Option<Vec<u8>>,
        /// `reuseport=`: whether each process gets a socket of its own on the same port.
        reuseport: bool,
        /// `v6only=`, of protocol 2: whether a socket of [`Family::Inet6`] leaves the port of IPv4
        /// to others, where it is bound to every address.
        v6only: bool,
    },
}

/// The name of an abstract Unix socket, if this path is one's; see unix(7).
#[must_use]
pub fn abstract_name(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(&[ABSTRACT])
}

impl SocketOptions {
    /// Reads options as papad records them: those of papa 1.0's dialect, and what only protocol 2
    /// can ask for.
    pub fn from_record(mut pairs: Pairs) -> Result<Self, CommandError> {
        let only_v6 = take(&mut pairs, "v6only").is_some_and(|value| value == b"1");
        let is_abstract = |path: &Vec<u8>| abstract_name(path).is_some();
        let name = pairs.get(b"path".as_slice()).filter(|path| is_abstract(path)).cloned();
        if name.is_some() {
            // What is read below is the path of a file.
            pairs.insert(b"path".to_vec(), b"/abstract".to_vec());
        }
        let mut options = Self::from_pairs(pairs)?;
        match (&mut options.address, name) {
            (SocketAddress::Path { path, .. }, Some(name)) => *path = name,
            (SocketAddress::Path { .. }, None) => {}
            (SocketAddress::Host { v6only, .. }, _) => *v6only = only_v6,
        }
        Ok(options)
    }

    /// Reads options whose keys and values are exactly as meant, quotes already taken off.
    pub fn from_pairs(mut pairs: Pairs) -> Result<Self, CommandError> {
        let family = match take(&mut pairs, "family") {
            Some(family) => Family::parse(&family).ok_or_else(|| {
                CommandError::new(format!("Unknown socket family \"{}\"", shown(&family)))
            })?,
            None if pairs.contains_key(b"path".as_slice()) => Family::Unix,
            None => Family::Inet,
        };
        let socket_type = match take(&mut pairs, "type") {
            Some(text) => SocketType::parse(&text).ok_or_else(|| {
                CommandError::new(format!("Unknown socket type \"{}\"", shown(&text)))
            })?,
            None => SocketType::Stream,
        };
        let backlog = match take(&mut pairs, "backlog") {
            Some(backlog) => number("The backlog", MAX_BACKLOG, &backlog)?,
            None => DEFAULT_BACKLOG,
        };
        let address = match family {
            Family::Unix => path_address(&mut pairs)?,
            Family::Inet | Family::Inet6 => host_address(&mut pairs)?,
        };
        match pairs.keys().next() {
            Some(key) => Err(unknown(key, "make socket")),
            None => Ok(Self { family, socket_type, backlog, address }),
        }
    }
}

fn take(pairs: &mut Pairs, key: &str) -> Option<Vec<u8>> {
    pairs.remove(key.as_bytes())
}

fn path_address(pairs: &mut Pairs) -> Result<SocketAddress, CommandError> {
    for key in ["host", "port", "interface", "reuseport"] {
        if pairs.contains_key(key.as_bytes()) {
            return Err(CommandError::new(format!("{key}= is not for family=unix")));
        }
    }
    let path = take(pairs, "path").unwrap_or_default();
    check_path(&path)?;
    let umask = match take(pairs, "umask") {
        Some(umask) => Some(number("The umask", MAX_UMASK, &umask)?),
        None => None,
    };
    Ok(SocketAddress::Path { path, umask })
}

fn host_address(pairs: &mut Pairs) -> Result<SocketAddress, CommandError> {
    for key in ["path", "umask"] {
        if pairs.contains_key(key.as_bytes()) {
            return Err(CommandError::new(format!("{key}= is only for family=unix")));
        }
    }
    let host = c_text("host", take(pairs, "host").unwrap_or_default())?;
    let interface = c_text("interface", take(pairs, "interface").unwrap_or_default())?;
    if let Some(interface) = &interface {
        check_interface(interface)?;
    }
    let port = match take(pairs, "port") {
        Some(port) => number("The port", u32::from(u16::MAX), &port)? as u16,
        None => 0,
    };
    let reuseport = match take(pairs, "reuseport") {
        Some(reuseport) => flag("reuseport", &reuseport)?,
        None => false,
    };
    Ok(SocketAddress::Host { host, port, interface, reuseport, v6only: false })
}

/// Whether a Unix socket may be bound to this path.
pub(crate) fn check_path(path: &[u8]) -> Result<(), CommandError> {
    if !path.starts_with(b"/") {
        return Err(CommandError::new("Absolute path required for Unix sockets"));
    }
    if path.ends_with(b"/") {
        return Err(CommandError::new("The path must name a file, not end in \"/\""));
    }
    refuse_nul("path", path)
}

/// Whether a network interface may have this name.
pub(crate) fn check_interface(name: &[u8]) -> Result<(), CommandError> {
    if name.len() > MAX_INTERFACE {
        let message = format!("interface must not be longer than {MAX_INTERFACE} bytes");
        return Err(CommandError::new(message));
    }
    Ok(())
}
