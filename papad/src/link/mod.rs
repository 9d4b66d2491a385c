//! The messages between keeper and server, over one `SOCK_SEQPACKET` pair.
//!
//! A message is one line of words; descriptors that it names travel with it. A message that was
//! sent is delivered even if its sender is killed at once, so nothing here is acknowledged.

mod held;
mod start;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::{FromStr, SplitAsciiWhitespace};
use std::sync::OnceLock;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::{Pid, pipe2};

pub(crate) use held::Held;
pub(crate) use start::Start;

use crate::{limit, log, sys};

/// Names per message, so that a message stays below `sys::MAX_MESSAGE` bytes.
const MAX_NAMES: usize = sys::MAX_DESCRIPTORS;

/// How long to wait for a store, which the keeper gives up on, too, but sooner.
const PATIENCE: Duration = Duration::from_secs(3);

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
    /// Everything is recovered and sessions are served. So many records could not be read.
    Ready { skipped: u64 },
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
    /// End in order: papad is being stopped.
    Leave,
}

/// One end of the link.
pub(crate) struct Link {
    fd: OwnedFd,
    /// What is held is in a store, too. Set when the server knows.
    has_store: OnceLock<()>,
}

impl Link {
    /// A new link: the keeper's end and the server's.
    pub(crate) fn pair() -> io::Result<(Link, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (keeper, server) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Link { fd: keeper, has_store: OnceLock::new() }, server))
    }

    /// The end that was inherited as this descriptor.
    pub(crate) fn new(fd: OwnedFd) -> Link {
        // Room for a burst of spawns, so that the server does not wait for the keeper's turn.
        // A smaller queue is only slower, so a refusal is of no consequence.
        let _ = setsockopt(&fd, sockopt::SndBuf, &(256 * 1024));
        Link { fd, has_store: OnceLock::new() }
    }

    /// From now on, what is held is to be in the store before it is relied upon.
    pub(crate) fn wait_for_store(&self) {
        // It may have been said before.
        let _ = self.has_store.set(());
    }

    /// How long to wait at most when the other side hears nothing; `None` is for ever.
    pub(crate) fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        // A timeout of zero is none (socket(7)), so what is shorter than the unit is one unit.
        let patience = patience.map_or(Duration::ZERO, |it| it.max(Duration::from_micros(1)));
        let (seconds, micros) = (patience.as_secs() as i64, i64::from(patience.subsec_micros()));
        Ok(setsockopt(&self.fd, sockopt::SendTimeout, &TimeVal::new(seconds, micros))?)
    }

    /// Whether the other side is gone.
    pub(crate) fn is_broken(&self) -> bool {
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::empty())];
        let polled = limit::uninterrupted(|| limit::poll(&mut fds, PollTimeout::ZERO));
        polled.is_ok_and(|count| count > 0)
    }

    /// Puts another descriptor in place of this one, for all who use it.
    pub(crate) fn replace(&self, with: &OwnedFd) -> io::Result<()> {
        sys::replace(self.fd.as_fd(), with.as_fd())
    }

    /// Tells the keeper. One that is gone need not know: the next is told everything.
    pub(crate) fn tell_keeper(&self, message: &ToKeeper) -> io::Result<()> {
        let told = match message {
            ToKeeper::Hold(fds, done) => {
                self.send_named("hold", &borrowed(fds), done.as_ref().map(AsFd::as_fd))
            }
            ToKeeper::Drop(names, done) => {
                let done: Vec<BorrowedFd> = done.iter().map(AsFd::as_fd).collect();
                names.chunks(MAX_NAMES).try_for_each(|names| {
                    let text = named("drop", names.iter());
                    // What is not dropped would be held for ever, and this is what makes room.
                    limit::patiently(|| sys::send(self.fd.as_fd(), text.as_bytes(), &done))
                })
            }
            ToKeeper::Recorded(pid) => self.send_text(&format!("recorded {pid}")),
            ToKeeper::Here => self.send_text("here"),
            ToKeeper::Able => self.send_text("able"),
            ToKeeper::Unable(why) => self.send_text(&format!("unable {}", on_one_line(why))),
            ToKeeper::Took => self.send_text("took"),
            ToKeeper::DropPassed => self.send_text("drop-passed"),
            ToKeeper::Ready { skipped } => self.send_text(&format!("ready {skipped}")),
            ToKeeper::Upgrade(number, program) => {
                let program: Vec<BorrowedFd> = program.iter().map(AsFd::as_fd).collect();
                sys::send(self.fd.as_fd(), format!("upgrade {number}").as_bytes(), &program)
            }
            ToKeeper::Parted => self.send_text("parted"),
            ToKeeper::Succeed => self.send_text("succeed"),
            ToKeeper::Stays(why) => self.send_text(&format!("stays {}", on_one_line(why))),
            ToKeeper::Leave => self.send_text("leave"),
        };
        forgive_absence(told)
    }

    /// Has the keeper hold descriptors that the server goes on using. If there is a store, it has
    /// them when this returns.
    pub(crate) fn hold(&self, fds: &[(Held, BorrowedFd)]) -> io::Result<()> {
        if self.has_store.get().is_none() {
            return forgive_absence(self.send_named("hold", fds, None));
        }
        let (done, keepers_end) = pipe2(OFlag::O_CLOEXEC)?;
        self.send_named("hold", fds, Some(keepers_end.as_fd()))?;
        drop(keepers_end);
        // A keeper that was killed meanwhile may not have stored it, and the next papad has only
        // what is stored.
        match wait_for_end(done, Some(PATIENCE))? {
            Some(0) => Err(io::Error::other("the keeper is gone")),
            Some(_) | None => Ok(()),
        }
    }

    /// Has the keeper drop what is needed no longer.
    pub(crate) fn drop_held(&self, names: Vec<Held>) {
        // Fails only if the keeper is gone, which ends the server elsewhere.
        let _ = self.tell_keeper(&ToKeeper::Drop(names, None));
    }

    /// Has the keeper drop something, and returns when its descriptors are closed. To remove things
    /// is what makes room: where there is none to wait with, it happens a little later.
    pub(crate) fn drop_now(&self, names: Vec<Held>) {
        if let Ok((done, keepers_end)) = pipe2(OFlag::O_CLOEXEC)
            && self.tell_keeper(&ToKeeper::Drop(names.clone(), Some(keepers_end))).is_ok()
        {
            let patience = self.has_store.get().map(|()| PATIENCE);
            if let Err(error) = wait_for_end(done, patience) {
                log::warn!("server", "what was removed may be open for a little longer: {error}");
            }
            return;
        }
        self.drop_held(names);
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
            ToServer::Leave => self.send_text("leave"),
        }
    }

    /// Hands a server all that is held.
    pub(crate) fn hand_over<'a>(
        &self,
        held: impl Iterator<Item = (&'a Held, &'a OwnedFd)>,
    ) -> io::Result<()> {
        let held: Vec<(Held, BorrowedFd)> = held.map(|(name, fd)| (*name, fd.as_fd())).collect();
        held.chunks(MAX_NAMES).try_for_each(|part| self.send_named("held", part, None))
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
            Some("ready") => ToKeeper::Ready { skipped: number(&mut words)? },
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

/// Nobody hears what is said to a keeper that is gone, and nobody needs to.
fn forgive_absence(told: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    match told {
        Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected) => Ok(()),
        told => told,
    }
}

