//! Making sockets.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use papa_protocol::exact::MakeSocket;
use papa_protocol::name::Noun;
use papa_protocol::options::{Family, MAX_BACKLOG, SocketAddress, SocketOptions, SocketType};

use crate::calls;
use crate::client::Call;
use crate::error::Result;
use crate::name::Name;
use crate::socket::SocketInfo;

/// A TCP or UDP socket that is to be made: see [`Papa::socket`](crate::Papa::socket).
///
/// Unless told otherwise it is a stream socket on a port of the system's choice of 127.0.0.1.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `make`"]
pub struct SocketBuilder<P> {
    pub(crate) papa: P,
    name: Vec<u8>,
    family: Family,
    socket_type: SocketType,
    backlog: u32,
    host: Option<Vec<u8>>,
    port: u16,
    interface: Option<Vec<u8>>,
    reuseport: bool,
    v6only: bool,
    pub(crate) replaces: bool,
}

impl<P> SocketBuilder<P> {
    pub(crate) fn new(papa: P, name: &[u8]) -> Self {
        Self {
            papa,
            name: name.to_vec(),
            family: Family::Inet,
            socket_type: SocketType::Stream,
            backlog: MAX_BACKLOG,
            host: None,
            port: 0,
            interface: None,
            reuseport: false,
            v6only: false,
            replaces: false,
        }
    }

    /// IPv6 instead of IPv4.
    pub fn inet6(mut self) -> Self {
        self.family = Family::Inet6;
        self
    }

    /// IPv6 instead of IPv4, and IPv6 alone: on every address (`::`) IPv4's port is left to others.
    pub fn v6only(mut self) -> Self {
        self.family = Family::Inet6;
        self.v6only = true;
        self
    }

    /// UDP instead of TCP.
    pub fn datagram(mut self) -> Self {
        self.socket_type = SocketType::Dgram;
        self
    }

    /// The address to bind to, or a host's name to look up; `0.0.0.0` is every address. The
    /// loopback address unless given.
    pub fn host(mut self, host: impl AsRef<[u8]>) -> Self {
        self.host = Some(host.as_ref().to_vec());
        self
    }

    /// The port to bind to. Unless given, or 0, the system chooses.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Connections that may wait to be accepted: see listen(2). As many as the system allows unless
    /// given.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// The network device to bind to; on every address of it unless a host is given.
    pub fn interface(mut self, device: impl AsRef<[u8]>) -> Self {
        self.interface = Some(device.as_ref().to_vec());
        self
    }

    /// Gives each process a socket of its own on the same port, so that the kernel shares
    /// connections out among them: see `SO_REUSEPORT` in socket(7).
    pub fn reuseport(mut self) -> Self {
        self.reuseport = true;
        self
    }

    /// Makes the socket in place of one of this name that was made otherwise, which is removed
    /// first. Connections that wait in that one to be accepted are lost. Processes that have it keep
    /// it until they are started again, and keep its port taken meanwhile;
    /// [`differences`](crate::ProcessBuilder::differences) tells which these are. If the new one cannot be
    /// made, the old one is gone all the same.
    pub fn replace(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// The call that removes the one before.
    pub(crate) fn removal(&self) -> Result<Call<bool>> {
        calls::remove_one(Noun::Socket, &self.name)
    }

    pub(crate) fn call(&self) -> Result<Call<SocketInfo>> {
        let address = SocketAddress::Host {
            host: self.host.clone(),
            port: self.port,
            interface: self.interface.clone(),
            reuseport: self.reuseport,
            v6only: self.v6only,
        };
        call(&self.name, self.family, self.socket_type, self.backlog, address)
    }
}

/// A Unix socket that is to be made: see [`Papa::unix_socket`](crate::Papa::unix_socket).
///
/// Unless told otherwise it is a stream socket.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `make`"]
pub struct UnixSocketBuilder<P> {
    pub(crate) papa: P,
    name: Vec<u8>,
    path: Vec<u8>,
    socket_type: SocketType,
    backlog: u32,
    umask: Option<u32>,
    pub(crate) replaces: bool,
}

impl<P> UnixSocketBuilder<P> {
    pub(crate) fn new(papa: P, name: &[u8], path: &Path) -> Self {
        Self {
            papa,
            name: name.to_vec(),
            path: OsString::from(path).into_vec(),
            socket_type: SocketType::Stream,
            backlog: MAX_BACKLOG,
            umask: None,
            replaces: false,
        }
    }

    /// Datagrams instead of a stream.
    pub fn datagram(mut self) -> Self {
        self.socket_type = SocketType::Dgram;
        self
    }

    /// Packets in order, over connections, instead of a stream.
    pub fn seqpacket(mut self) -> Self {
        self.socket_type = SocketType::Seqpacket;
        self
    }

    /// Connections that may wait to be accepted: see listen(2). As many as the system allows unless
    /// given.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// The permission bits to take away from the file, 0 to 0o777. papad's own unless given.
    pub fn umask(mut self, umask: u32) -> Self {
        self.umask = Some(umask);
        self
    }

    /// Makes the socket in place of one of this name that was made otherwise: of another type, backlog
    /// or umask, or at another path. That one is removed first, and its file with it, so the exchange
    /// is not atomic. A client that connects in between finds no file (`ENOENT`). Connections that
    /// wait in the old socket to be accepted are closed, unless a process has it. Processes that have
    /// it keep it, and accept those that wait in it, but nobody reaches it any more: they are to be
    /// started again, and [`differences`](crate::ProcessBuilder::differences) tells which. Connections
    /// that were accepted go on.
    ///
    /// If the new one cannot be made, the old one is gone all the same. An abstract name stays taken
    /// while a process has the old socket, and to make the new one is a
    /// [`Conflict`](crate::ErrorKind::Conflict) until then.
    pub fn replace(mut self) -> Self {
        self.replaces = true;
        self
    }

    /// The call that removes the one before.
    pub(crate) fn removal(&self) -> Result<Call<bool>> {
        calls::remove_one(Noun::Socket, &self.name)
    }

    pub(crate) fn call(&self) -> Result<Call<SocketInfo>> {
        let address = SocketAddress::Path { path: self.path.clone(), umask: self.umask };
        call(&self.name, Family::Unix, self.socket_type, self.backlog, address)
    }
}

fn call(
    name: &[u8],
    family: Family,
    socket_type: SocketType,
    backlog: u32,
    address: SocketAddress,
) -> Result<Call<SocketInfo>> {
    let name = Name::of(Noun::Socket, name)?.to_vec();
    let options = SocketOptions { family, socket_type, backlog, address };
    Ok(calls::make_socket(MakeSocket { name, options }))
}
