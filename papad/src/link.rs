//! The messages between keeper and server, over one `SOCK_SEQPACKET` pair.
//!
//! A message is one line of words; descriptors that it names travel with it. A message that was
//! sent is delivered even if its sender is killed at once, so nothing here is acknowledged.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::{FromStr, SplitAsciiWhitespace};

use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::unistd::{Pid, pipe2};

use crate::sys;

/// Names per message, so that a message stays below `sys::MAX_MESSAGE` bytes.
const MAX_NAMES: usize = sys::MAX_DESCRIPTORS;

/// What a held descriptor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Held {
    /// A listening socket of papad itself.
    Control(u64),
    /// The journal that is in force.
    Journal,
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
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Control(n) => write!(f, "control.{n}"),
            Held::Journal => f.write_str("journal"),
            Held::StateLock => f.write_str("state-lock"),
            Held::Mark => f.write_str("mark"),
            Held::Socket(n) => write!(f, "socket.{n}"),
            Held::Ring(n) => write!(f, "ring.{n}"),
            Held::Out(n) => write!(f, "out.{n}"),
            Held::Err(n) => write!(f, "err.{n}"),
        }
    }
}

impl FromStr for Held {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Held> {
        match text {
            "journal" => return Ok(Held::Journal),
            "state-lock" => return Ok(Held::StateLock),
            "mark" => return Ok(Held::Mark),
            _ => {}
        }
        let (kind, number) = text.split_once('.').ok_or_else(bad_message)?;
        let number = number.parse().map_err(|_| bad_message())?;
        match kind {
            "control" => Ok(Held::Control(number)),
            "socket" => Ok(Held::Socket(number)),
            "ring" => Ok(Held::Ring(number)),
            "out" => Ok(Held::Out(number)),
            "err" => Ok(Held::Err(number)),
            _ => Err(bad_message()),
        }
    }
}

/// What the server tells the keeper.
#[derive(Debug)]
pub(crate) enum ToKeeper {
    /// Keep these, each in place of what had its name before.
    Hold(Vec<(Held, OwnedFd)>),
    /// These are needed no longer. What comes with it is closed when they are.
    Drop(Vec<Held>, Option<OwnedFd>),
    /// The end of this process is in the journal: it may be reaped.
    Recorded(Pid),
    /// Everything is recovered and sessions are served.
    Ready,
    /// papad is to end for good.
    Leave,
}

/// What the keeper tells the server.
#[derive(Debug)]
pub(crate) enum ToServer {
    /// Some of what is held.
    Held(Vec<(Held, OwnedFd)>),
    /// All that is held has been handed over.
    Start(Start),
    /// A child of the keeper has ended with this code (minus the signal number).
    Exited(Pid, i32),
    /// End in order: papad is being stopped.
    Leave,
}

/// What a server needs to know of papad's life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// How many servers there were, this one included.
    pub(crate) starts: u64,
    /// How the last server ended: its exit status, or minus a signal's number.
    pub(crate) last_end: Option<i32>,
    /// The descriptor limits papad was started with, which children get: soft and hard.
    pub(crate) descriptor_limit: (u64, u64),
    /// The OOM score adjustment papad was started with, which children get; `None` if it is
    /// papad's own, too.
    pub(crate) oom_score: Option<i32>,
    /// How many servers in a row have ended before they were ready.
    pub(crate) deaths: u64,
}

/// One end of the link.
pub(crate) struct Link(OwnedFd);

