//! What papad tells of a socket.

use std::path::PathBuf;

use papa_protocol::options::{Family, SocketType};

use crate::error::Result;
use crate::fields::Line;
use crate::name::Name;

/// A socket as papad's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its name.
    pub name: Name,
    /// Its address family.
    pub family: Family,
    /// Its type.
    pub socket_type: SocketType,
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Where it is bound.
    pub address: SocketAddress,
    /// Its number in processes that refer to it as `$(socket.NAME.fileno)` or inherit it.
    pub fileno: Option<i32>,
    /// The number that the kernel has for it (`SO_COOKIE` in socket(7)). A socket that was made anew
    /// under this name has another. `None` if papad does not say, as older versions do not.
    pub cookie: Option<u64>,
    /// Why nobody can reach it. To make it again, with the same options, mends it.
    pub fault: Option<SocketFault>,
}

/// Why nobody can reach a socket of papad's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketFault {
    /// A process has called shutdown(2) on it, and it does not listen any more.
    ShutDown,
    /// The file of a Unix socket is gone.
    NoFile,
    /// There is something else at the path of a Unix socket.
    OtherFile,
    /// One that this version of papa-client does not know.
    Other,
}

impl SocketFault {
    fn parse(word: &[u8]) -> Self {
        match word {
            b"shut-down" => Self::ShutDown,
            b"no-file" => Self::NoFile,
            b"other-file" => Self::OtherFile,
            _ => Self::Other,
        }
    }
}

/// Where a socket of papad's is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketAddress {
    /// A file, or an abstract name.
    #[non_exhaustive]
    Path {
        /// Its path; or `@` and an abstract name (unix(7)).
        path: PathBuf,
        /// The permission bits that were taken away from it, if that was asked for.
        umask: Option<u32>,
    },
    /// A port of a host.
    #[non_exhaustive]
    Host {
        /// The address.
        host: Option<String>,
        /// The port; the one the system chose if it was left to it.
        port: u16,
        /// The network device that it is bound to.
        interface: Option<String>,
        /// Whether each process gets a socket of its own on the same port.
        reuseport: bool,
        /// Whether it leaves IPv4's port to others where it is bound to every address.
        v6only: bool,
    },
}

impl SocketInfo {
    pub(crate) fn parse(line: &[u8]) -> Result<Self> {
        let line = Line::parse(line)?;
        let family = Family::parse(line.bytes("family")?).ok_or_else(|| line.bad("family"))?;
        Ok(Self {
            name: line.name()?,
            family,
            socket_type: SocketType::parse(line.bytes("type")?).ok_or_else(|| line.bad("type"))?,
            backlog: line.number("backlog")?,
            address: SocketAddress::parse(family, &line)?,
            fileno: line.maybe_number("fileno")?,
            cookie: line.maybe_number("cookie")?,
            fault: line.get("fault").map(SocketFault::parse),
        })
    }

    /// The port, unless it is a Unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.address {
            SocketAddress::Host { port, .. } => Some(port),
            SocketAddress::Path { .. } => None,
        }
    }
}

impl SocketAddress {
    fn parse(family: Family, line: &Line) -> Result<Self> {
        if family == Family::Unix {
            let path = line.maybe_path("path").ok_or_else(|| line.bad("path"))?;
            return Ok(Self::Path { path, umask: line.maybe_octal("umask")? });
        }
        Ok(Self::Host {
            host: line.maybe_text("host"),
            port: line.number("port")?,
            interface: line.maybe_text("interface"),
            reuseport: line.is_set("reuseport"),
            v6only: line.is_set("v6only"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_lines_are_read() {
        let line = b"name=web family=inet type=stream backlog=5 host=127.0.0.1 port=80 fileno=3 \
                     cookie=9";
        let web = SocketInfo::parse(line).unwrap();
        assert_eq!((web.port(), web.fileno, web.backlog), (Some(80), Some(3), 5));
        assert_eq!((web.cookie, web.fault), (Some(9), None));
        let line = b"name=ctl family=unix type=dgram backlog=5 path=/run/x umask=0077 fileno=4 \
                     fault=no-file";
        let ctl = SocketInfo::parse(line).unwrap();
        assert_eq!(ctl.address, SocketAddress::Path { path: "/run/x".into(), umask: Some(0o077) });
        assert_eq!((ctl.port(), ctl.socket_type), (None, SocketType::Dgram));
        assert_eq!((ctl.cookie, ctl.fault), (None, Some(SocketFault::NoFile)));
    }
}
