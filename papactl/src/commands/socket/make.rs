//! `papactl socket make`

use std::num::ParseIntError;
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};
use papa_client::{Papa, SocketInfo};

use super::tell;
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// Have papad listen, and say where
///
/// Unless told otherwise it is a TCP socket at a free port of 127.0.0.1. To make a socket again that
/// is there, in the same way, is no error.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option")]
pub(crate) struct Make {
    /// Its name
    #[arg(value_name = "NAME", add = complete::sockets())]
    name: String,

    /// The address, or the name of a host to look up; 0.0.0.0 is every address
    #[arg(long, value_hint = ValueHint::Hostname)]
    host: Option<String>,

    /// The port; without it, or for 0, one that is free
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// The network device to bind to
    #[arg(long, value_name = "DEVICE")]
    interface: Option<String>,

    /// Give each process a socket of its own on the same port: see SO_REUSEPORT in socket(7)
    #[arg(long)]
    reuseport: bool,

    /// IPv6 instead of IPv4
    #[arg(long)]
    inet6: bool,

    /// IPv6 alone: on every address (::), the port of IPv4 is left to others
    #[arg(long)]
    v6only: bool,

    /// UDP instead of TCP
    #[arg(long)]
    udp: bool,

    /// A Unix socket, whose file is made at this path; @NAME is an abstract socket
    ///
    /// An abstract socket has no file, and is open to every user: see unix(7). A file whose name begins
    /// with @ is written ./@NAME.
    #[arg(
        long,
        value_hint = ValueHint::FilePath,
        conflicts_with_all = ["host", "port", "interface", "reuseport", "inet6", "v6only", "udp"]
    )]
    path: Option<PathBuf>,

    /// Permission bits to take away from the file, in octal
    #[arg(long, requires = "path", value_parser = umask)]
    umask: Option<u32>,

    /// What travels through the Unix socket
    #[arg(long = "type", value_name = "TYPE", requires = "path", default_value = "stream")]
    kind: Kind,

    /// Connections that may wait to be accepted: see listen(2); without it, as many as the system allows
    #[arg(long, value_name = "CONNECTIONS")]
    backlog: Option<u32>,
}

/// What travels through a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A stream of bytes
    Stream,
    /// Datagrams
    Dgram,
    /// Packets in order, over connections
    Seqpacket,
}

impl Make {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let info = match &self.path {
            Some(path) => self.unix(&papa, path)?,
            None => self.inet(&papa)?,
        };
        tell(context, &info)
    }

    fn unix(&self, papa: &Papa, path: &Path) -> Result<SocketInfo> {
        let is_abstract = path.as_os_str().as_bytes().starts_with(b"@");
        // papad is somewhere else.
        let path = if is_abstract { Ok(path.to_owned()) } else { path::absolute(path) };
        let path = path.map_err(|error| Failure::io("there is no working directory", &error))?;
        let mut socket = papa.unix_socket(&self.name, path);
        match self.kind {
            Kind::Stream => {}
            Kind::Dgram => socket = socket.datagram(),
            Kind::Seqpacket => socket = socket.seqpacket(),
        }
        if let Some(umask) = self.umask {
            socket = socket.umask(umask);
        }
        if let Some(backlog) = self.backlog {
            socket = socket.backlog(backlog);
        }
        Ok(socket.make()?)
    }

    fn inet(&self, papa: &Papa) -> Result<SocketInfo> {
        let mut socket = papa.socket(&self.name).port(self.port);
        if let Some(host) = &self.host {
            socket = socket.host(host);
        }
        if let Some(device) = &self.interface {
            socket = socket.interface(device);
        }
        if self.reuseport {
            socket = socket.reuseport();
        }
        // An address of IPv6 says so itself.
        if self.inet6 || self.host.as_ref().is_some_and(|host| host.contains(':')) {
            socket = socket.inet6();
        }
        if self.v6only {
            socket = socket.v6only();
        }
        if self.udp {
            socket = socket.datagram();
        }
        if let Some(backlog) = self.backlog {
            socket = socket.backlog(backlog);
        }
        Ok(socket.make()?)
    }
}

fn umask(text: &str) -> Result<u32, ParseIntError> {
    u32::from_str_radix(text, 8)
}