impl Link {
    /// A new link: the keeper's end and the server's.
    pub(crate) fn pair() -> io::Result<(Link, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (keeper, server) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Link(keeper), server))
    }

    /// The end that was inherited as this descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Link {
        // Room for a burst of spawns, so that the server does not wait for the keeper's turn.
        // A smaller queue is only slower, so a refusal is of no consequence.
        let _ = setsockopt(&fd, sockopt::SndBuf, &(256 * 1024));
        Link(fd)
    }

    /// Tells the keeper. Fails only when the keeper is gone.
    pub(crate) fn tell_keeper(&self, message: &ToKeeper) -> io::Result<()> {
        match message {
            ToKeeper::Hold(fds) => self.send_named("hold", &borrowed(fds)),
            ToKeeper::Drop(names, done) => {
                let done: Vec<BorrowedFd> = done.iter().map(AsFd::as_fd).collect();
                names.chunks(MAX_NAMES).try_for_each(|names| {
                    let text = named("drop", names.iter());
                    sys::send(self.0.as_fd(), text.as_bytes(), &done)
                })
            }
            ToKeeper::Recorded(pid) => self.send_text(&format!("recorded {pid}")),
            ToKeeper::Ready => self.send_text("ready"),
            ToKeeper::Leave => self.send_text("leave"),
        }
    }

    /// Has the keeper hold descriptors that the server goes on using.
    pub(crate) fn hold(&self, fds: &[(Held, BorrowedFd)]) -> io::Result<()> {
        self.send_named("hold", fds)
    }

    /// Has the keeper drop what is needed no longer.
    pub(crate) fn drop_held(&self, names: Vec<Held>) {
        // Fails only if the keeper is gone, which ends the server elsewhere.
        let _ = self.tell_keeper(&ToKeeper::Drop(names, None));
    }

    /// Has the keeper drop something, and returns when its descriptors are closed.
    pub(crate) fn drop_now(&self, names: Vec<Held>) -> io::Result<()> {
        let Ok((done, keepers_end)) = pipe2(OFlag::O_CLOEXEC) else {
            // Without descriptors to wait with, it happens a little later. To remove things is
            // what makes room.
            return self.tell_keeper(&ToKeeper::Drop(names, None));
        };
        self.tell_keeper(&ToKeeper::Drop(names, Some(keepers_end)))?;
        File::from(done).read_to_end(&mut Vec::new())?;
        Ok(())
    }

    /// Tells the server one thing.
    pub(crate) fn tell_server(&self, message: &ToServer) -> io::Result<()> {
        match message {
            ToServer::Held(fds) => self.send_named("held", &borrowed(fds)),
            ToServer::Start(start) => {
                let Start { starts, last_end, descriptor_limit, oom_score, deaths } = start;
                let (soft, hard) = descriptor_limit;
                let or_none = |number: &Option<i32>| {
                    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
                };
                let (last_end, oom_score) = (or_none(last_end), or_none(oom_score));
                self.send_text(&format!(
                    "start {starts} {last_end} {soft} {hard} {oom_score} {deaths}"
                ))
            }
            ToServer::Exited(pid, code) => self.send_text(&format!("exited {pid} {code}")),
            ToServer::Leave => self.send_text("leave"),
        }
    }

    /// Hands a server all that is held.
    pub(crate) fn hand_over<'a>(
        &self,
        held: impl Iterator<Item = (&'a Held, &'a OwnedFd)>,
    ) -> io::Result<()> {
        let held: Vec<(Held, BorrowedFd)> = held.map(|(name, fd)| (*name, fd.as_fd())).collect();
        held.chunks(MAX_NAMES).try_for_each(|part| self.send_named("held", part))
    }

    /// Waits for the server's next message; `None` when the server is gone.
    pub(crate) fn hear_server(&self) -> io::Result<Option<ToKeeper>> {
        let Some((text, fds)) = self.receive()? else {
            return Ok(None);
        };
        let mut words = text.split_ascii_whitespace();
        let message = match words.next() {
            Some("hold") => ToKeeper::Hold(pair_up(words, fds)?),
            Some("drop") => {
                let names = words.map(Held::from_str).collect::<io::Result<_>>()?;
                ToKeeper::Drop(names, fds.into_iter().next())
            }
            Some("recorded") => ToKeeper::Recorded(Pid::from_raw(number(&mut words)?)),
            Some("ready") => ToKeeper::Ready,
            Some("leave") => ToKeeper::Leave,
            _ => return Err(bad_message()),
        };
        Ok(Some(message))
    }

    /// Waits for the keeper's next message; `None` when the keeper is gone.
    pub(crate) fn hear_keeper(&self) -> io::Result<Option<ToServer>> {
        let Some((text, fds)) = self.receive()? else {
            return Ok(None);
        };
        let mut words = text.split_ascii_whitespace();
        let message = match words.next() {
            Some("held") => ToServer::Held(pair_up(words, fds)?),
            Some("start") => ToServer::Start(Start {
                starts: number(&mut words)?,
                last_end: words.next().and_then(|word| word.parse().ok()),
                descriptor_limit: (number(&mut words)?, number(&mut words)?),
                oom_score: words.next().and_then(|word| word.parse().ok()),
                deaths: words.next().and_then(|word| word.parse().ok()).unwrap_or_default(),
            }),
            Some("exited") => {
                ToServer::Exited(Pid::from_raw(number(&mut words)?), number(&mut words)?)
            }
            Some("leave") => ToServer::Leave,
            _ => return Err(bad_message()),
        };
        Ok(Some(message))
    }

    fn send_text(&self, text: &str) -> io::Result<()> {
        sys::send(self.0.as_fd(), text.as_bytes(), &[])
    }

    fn send_named(&self, verb: &str, fds: &[(Held, BorrowedFd)]) -> io::Result<()> {
        let text = named(verb, fds.iter().map(|(name, _)| name));
        let fds: Vec<BorrowedFd> = fds.iter().map(|(_, fd)| *fd).collect();
        sys::send(self.0.as_fd(), text.as_bytes(), &fds)
    }

    fn receive(&self) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
        let (text, fds) = match sys::receive(self.0.as_fd()) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            other => other?,
        };
        if text.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8(text).map_err(|_| bad_message())?;
        Ok(Some((text, fds)))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn borrowed(fds: &[(Held, OwnedFd)]) -> Vec<(Held, BorrowedFd<'_>)> {
    fds.iter().map(|(name, fd)| (*name, fd.as_fd())).collect()
}

