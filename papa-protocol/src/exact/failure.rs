//! Why a request was not done.

use std::error::Error;
use std::fmt;

use crate::name::NameError;
use crate::quoted::QuotedError;

/// What kind of failure it is: the second word of an `error` line. The list is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is not understood, or its options contradict each other.
    Usage,
    /// The name is taken by something that was made with other options.
    Exists,
    /// Nothing has that name.
    NotFound,
    /// Not over this kind of connection, or not by this user.
    Denied,
    /// A bound was met.
    Limit,
    /// No process came of it.
    Spawn,
    /// A condition does not hold, or a position cannot be.
    Conflict,
    /// papad is not idle.
    Busy,
    /// It was removed meanwhile.
    Gone,
    /// Trouble of papad's own.
    Internal,
}

impl Code {
    const ALL: [Self; 10] = [
        Self::Usage,
        Self::Exists,
        Self::NotFound,
        Self::Denied,
        Self::Limit,
        Self::Spawn,
        Self::Conflict,
        Self::Busy,
        Self::Gone,
        Self::Internal,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Exists => "exists",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Limit => "limit",
            Self::Spawn => "spawn",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Gone => "gone",
            Self::Internal => "internal",
        }
    }

    /// The code of that word.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str().as_bytes() == text)
    }
}

/// Why a request was not done. `Display` is [`Failure::what`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people: one plain sentence.
    pub what: String,
}

impl Failure {
    /// A failure and its sentence.
    #[must_use]
    pub fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into() }
    }

    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Code::Usage, what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<QuotedError> for Failure {
    fn from(error: QuotedError) -> Self {
        Self::usage(error.to_string())
    }
}
