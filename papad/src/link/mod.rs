//! The messages between keeper and server, over one `SOCK_SEQPACKET` pair.
//!
//! A message is one line of words; descriptors that it names travel with it. A message that was
//! sent is delivered even if its sender is killed at once, so nothing here is acknowledged.

mod delivery;
mod held;
mod start;
mod to_keeper;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::{FromStr, SplitAsciiWhitespace};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;

use delivery::Delivery;
pub(crate) use held::Held;
pub(crate) use start::Start;

use crate::{limit, sys};

/// Names per message, so that a message stays below `sys::MAX_MESSAGE` bytes.
const MAX_NAMES: usize = sys::MAX_DESCRIPTORS;

/// How long to wait for the other side to take a message, or to close what it was told to.
const RESPONSE_TIME: Duration = Duration::from_secs(10);

/// How long to wait before sending again, where too many descriptors are in flight.
const CROWDED: Duration = Duration::from_millis(5);

/// Why there is no upgrade for who asks while another one's is not over.
pub(crate) const ANOTHER_UPGRADE: &str = "another upgrade is under way";

/// What the server tells the keeper.
#[derive(Debug)]
pub(crate) enum ToKeeper {
    /// Keep these, each in place of what had its name before. What comes with them is closed when
    /// they are in the store.
    Hold(Vec<(Held, OwnedFd)>, Option<OwnedFd>),
    /// These are needed no longer. What comes with it is closed when they are.
    Drop(Vec<Held>, Option<OwnedFd>),
    /// The end of this process is in the journal: it may be reaped.
    Recorded(Pid),
    /// It runs, and hears.
    Here,
    /// It has read all that is held, and can take over.
    Able,
    /// It cannot take over, and why.
    Unable(String),
    /// It has taken over from the server that has parted.
    Took,
    /// It goes on with all sessions, and nobody else does any more.
    DropPassed,
    /// Everything is recovered and sessions are served. So many records could not be read. Whether
    /// it answers [`ToServer::Ping`]: earlier versions do not know it.
    Ready { skipped: u64, answers: bool },
    /// The answer to [`ToServer::Ping`].
    Pong,
    /// A client asks for an upgrade, by this number, to this program, or to the one that is where
    /// papad was started from.
    Upgrade(u64, Option<OwnedFd>),
    /// Its sessions have stopped, and all there is to know of them is held.
    Parted,
    /// As [`ToKeeper::Parted`], said by a server that has started the keeper itself.
    Succeed,
    /// It cannot part, and why.
    Stays(String),
    /// papad is to end for good.
    Leave,
}

/// What the keeper tells the server.
#[derive(Debug)]
pub(crate) enum ToServer {
    /// Some of what is held.
    Held(Vec<(Held, OwnedFd)>),
    /// Find out whether you can take over. The server that runs could not read so many records.
    Rehearse { skipped: u64 },
    /// All that is held has been handed over.
    Start(Start),
    /// Descriptors of a message were lost: have everything held again.
    HoldAgain,
    /// Stop, and hand everything to the next server.
    Part,
    /// The upgrade of this number cannot be, and why.
    UpgradeFailed(u64, String),
    /// A child of the keeper has ended with this code (minus the signal number).
    Exited(Pid, i32),
    /// Answer, to show that you do not stand still.
    Ping,
    /// End in order: papad is being stopped.
    Leave,
}

/// One end of the link.
pub(crate) struct Link {
    fd: OwnedFd,
    /// What is held is in a store, too. Set when the server knows.
    has_store: OnceLock<()>,
    /// For the server: what it does while the keeper does not respond.
    delivery: Delivery,
}

impl Link {
    /// A new link: the keeper's end and the server's.
    pub(crate) fn pair() -> io::Result<(Link, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (keeper, server) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        for end in [&keeper, &server] {
            bound_waiting(end);
        }
        Ok((Link::over(keeper), server))
    }

    fn over(fd: OwnedFd) -> Link {
        Link { fd, has_store: OnceLock::new(), delivery: Delivery::default() }
    }

