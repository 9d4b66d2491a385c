//! One hosted socket.

use std::os::fd::{AsFd, OwnedFd, RawFd};

use papa_protocol::options::{SocketAddress, SocketOptions, abstract_name};

use super::bind;
use crate::journal::Record;
use crate::socket_file::{AtPath, SocketFile};
use crate::sys;

/// A hosted socket.
pub(crate) struct Socket {
    /// Its number since papad first started.
    pub(super) id: u64,
    pub(crate) name: Vec<u8>,
    /// As asked for, but with the port that it got.
    pub(super) options: SocketOptions,
    /// The descriptor that it is in every process that refers to it, whatever papad's own is.
    pub(super) number: RawFd,
    pub(super) fd: OwnedFd,
    /// The file that it is bound to, if it is.
    file: Option<SocketFile>,
}

impl Socket {
    pub(super) fn new(
        id: u64,
        name: Vec<u8>,
        options: SocketOptions,
        number: RawFd,
        fd: OwnedFd,
    ) -> Socket {
        let file = path_of(&options).and_then(|path| SocketFile::of(&fd, path));
        Socket { id, name, options, number, fd, file }
    }

    /// `NAME family=... fileno=...`; what is unset is left out.
    pub(crate) fn line(&self) -> Vec<u8> {
        let mut line = self.name.clone();
        for (key, value) in pairs(&self.shown_options()) {
            line.extend(format!(" {key}=").bytes());
            line.extend(value);
        }
        if let Some(number) = self.listed_number() {
            line.extend(format!(" fileno={number}").bytes());
        }
        line
    }

    /// The parameters, with the host that stands in for none.
    pub(crate) fn shown_options(&self) -> SocketOptions {
        let mut options = self.options.clone();
        if let SocketAddress::Host { host: host @ None, interface, .. } = &mut options.address {
            let default = bind::default_host(options.family, interface.is_some());
            *host = Some(default.to_string().into_bytes());
        }
        options
    }

    /// The kernel's number for it. A socket that was made anew has another.
    pub(crate) fn cookie(&self) -> Option<u64> {
        sys::socket_cookie(self.fd.as_fd())
    }

    pub(super) fn record(&self) -> Record {
        let record = Record::new("socket").number(self.id).number(self.number).word(&self.name);
        pairs(&self.options)
            .into_iter()
            .fold(record, |record, (key, value)| record.pair(key, value))
    }

    /// Whether a request with these options is one for this socket. A missing port matches any,
    /// and `reuseport` is not compared.
    pub(super) fn is_same(&self, options: &SocketOptions) -> bool {
        let mut wanted = options.clone();
        if let (
            SocketAddress::Host { port, reuseport, host, interface, .. },
            SocketAddress::Host {
                port: own_port, reuseport: own_reuseport, host: own_host, ..
            },
        ) = (&mut wanted.address, &self.options.address)
        {
            if *port == 0 {
                *port = *own_port;
            }
            *reuseport = *own_reuseport;
            // A default that is spelled out is the same.
            let default = bind::default_host(options.family, interface.is_some()).to_string();
            let or_default =
                |host: &Option<Vec<u8>>| host.clone().unwrap_or(default.clone().into());
            if or_default(host) == or_default(own_host) {
                host.clone_from(own_host);
            }
        }
        wanted == self.options
    }

    /// The number that lists show: a process's own socket of a shared port has none to show.
    pub(crate) fn listed_number(&self) -> Option<RawFd> {
        (!self.is_shared_port()).then_some(self.number)
    }

    pub(super) fn is_shared_port(&self) -> bool {
        matches!(self.options.address, SocketAddress::Host { reuseport: true, .. })
    }

    pub(super) fn path(&self) -> Option<&[u8]> {
        path_of(&self.options)
    }

    pub(super) fn port(&self) -> Option<u16> {
        match self.options.address {
            SocketAddress::Host { port, .. } => Some(port),
            SocketAddress::Path { .. } => None,
        }
    }

    /// What is at its path, if it is bound to one.
    pub(super) fn at_path(&self) -> Option<AtPath> {
        let path = self.path()?;
        Some(self.file.map_or(AtPath::Other, |file| file.look(path)))
    }

    pub(super) fn unlink(&self) {
        if let (Some(path), Some(file)) = (self.path(), self.file) {
            file.unlink(path);
        }
    }
}

/// The path of the file that a socket of these options is bound to.
pub(super) fn path_of(options: &SocketOptions) -> Option<&[u8]> {
    match &options.address {
        SocketAddress::Path { path, .. } => abstract_name(path).is_none().then_some(path),
        SocketAddress::Host { .. } => None,
    }
}

/// The parameters as papa 1.0 spells them; what is unset is left out.
fn pairs(options: &SocketOptions) -> Vec<(&'static str, Vec<u8>)> {
    let SocketOptions { family, socket_type, backlog, address } = options;
    let mut pairs = vec![
        ("family", family.as_str().into()),
        ("type", socket_type.as_str().into()),
        ("backlog", backlog.to_string().into()),
    ];
    match address {
        SocketAddress::Path { path, umask } => {
            pairs.push(("path", path.clone()));
            pairs.extend(umask.map(|umask| ("umask", umask.to_string().into())));
        }
        SocketAddress::Host { host, port, interface, reuseport, v6only } => {
            pairs.extend(host.clone().map(|host| ("host", host)));
            pairs.push(("port", port.to_string().into()));
            pairs.extend(interface.clone().map(|interface| ("interface", interface)));
            pairs.extend(reuseport.then(|| ("reuseport", b"1".to_vec())));
            pairs.extend(v6only.then(|| ("v6only", b"1".to_vec())));
        }
    }
    pairs
}
