//! Where papad is to be found.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::user_dirs;

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
    /// Where else to look, in this order, if nobody answers there. Only of the user's own endpoint.
    others: Vec<Address>,
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

    /// Where a user's papad is unless somebody says otherwise: a Unix socket of this user's own, and
    /// if nobody answers there, port 20202.
    ///
    /// For root that is `/run/papad.sock`; for anybody else `papad.sock` in `$XDG_RUNTIME_DIR`, in
    /// `/run/user/UID`, or where neither is there or belongs to this user, in `/tmp/papad-UID`. The
    /// environment's `PAPAD_DIR` names another directory. A papad at port 20202 that belongs to
    /// somebody else is passed over, as if it were not there.
    ///
    /// What [`Papa::connect_or_start`](crate::Papa::connect_or_start) starts listens on the Unix
    /// socket, and on port 20202, too, if that is free.
    #[must_use]
    pub fn of_user() -> Self {
        let mut places = user_dirs::sockets().into_iter().map(Address::Unix);
        let port = Address::Tcp((Ipv4Addr::LOCALHOST, Self::DEFAULT_PORT).into());
        match places.next() {
            Some(first) => Self { others: places.chain([port]).collect(), ..Self::at(first) },
            None => Self::at(port),
        }
    }

    /// The places that this stands for, in the order in which they are tried: itself, unless it is
    /// [`Endpoint::of_user`].
    #[must_use]
    pub fn candidates(&self) -> Vec<Self> {
        let addresses = [&self.address].into_iter().chain(&self.others);
        let at = |address: &Address| Self {
            address: address.clone(),
            others: Vec::new(),
            ..self.clone()
        };
        addresses.map(at).collect()
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
            others: Vec::new(),
            owner: None,
            program: None,
            deadline: DEFAULT_DEADLINE,
            max_answer: DEFAULT_MAX_ANSWER,
        }
    }

    /// What the environment's `PAPA_ENDPOINT` says; without it, [`Endpoint::of_user`].
    ///
    /// # Errors
    /// As [`Endpoint::parse`].
    pub fn from_env() -> Result<Self> {
        match env::var_os(VARIABLE) {
            Some(text) => Self::parse(&text),
            None => Ok(Self::of_user()),
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
    /// given it is the environment's `PAPAD_BIN`, or `papad` somewhere in `PATH`. What it logs is
    /// appended to [`Endpoint::log_file`].
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

    /// The file that a papad logs to which was started here: `PATH.log` beside a Unix socket; for
    /// [`Endpoint::of_user`] `$XDG_STATE_HOME/papad/log` (`~/.local/state/papad/log`), for root
    /// `/var/log/papad.log`, or `log` in the environment's `PAPAD_DIR`; for a user without a home of
    /// their own `papad.log` beside the socket. `None` at a port.
    ///
    /// Whoever starts a papad moves a file that has become large to `FILE.1` first.
    #[must_use]
    pub fn log_file(&self) -> Option<PathBuf> {
        match &self.address {
            Address::Unix(_) if !self.others.is_empty() => user_dirs::log(),
            Address::Unix(path) => {
                let mut path = path.clone().into_os_string();
                path.push(".log");
                Some(path.into())
            }
            Address::Tcp(_) => None,
        }
    }

    /// Whether this is [`Endpoint::of_user`].
    pub(crate) fn is_of_user(&self) -> bool {
        !self.others.is_empty()
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
    fn only_the_users_own_endpoint_stands_for_several_places() {
        let own = Endpoint::of_user().owned_by(7);
        let places = own.candidates();
        assert!(places.len() > 1, "{places:?}");
        assert_eq!(places.last(), Some(&Endpoint::tcp(Endpoint::DEFAULT_PORT).owned_by(7)));
        for endpoint in [Endpoint::unix("/run/papad"), Endpoint::tcp(7)] {
            assert_eq!(endpoint.candidates(), [endpoint]);
        }
        let log = Endpoint::unix("/run/papad").log_file();
        assert_eq!(log, Some("/run/papad.log".into()));
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