    /// The end that was inherited as this descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Link {
        // Room for a burst of spawns, so that the server does not wait for the keeper's turn.
        // A smaller queue is only slower, so a refusal is of no consequence.
        let _ = setsockopt(&fd, sockopt::SndBuf, &(256 * 1024));
        bound_waiting(&fd);
        Link::over(fd)
    }

    /// From now on, what is held is to be in the store before it is relied upon.
    pub(crate) fn wait_for_store(&self) {
        // It may have been said before.
        let _ = self.has_store.set(());
    }

    /// Whether the other side is gone.
    pub(crate) fn is_broken(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        let polled = limit::uninterrupted(|| limit::poll(&mut fds, PollTimeout::ZERO));
        polled.is_ok_and(|count| count > 0)
    }

    /// Puts another descriptor in place of this one, for all who use it.
    pub(crate) fn replace(&self, with: &OwnedFd) -> io::Result<()> {
        sys::replace(self.fd.as_fd(), with.as_fd())?;
        self.delivery.start_over();
        Ok(())
    }

    /// Tells the server one thing.
    pub(crate) fn tell_server(&self, message: &ToServer) -> io::Result<()> {
        match message {
            ToServer::Held(fds) => self.send_named("held", &borrowed(fds), None),
            ToServer::Start(start) => self.send_text(&format!("start {}", start.to_text())),
            ToServer::Rehearse { skipped } => self.send_text(&format!("rehearse {skipped}")),
            ToServer::HoldAgain => self.send_text("hold-again"),
            ToServer::Part => self.send_text("part"),
            ToServer::UpgradeFailed(number, why) => {
                self.send_text(&format!("upgrade-failed {number} {}", on_one_line(why)))
            }
            ToServer::Exited(pid, code) => self.send_text(&format!("exited {pid} {code}")),
            // A server whose queue is full does not answer, either.
            ToServer::Ping => sys::send_now(self.fd.as_fd(), b"ping", &[]).map(drop),
            ToServer::Leave => sys::send_now(self.fd.as_fd(), b"leave", &[]).map(drop),
        }
    }

    /// Hands a server all that is held.
    pub(crate) fn hand_over<'a>(
        &self,
        held: impl Iterator<Item = (&'a Held, &'a OwnedFd)>,
    ) -> io::Result<()> {
        let held: Vec<(Held, BorrowedFd)> = held.map(|(name, fd)| (*name, fd.as_fd())).collect();
        held.chunks(MAX_NAMES)
            .try_for_each(|part| crowded(RESPONSE_TIME, || self.send_named("held", part, None)))
    }

    /// Waits for the server's next message; `None` when the server is gone.
    pub(crate) fn hear_server(&self) -> io::Result<Option<ToKeeper>> {
        let Some((text, fds)) = self.receive()? else {
            return Ok(None);
        };
        let mut words = text.split_ascii_whitespace();
        let message = match words.next() {
            Some("hold") => {
                let names = names(words)?;
                let mut fds = fds.into_iter();
                let held = pair_up(&names, fds.by_ref().take(names.len()).collect())?;
                ToKeeper::Hold(held, fds.next())
            }
            Some("drop") => ToKeeper::Drop(names(words)?, fds.into_iter().next()),
            Some("recorded") => ToKeeper::Recorded(Pid::from_raw(number(&mut words)?)),
            Some("here") => ToKeeper::Here,
            Some("able") => ToKeeper::Able,
            Some("unable") => ToKeeper::Unable(rest(&mut words)),
            Some("took") => ToKeeper::Took,
            Some("drop-passed") => ToKeeper::DropPassed,
            Some("ready") => ToKeeper::Ready {
                skipped: number(&mut words)?,
                answers: words.any(|word| word == "answers"),
            },
            Some("pong") => ToKeeper::Pong,
            Some("upgrade") => ToKeeper::Upgrade(number(&mut words)?, fds.into_iter().next()),
            Some("parted") => ToKeeper::Parted,
            Some("succeed") => ToKeeper::Succeed,
            Some("stays") => ToKeeper::Stays(rest(&mut words)),
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
        self.drop_what_was_left();
        let mut words = text.split_ascii_whitespace();
        let message = match words.next() {
            Some("held") => ToServer::Held(pair_up(&names(words)?, fds)?),
            Some("start") => ToServer::Start(Start::from_words(&mut words)?),
            Some("rehearse") => ToServer::Rehearse { skipped: number(&mut words)? },
            Some("hold-again") => ToServer::HoldAgain,
            Some("part") => ToServer::Part,
            Some("upgrade-failed") => {
                ToServer::UpgradeFailed(number(&mut words)?, rest(&mut words))
            }
            Some("exited") => {
                ToServer::Exited(Pid::from_raw(number(&mut words)?), number(&mut words)?)
            }
            Some("ping") => ToServer::Ping,
            Some("leave") => ToServer::Leave,
            _ => return Err(bad_message()),
        };
        Ok(Some(message))
    }

    /// Sends what nobody is told of if it cannot be: it is sent as soon as there is memory for it.
    fn send_text(&self, text: &str) -> io::Result<()> {
        limit::patiently(|| sys::send(self.fd.as_fd(), text.as_bytes(), &[]))
    }

    fn send_named(
        &self,
        verb: &str,
        fds: &[(Held, BorrowedFd)],
        done: Option<BorrowedFd>,
    ) -> io::Result<()> {
        let text = named(verb, fds.iter().map(|(name, _)| name));
        let fds: Vec<BorrowedFd> = fds.iter().map(|(_, fd)| *fd).chain(done).collect();
        sys::send(self.fd.as_fd(), text.as_bytes(), &fds)
    }

    fn receive(&self) -> io::Result<Option<(String, Vec<OwnedFd>)>> {
        let (text, fds) = match limit::patiently(|| sys::receive(self.fd.as_fd())) {
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
        self.fd.as_fd()
    }
}

/// Has nobody wait for ever to send to the other side.
fn bound_waiting(fd: &OwnedFd) {
    let time = TimeVal::new(RESPONSE_TIME.as_secs() as i64, 0);
    // It cannot fail for a socket; without it, who sends waits for as long as it takes.
    let _ = setsockopt(fd, sockopt::SendTimeout, &time);
}

fn borrowed(fds: &[(Held, OwnedFd)]) -> Vec<(Held, BorrowedFd<'_>)> {
    fds.iter().map(|(name, fd)| (*name, fd.as_fd())).collect()
}

fn named<'a>(verb: &str, names: impl Iterator<Item = &'a Held>) -> String {
    use std::fmt::Write;
    let mut text = String::from(verb);
    for name in names {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}");
    }
    text
}

