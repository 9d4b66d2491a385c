//! Where papad is to be found.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};

/// The environment variable that [`Endpoint::from_env`] reads.
const VARIABLE: &str = "PAPA_ENDPOINT";

/// How long a call may take unless the caller says otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that an answer may take unless the caller says otherwise: what papad sends at most unless
/// told otherwise (`--max-answer`), and as much for keeping its lines apart.
const DEFAULT_MAX_ANSWER: usize = 128 << 20;

/// Where papad is to be found, and whose it must be.
///
/// Over a Unix socket everything can be done. Over TCP, which is this machine's loopback interface
/// alone, sockets and pidfds cannot be handed over: see
/// [`ErrorKind::NeedsUnix`](crate::ErrorKind::NeedsUnix).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub(crate) address: Address,
    pub(crate) owner: Option<u32>,
    pub(crate) program: Option<PathBuf>,
    pub(crate) deadline: Duration,
    pub(crate) max_answer: usize,
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

impl Endpoint {
    /// The port that papad listens on unless it is told otherwise.
    pub const DEFAULT_PORT: u16 = 20202;

    /// A Unix socket at this absolute path.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::at(Address::Unix(path.into()))
    }

    /// This port of 127.0.0.1, which is not 0: papad could be anywhere then.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self::at(Address::Tcp((Ipv4Addr::LOCALHOST, port).into()))
    }

    /// Checks that there may be a papad here: a relative path would mean another place to each
    /// program.
    pub(crate) fn check(&self) -> Result<()> {
        let why = match &self.address {
            Address::Unix(path) if !path.is_absolute() => "its path is not absolute",
            Address::Tcp(address) if address.port() == 0 => "it has no port",
            _ => return Ok(()),
        };
        Err(Error::usage(format!("papad cannot be at {self}: {why}")))
    }

    fn at(address: Address) -> Self {
        Self {
            address,
            owner: None,
            program: None,
            deadline: DEFAULT_DEADLINE,
            max_answer: DEFAULT_MAX_ANSWER,
        }
    }

    /// What the environment's `PAPA_ENDPOINT` says; without it, port 20202.
    ///
    /// # Errors
    /// As [`Endpoint::parse`].
    pub fn from_env() -> Result<Self> {
        match env::var_os(VARIABLE) {
            Some(text) => Self::parse(&text),
            None => Ok(Self::tcp(Self::DEFAULT_PORT)),
        }
    }

    /// Reads `unix:///path`, `tcp://127.0.0.1:PORT`, `tcp://[::1]:PORT`, an absolute path or a
    /// port.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage): it is none of these. papad never listens on
    /// another machine's address.
    ///
    /// ```
    /// # use papa_client::Endpoint;
    /// assert_eq!(Endpoint::parse("unix:///run/papad")?, Endpoint::unix("/run/papad"));
    /// assert_eq!(Endpoint::parse("/run/papad")?, Endpoint::unix("/run/papad"));
    /// assert_eq!(Endpoint::parse("tcp://127.0.0.1:7000")?, Endpoint::tcp(7000));
    /// assert_eq!(Endpoint::parse("7000")?, Endpoint::tcp(7000));
    /// # Ok::<(), papa_client::Error>(())
    /// ```
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self> {
        let bytes = text.as_ref().as_bytes();
        let path = bytes.strip_prefix(b"unix://").unwrap_or(bytes);
        if path.starts_with(b"/") {
            return Ok(Self::unix(Path::new(OsStr::from_bytes(path))));
        }
        let endpoint = Self::parse_tcp(bytes).map(Self::at).ok_or_else(|| {
            let text = papa_protocol::text::shown(bytes);
            let right = "unix:///PATH, tcp://127.0.0.1:PORT, an absolute path or a port";
            Error::usage(format!("An endpoint must be {right}, not \"{text}\""))
        })?;
        endpoint.check().map(|()| endpoint)
    }

    fn parse_tcp(text: &[u8]) -> Option<Address> {
        let text = std::str::from_utf8(text).ok()?;
        if let Ok(port) = text.parse() {
            return Some(Address::Tcp((Ipv4Addr::LOCALHOST, port).into()));
        }
        let text = text.strip_prefix("tcp://")?;
        let address = match text.strip_prefix("localhost:") {
            Some(port) => (Ipv4Addr::LOCALHOST, port.parse().ok()?).into(),
            None => text.parse::<SocketAddr>().ok()?,
        };
        let is_papads = address.ip() == Ipv4Addr::LOCALHOST || address.ip() == Ipv6Addr::LOCALHOST;
        is_papads.then_some(Address::Tcp(address))
    }

    /// Lets papad belong to this user, too: one that was started with `--allow-uid` for this one.
    /// Otherwise it must be this user's or root's, or calls fail with
    /// [`ErrorKind::NotYours`](crate::ErrorKind::NotYours).
    #[must_use]
    pub fn owned_by(mut self, uid: u32) -> Self {
        self.owner = Some(uid);
        self
    }

    /// The program that [`Papa::connect_or_start`](crate::Papa::connect_or_start) starts. Unless
    /// given it is the environment's `PAPAD_BIN`, or `papad` somewhere in `PATH`.
    #[must_use]
    pub fn program(mut self, papad: impl Into<PathBuf>) -> Self {
        self.program = Some(papad.into());
        self
    }

    /// How long each call may take for who connects here, the connecting itself among them. 10
    /// seconds unless set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How many bytes of memory an answer may take, each of its lines with 32 more than it has: 128
    /// MiB unless set, which is enough for a papad with its default `--max-answer`. A longer answer
    /// is an error ([`ErrorKind::Limit`](crate::ErrorKind::Limit)), and ends the connection. What a
    /// watch is sent has bounds of its own: a line 256 KiB, and output is taken as it comes.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// The path of the Unix socket, if it is one.
    #[must_use]
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.address {
            Address::Unix(path) => Some(path),
            Address::Tcp(_) => None,
        }
    }

    /// The address and the port, unless it is a Unix socket.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.address {
            Address::Unix(_) => None,
            Address::Tcp(address) => Some(*address),
        }
    }

    pub(crate) fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }
}

/// As [`Endpoint::parse`] reads it.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["unix:///run/a b", "tcp://127.0.0.1:7", "tcp://[::1]:20202"] {
            assert_eq!(Endpoint::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Endpoint::parse("tcp://localhost:7").unwrap(), Endpoint::tcp(7));
    }

    #[test]
    fn an_endpoint_has_a_path_or_an_address() {
        let unix = Endpoint::unix("/run/papad");
        assert_eq!((unix.unix_path(), unix.tcp_address()), (Some(Path::new("/run/papad")), None));
        let tcp = Endpoint::tcp(7);
        assert_eq!((tcp.unix_path(), tcp.tcp_address()), (None, Some(([127, 0, 0, 1], 7).into())));
    }

    #[test]
    fn no_other_machine_and_no_relative_path_is_an_endpoint() {
        let texts = ["", "run/papad", "unix://run", "tcp://10.0.0.1:7", "tcp://[::1]", "70000"];
        for text in texts.into_iter().chain(["0", "tcp://[::1]:0"]) {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
        for endpoint in [Endpoint::tcp(0), Endpoint::unix("run/papad")] {
            assert!(endpoint.check().is_err(), "{endpoint}");
        }
    }
}
