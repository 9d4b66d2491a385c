//! What held descriptors are called.

use std::fmt;
use std::io;
use std::str::FromStr;

use super::bad_message;

/// What a held descriptor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Held {
    /// A listening socket of papad itself.
    Control(u64),
    /// A journal. The one with the highest number is in force.
    Journal(u64),
    /// The end of a pipe whose other end a server has, and the children that it is making.
    Server(u64),
    /// The lock on the directory where values are on disk.
    StateLock,
    /// How far servers got that died while they recovered.
    Mark,
    /// A hosted socket, by its number.
    Socket(u64),
    /// The ring of a process, by the process's number.
    Ring(u64),
    /// The reading end of a process's standard output.
    Out(u64),
    /// The reading end of a process's standard error.
    Err(u64),
    /// The pidfd of a process that is no child of the keeper.
    Pidfd(u64),
    /// What a server that has parted tells the next of its sessions.
    Handover,
    /// Something that goes with it: a connection, or a descriptor on its way over one.
    Passed(u64),
    /// The writing end of a pipe. Who writes to it has taken over from the server at the other
    /// end; when nobody has it any more, nobody will.
    Baton,
}

impl Held {
    /// Whether it belongs to the change from one server to the next.
    pub(crate) fn is_passing(self) -> bool {
        matches!(self, Held::Handover | Held::Passed(_) | Held::Baton)
    }

    /// Whether a store that outlives papad has it, if there is one.
    pub(crate) fn is_stored(self) -> bool {
        match self {
            Held::Control(_)
            | Held::Journal(_)
            | Held::StateLock
            | Held::Server(_)
            | Held::Socket(_)
            | Held::Ring(_)
            | Held::Out(_)
            | Held::Err(_)
            | Held::Pidfd(_) => true,
            // Each keeper counts the deaths of its own servers.
            Held::Mark | Held::Handover | Held::Passed(_) | Held::Baton => false,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Control(n) => write!(f, "control.{n}"),
            Held::Journal(n) => write!(f, "journal.{n}"),
            Held::Server(n) => write!(f, "server.{n}"),
            Held::StateLock => f.write_str("state-lock"),
            Held::Mark => f.write_str("mark"),
            Held::Socket(n) => write!(f, "socket.{n}"),
            Held::Ring(n) => write!(f, "ring.{n}"),
            Held::Out(n) => write!(f, "out.{n}"),
            Held::Err(n) => write!(f, "err.{n}"),
            Held::Pidfd(n) => write!(f, "pidfd.{n}"),
            Held::Handover => f.write_str("handover"),
            Held::Passed(n) => write!(f, "passed.{n}"),
            Held::Baton => f.write_str("baton"),
        }
    }
}

impl FromStr for Held {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Held> {
        match text {
            "handover" => return Ok(Held::Handover),
            "baton" => return Ok(Held::Baton),
            "state-lock" => return Ok(Held::StateLock),
            "mark" => return Ok(Held::Mark),
            _ => {}
        }
        let (kind, number) = text.split_once('.').ok_or_else(bad_message)?;
        let number = number.parse().map_err(|_| bad_message())?;
        match kind {
            "control" => Ok(Held::Control(number)),
            "journal" => Ok(Held::Journal(number)),
            "server" => Ok(Held::Server(number)),
            "socket" => Ok(Held::Socket(number)),
            "ring" => Ok(Held::Ring(number)),
            "out" => Ok(Held::Out(number)),
            "err" => Ok(Held::Err(number)),
            "passed" => Ok(Held::Passed(number)),
            "pidfd" => Ok(Held::Pidfd(number)),
            _ => Err(bad_message()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_as_it_was_written() {
        let names = [
            Held::Control(0),
            Held::Journal(2),
            Held::Server(5),
            Held::StateLock,
            Held::Mark,
            Held::Socket(1),
            Held::Ring(u64::MAX),
            Held::Out(3),
            Held::Err(4),
            Held::Pidfd(5),
        ];
        for name in names {
            assert_eq!(name.to_string().parse::<Held>().unwrap(), name);
        }
        assert!("nothing.1".parse::<Held>().is_err());
        assert!("ring.-1".parse::<Held>().is_err());
    }
}