/// Sends something where papad's user may have as many descriptors in flight as it may: there is room
/// again when the other side has received some.
fn crowded(patience: Duration, mut attempt: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let until = Instant::now() + patience;
    loop {
        match attempt() {
            Err(error)
                if error.raw_os_error() == Some(Errno::ETOOMANYREFS as i32)
                    && Instant::now() < until =>
            {
                thread::sleep(CROWDED);
            }
            sent => return sent,
        }
    }
}

fn names(words: SplitAsciiWhitespace) -> io::Result<Vec<Held>> {
    words.map(Held::from_str).collect()
}

fn pair_up(names: &[Held], fds: Vec<OwnedFd>) -> io::Result<Vec<(Held, OwnedFd)>> {
    if names.len() == fds.len() {
        Ok(names.iter().copied().zip(fds).collect())
    } else {
        Err(bad_message())
    }
}

/// Words for people, as far as a message has room for them.
fn on_one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

fn rest(words: &mut SplitAsciiWhitespace) -> String {
    words.collect::<Vec<_>>().join(" ")
}

fn number<N: FromStr>(words: &mut SplitAsciiWhitespace) -> io::Result<N> {
    words.next().and_then(|word| word.parse().ok()).ok_or_else(bad_message)
}

fn bad_message() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message that is not understood")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_held_descriptor_arrives_under_its_name_though_its_sender_is_gone() {
        let (keeper, server) = Link::pair().unwrap();
        let server = Link::new(server);
        let (reader, writer) = nix::unistd::pipe().unwrap();
        server.hold(&[(Held::Out(7), reader.as_fd())]).unwrap();
        drop((server, reader));

        let Some(ToKeeper::Hold(mut held, None)) = keeper.hear_server().unwrap() else { panic!() };
        let (name, fd) = held.pop().unwrap();
        assert_eq!(name, Held::Out(7));
        std::fs::File::from(writer).write_all(b"x").unwrap();
        let mut byte = [0];
        std::fs::File::from(fd).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
        assert!(keeper.hear_server().unwrap().is_none());
    }
}