/// Waits until nobody has the other end of this pipe any more, and tells how many bytes came; `None`
/// if the time is up before.
fn wait_for_end(pipe: OwnedFd, patience: Option<Duration>) -> io::Result<Option<usize>> {
    if let Some(patience) = patience
        && !limit::is_readable_within(&pipe, patience)?
    {
        return Ok(None);
    }
    File::from(pipe).read_to_end(&mut Vec::new()).map(Some)
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
    use std::io::Write;

    use nix::sys::socket::getsockopt;
    use nix::sys::time::TimeValLike;

    use super::*;

    #[test]
    fn patience_of_less_than_a_second_has_an_end() {
        let (keeper, _server) = Link::pair().unwrap();
        let of = |patience| {
            keeper.set_patience(Some(patience)).unwrap();
            getsockopt(&keeper.fd, sockopt::SendTimeout).unwrap()
        };
        // The kernel counts in ticks, and rounds up.
        assert!((500..600).contains(&of(Duration::from_millis(500)).num_milliseconds()));
        assert_ne!(of(Duration::from_nanos(1)), TimeVal::new(0, 0));
        keeper.set_patience(None).unwrap();
        assert_eq!(getsockopt(&keeper.fd, sockopt::SendTimeout).unwrap(), TimeVal::new(0, 0));
    }

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
