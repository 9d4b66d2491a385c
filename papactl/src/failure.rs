//! What went wrong, in one line that says what to do next.

use std::fmt;
use std::io;

use papa_client::{Endpoint, Error, ErrorKind};
use schemars::JsonSchema;
use serde::Serialize;

use crate::exit::Exit;

/// Why a command has not done what it was to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// papad said so, or could not be spoken with.
    Papad(Error),
    /// papactl itself says so.
    Own {
        /// What kind of trouble it is.
        exit: Exit,
        /// What is so.
        what: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// Whoever read what papactl writes has gone: `papactl ps | head`. Nothing is said then.
    NobodyReads,
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self::Own { exit, what: what.into(), hint: None }
    }

    /// Adds what to do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Own { exit, what, .. } => Self::Own { exit, what, hint: Some(hint.into()) },
            other => other,
        }
    }

    /// Something that the system would not do.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Exit::FAILED, format!("{what}: {error}"))
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Papad(error) => Exit::of_error(error.kind()),
            Self::Own { exit, .. } => *exit,
            Self::NobodyReads => Exit::DONE,
        }
    }

    /// What is to be said of it; `None` where nothing is.
    pub(crate) fn report(&self, endpoint: &Endpoint) -> Option<Report> {
        match self {
            Self::Papad(error) => Some(Report {
                error: in_papactls_words(&with_cause(error)),
                hint: hint(error.kind(), endpoint),
                exit_status: self.exit(),
            }),
            Self::Own { exit, what, hint } => {
                Some(Report { error: what.clone(), hint: hint.clone(), exit_status: *exit })
            }
            Self::NobodyReads => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Papad(error)
    }
}

/// Writing to standard output is the only thing that is not told apart by what it was.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::NobodyReads,
            _ => Self::io("standard output cannot be written", &error),
        }
    }
}

/// What is said of a failure on standard error.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "error")]
pub(crate) struct Report {
    /// What is so.
    error: String,
    /// What to do next, if that is known.
    hint: Option<String>,
    /// What kind of trouble it is, as EXIT STATUS of papactl(1) counts them. Commands that end as a
    /// process did end with 125 instead.
    #[schemars(with = "u8")]
    exit_status: Exit,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            None => write!(f, "papactl: {}", self.error),
            Some(hint) => write!(f, "papactl: {}; {hint}", self.error),
        }
    }
}

/// An error of the client's, and what the system said.
pub(crate) fn with_cause(error: &Error) -> String {
    match std::error::Error::source(error) {
        None => error.to_string(),
        Some(cause) => format!("{error}: {cause}"),
    }
}

/// papad's errors of what cannot be made are in the words of papa 1.0, which its clients know.
fn in_papactls_words(what: &str) -> String {
    if let Some((name, how)) = what
        .strip_prefix("Socket for ")
        .and_then(|rest| rest.split_once(" has already been created - "))
    {
        let how = how.strip_prefix(name).unwrap_or(how).trim_start();
        return format!("papad holds a socket {name} that was made otherwise: {how}");
    }
    let of_papa = [
        ("Bad command - ", "the command cannot be run: "),
        ("Bad working_dir - ", "the directory cannot be entered: "),
        ("Bad host - ", "the address of this host cannot be found: "),
        ("Bind failed on ", "the socket cannot be bound to "),
        ("Bind failed: ", "the socket cannot be made: "),
        ("Cannot prepare the process - ", "papad has not what it needs for the process: "),
        ("Cannot set rlimit ", "it cannot be started with the limit "),
        (
            "Cannot set the supplementary groups - ",
            "this papad, which is not root's, cannot start processes as another user: ",
        ),
    ];
    let of_papa =
        of_papa.into_iter().find_map(|(theirs, own)| Some((own, what.strip_prefix(theirs)?)));
    of_papa.map_or_else(|| what.to_owned(), |(own, rest)| format!("{own}{rest}"))
}

/// What to do about an error of the client's, where that does not lie in its own words.
fn hint(kind: ErrorKind, endpoint: &Endpoint) -> Option<String> {
    match kind {
        ErrorKind::NotYours => Some(format!(
            "the papad at {endpoint} belongs to another user: start one of your own at another \
             place, become that user with sudo -u, or say --trust USER if it is you who does not \
             trust it; to let you in with --allow-uid would give you all of that user's rights"
        )),
        ErrorKind::Denied => Some("try as the user that papad runs as, or as root".into()),
        ErrorKind::NeedsUnix => {
            Some("name papad's Unix socket with --endpoint PATH; papad -u PATH makes one".into())
        }
        // What papad itself cannot get, for some limit of its own perhaps.
        ErrorKind::Internal | ErrorKind::Timeout => {
            Some("\"papactl doctor\" looks for what might be wrong".into())
        }
        ErrorKind::Protocol => Some(format!(
            "what answers at {endpoint} is no papad, or one that is too old: see papactl doctor"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn papas_words_are_not_papactls() {
        let said = |what: &str| in_papactls_words(what);
        assert_eq!(said("Bad working_dir - No: /x"), "the directory cannot be entered: No: /x");
        assert_eq!(said("Bad command - No: x"), "the command cannot be run: No: x");
        assert_eq!(
            said("Socket for x has already been created - x family=inet port=1"),
            "papad holds a socket x that was made otherwise: family=inet port=1"
        );
        assert_eq!(said("Bind failed on ::1:1: No"), "the socket cannot be bound to ::1:1: No");
        assert_eq!(said("Socket x not found"), "Socket x not found");
    }

    #[test]
    fn whoever_of_the_two_does_not_trust_the_other_is_told_what_to_do() {
        let hint = hint(ErrorKind::NotYours, &Endpoint::tcp(7)).unwrap();
        for way in ["tcp://127.0.0.1:7 ", "sudo -u", "--allow-uid", "--trust USER"] {
            assert!(hint.contains(way), "{way}: {hint}");
        }
    }
}
