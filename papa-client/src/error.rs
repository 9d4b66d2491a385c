//! Why something could not be done.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use papa_protocol::exact::{Code, Failure};
use papa_protocol::name::NameError;

/// What a call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// `Display` is one sentence: papad's own words where papad refused something. What a program
/// decides by is [`Error::kind`]; what the operating system said is the [source](StdError::source)
/// and not repeated in the sentence.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of error it is. Those down to `Internal` are papad's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was asked for makes no sense: a bad name, or options that contradict each other.
    Usage,
    /// The name is taken by something that was made otherwise.
    Exists,
    /// Nothing has that name.
    NotFound,
    /// Not over this kind of connection, or not by this user.
    Denied,
    /// One of papad's bounds was met, or the bound on [answers](crate::Endpoint::max_answer).
    Limit,
    /// The program could not be started.
    Spawn,
    /// A condition does not hold, or there is no such position in the output.
    Conflict,
    /// papad is not idle.
    Busy,
    /// It was there and was removed.
    Gone,
    /// papad's own trouble.
    Internal,
    /// The deadline has passed. What was asked for may have been done, or may be done still, when
    /// papad comes to it.
    Timeout,
    /// The connection ended before the answer came: what was asked for was done, or was not.
    Disconnected,
    /// Nobody answers at the endpoint: papad does not run.
    NotRunning,
    /// The process has ended.
    Ended,
    /// Whoever answers at the endpoint is neither this user nor root, or lets neither in.
    NotYours,
    /// This can only be done over papad's Unix socket.
    NeedsUnix,
    /// What answered is not protocol 2.
    Protocol,
    /// The operating system refused something. The source says what.
    Io,
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, what)
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, what)
    }

    /// The operating system's refusal of what was tried.
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::new(ErrorKind::Io, what).because(source.into())
    }

    /// A connection that is over.
    pub(crate) fn disconnected() -> Self {
        Self::new(ErrorKind::Disconnected, "the connection to papad ended before its answer")
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let kind = match failure.code {
            Code::Usage => ErrorKind::Usage,
            Code::Exists => ErrorKind::Exists,
            Code::NotFound => ErrorKind::NotFound,
            Code::Denied => ErrorKind::Denied,
            Code::Limit => ErrorKind::Limit,
            Code::Spawn => ErrorKind::Spawn,
            Code::Conflict => ErrorKind::Conflict,
            Code::Busy => ErrorKind::Busy,
            Code::Gone => ErrorKind::Gone,
            Code::Internal => ErrorKind::Internal,
        };
        Self::new(kind, failure.what)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}
