//! The shape of a socket.

use papa_client::{Family, SocketAddress, SocketFault, SocketInfo, SocketType};
use schemars::JsonSchema;
use serde::Serialize;

/// A socket that papad holds.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "socket")]
pub(crate) struct Socket {
    /// Its name.
    pub(crate) name: String,
    /// tcp, udp, unix, unix-dgram, unix-seqpacket, or what else socket(2) has.
    pub(crate) r#type: String,
    /// inet, inet6 or unix.
    pub(crate) family: &'static str,
    /// Where it is bound, in one word: HOST:PORT, [HOST]:PORT or a path.
    pub(crate) address: String,
    /// The host; null of a Unix socket.
    pub(crate) host: Option<String>,
    /// The port; null of a Unix socket.
    pub(crate) port: Option<u16>,
    /// The network device that it is bound to, if it is bound to one.
    pub(crate) interface: Option<String>,
    /// Whether each process gets a socket of its own on the same port.
    pub(crate) reuseport: bool,
    /// Whether it leaves the port of IPv4 to others, where it is bound to every address.
    pub(crate) v6only: bool,
    /// The path, or @ and the name of an abstract socket; null unless it is a Unix socket.
    pub(crate) path: Option<String>,
    /// The permission bits that were taken away from the path, in octal, if that was asked for.
    pub(crate) umask: Option<String>,
    /// Connections that may wait to be accepted; 2147483647 is as many as the system allows.
    pub(crate) backlog: u32,
    /// Its number in processes that refer to it or inherit it.
    pub(crate) fileno: Option<i32>,
    /// Why nobody can reach it: shut-down, no-file or other-file; null if it is well.
    pub(crate) fault: Option<&'static str>,
}

impl Socket {
    pub(crate) fn new(info: &SocketInfo) -> Self {
        let mut socket = Self {
            name: info.name.to_string(),
            r#type: kind(info),
            family: info.family.as_str(),
            address: address(info),
            host: None,
            port: None,
            interface: None,
            reuseport: false,
            v6only: false,
            path: None,
            umask: None,
            backlog: info.backlog,
            fileno: info.fileno,
            fault: info.fault.map(fault),
        };
        match &info.address {
            SocketAddress::Path { path, umask, .. } => {
                socket.path = Some(path.display().to_string());
                socket.umask = umask.map(|umask| format!("{umask:03o}"));
            }
            SocketAddress::Host { host, port, interface, reuseport, v6only, .. } => {
                socket.host.clone_from(host);
                socket.port = Some(*port);
                socket.interface.clone_from(interface);
                socket.reuseport = *reuseport;
                socket.v6only = *v6only;
            }
            _ => {}
        }
        socket
    }
}

/// The word for what is wrong with it.
fn fault(fault: SocketFault) -> &'static str {
    match fault {
        SocketFault::ShutDown => "shut-down",
        SocketFault::NoFile => "no-file",
        SocketFault::OtherFile => "other-file",
        _ => "other",
    }
}

/// What kind of socket it is, as people say it.
pub(crate) fn kind(info: &SocketInfo) -> String {
    match (info.family, info.socket_type) {
        (Family::Unix, SocketType::Stream) => "unix".into(),
        (Family::Unix, other) => format!("unix-{}", other.as_str()),
        (_, SocketType::Stream) => "tcp".into(),
        (_, SocketType::Dgram) => "udp".into(),
        (_, other) => other.as_str().into(),
    }
}

/// Where it is bound.
pub(crate) fn address(info: &SocketInfo) -> String {
    match &info.address {
        SocketAddress::Path { path, .. } => {
            crate::text::printable(path.as_os_str().as_encoded_bytes())
        }
        SocketAddress::Host { host, port, interface, .. } => {
            let host = host.as_deref().unwrap_or("*");
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let device = interface.as_ref().map(|it| format!("%{it}")).unwrap_or_default();
            format!("{host}{device}:{port}")
        }
        _ => String::new(),
    }
}