fn named<'a>(verb: &str, names: impl Iterator<Item = &'a Held>) -> String {
    use fmt::Write;
    let mut text = String::from(verb);
    for name in names {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}");
    }
    text
}

fn pair_up(words: SplitAsciiWhitespace, fds: Vec<OwnedFd>) -> io::Result<Vec<(Held, OwnedFd)>> {
    let names = words.map(Held::from_str).collect::<io::Result<Vec<_>>>()?;
    if names.len() == fds.len() {
        Ok(names.into_iter().zip(fds).collect())
    } else {
        Err(bad_message())
    }
}

fn number<N: FromStr>(words: &mut SplitAsciiWhitespace) -> io::Result<N> {
    words.next().and_then(|word| word.parse().ok()).ok_or_else(bad_message)
}

fn bad_message() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that is not understood")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_held_descriptor_arrives_under_its_name_though_its_sender_is_gone() {
        let (keeper, server) = Link::pair().unwrap();
        let server = Link::new(server);
        let (reader, writer) = nix::unistd::pipe().unwrap();
        server.hold(&[(Held::Out(7), reader.as_fd())]).unwrap();
        drop((server, reader));

        let Some(ToKeeper::Hold(mut held)) = keeper.hear_server().unwrap() else { panic!() };
        let (name, fd) = held.pop().unwrap();
        assert_eq!(name, Held::Out(7));
        std::fs::File::from(writer).write_all(b"x").unwrap();
        let mut byte = [0];
        std::fs::File::from(fd).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(keeper.hear_server().unwrap().is_none());
    }

    #[test]
    fn every_name_is_read_back_as_it_was_written() {
        let names = [
            Held::Control(0),
            Held::Journal,
            Held::StateLock,
            Held::Mark,
            Held::Socket(1),
            Held::Ring(u64::MAX),
            Held::Out(3),
            Held::Err(4),
        ];
        for name in names {
            assert_eq!(name.to_string().parse::<Held>().unwrap(), name);
        }
        assert!("nothing.1".parse::<Held>().is_err());
        assert!("ring.-1".parse::<Held>().is_err());
    }
}
