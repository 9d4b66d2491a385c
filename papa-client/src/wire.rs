//! A connection that comes back: one descriptor to wait for, whatever socket is behind it.
//!
//! Nothing here blocks. Every step is tried, and when it cannot go on it says so; the caller then
//! waits, in whatever way, until the descriptor is readable, and tries again. Calls that block and
//! calls that are awaited differ in that wait alone.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::Poll;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use papa_protocol::exact::Hello;

use crate::alarm::Alarm;
use crate::endpoint::{Address, Endpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::owner;
use crate::session::{Answer, Session};
use crate::sys::Received;
use crate::transport::Transport;

/// How long to wait before the second try to connect, and how long at most before a later one.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Room for one read of answers, in bytes.
const READ_SIZE: usize = 64 << 10;

/// The event that stands for the socket, and the one that stands for the timer. Nobody asks which
/// it was: everything is tried.
const ANY_EVENT: u64 = 0;

/// A connection to papad, made again whenever it is needed.
pub(crate) struct Wire {
    endpoint: Endpoint,
    epoll: Epoll,
    /// Ends a pause.
    pause_end: Alarm,
    /// For the wire's user.
    alarm: Alarm,
    stage: Stage,
    pause: Duration,
    /// Why the last connection or try ended.
    trouble: Option<Error>,
    scratch: Vec<u8>,
}

enum Stage {
    Down,
    Pausing {
        until: Instant,
    },
    /// Connected, and not greeted yet.
    Greeting(Link),
    Up(Link, Peer),
}

/// Whom one is speaking with.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) hello: Hello,
    /// The user whose it is.
    pub(crate) owner: u32,
}

/// Whose the other end of a connection is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nothing has come, so that it was not asked.
    Unasked,
    /// One that is trusted.
    Known(u32),
    /// It was closed before it could be asked. All that may be believed of what it said is that this
    /// connection was turned away.
    Gone,
}

/// A connection and the session over it.
struct Link {
    transport: Transport,
    session: Session,
    descriptors: VecDeque<Received>,
    owner: Owner,
    /// Whether it is waited for until there is room to send.
    waits_for_room: bool,
}

impl Wire {
    /// A wire that is not connected yet.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        endpoint.check()?;
        Self::make(endpoint).map_err(|errno| Error::io("no descriptor for a connection", errno))
    }

    fn make(endpoint: Endpoint) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let (pause_end, alarm) = (Alarm::new()?, Alarm::new()?);
        for alarm in [&pause_end, &alarm] {
            epoll.add(alarm, EpollEvent::new(EpollFlags::EPOLLIN, ANY_EVENT))?;
        }
        Ok(Self {
            endpoint,
            epoll,
            pause_end,
            alarm,
            stage: Stage::Down,
            pause: FIRST_PAUSE,
            trouble: None,
            scratch: Vec::new(),
        })
    }

    /// Whom one is speaking with, while the connection stands.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.stage {
            Stage::Up(_, peer) => Some(peer),
            _ => None,
        }
    }

    /// How it has greeted.
    pub(crate) fn hello(&self) -> Option<&Hello> {
        self.peer().map(|peer| &peer.hello)
    }

    /// What went wrong since the last greeting.
    pub(crate) fn take_trouble(&mut self) -> Option<Error> {
        self.trouble.take()
    }

    /// Makes the descriptor readable after some time, or at once, until this is called again.
    pub(crate) fn set_alarm(&self, after: Option<Duration>) {
        self.alarm.set(after);
    }

    /// Closes the connection, if there is one, and connects again when that is asked for.
    pub(crate) fn hang_up(&mut self) {
        self.pause_end.set(None);
        self.stage = Stage::Down;
    }

    /// Closes the connection and waits a moment before the next: longer each time, until the next
    /// [settles](Self::settle).
    pub(crate) fn pause(&mut self, why: Error) {
        self.trouble = Some(why);
        self.stage = Stage::Pausing { until: Instant::now() + self.pause };
        self.pause_end.set(Some(self.pause));
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
    }

    /// What the connection was made for has been answered. What may go wrong from now on has nothing
    /// to do with what went wrong before.
    pub(crate) fn settle(&mut self) {
        self.pause = FIRST_PAUSE;
    }

    /// Connects if need be. Where papad's server ends before it has greeted, the next one is waited
    /// for; everything else that goes wrong is returned, and tried again by the next call.
    pub(crate) fn poll_up(&mut self) -> Poll<Result<()>> {
        loop {
            match mem::replace(&mut self.stage, Stage::Down) {
                Stage::Down => match self.connect() {
                    Ok(link) => self.stage = Stage::Greeting(link),
                    Err(error) if error.kind() == ErrorKind::Busy => self.pause(error),
                    Err(error) => return Poll::Ready(Err(error)),
                },
                Stage::Pausing { until } if Instant::now() < until => {
                    self.stage = Stage::Pausing { until };
                    return Poll::Pending;
                }
                Stage::Pausing { .. } => self.pause_end.set(None),
                Stage::Greeting(mut link) => match self.greet(&mut link) {
                    Poll::Ready(Ok(peer)) => {
                        self.trouble = None;
                        self.stage = Stage::Up(link, peer);
                    }
                    Poll::Ready(Err(error)) if error.kind() == ErrorKind::Disconnected => {
                        drop(link);
                        self.pause(error);
                    }
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        self.stage = Stage::Greeting(link);
                        return Poll::Pending;
                    }
                },
                up @ Stage::Up(..) => {
                    self.stage = up;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    fn connect(&self) -> Result<Link> {
        let transport = Transport::connect(&self.endpoint.address)
            .map_err(|error| cannot_connect(&self.endpoint, error))?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, ANY_EVENT);
        self.epoll
            .add(&transport, event)
            .map_err(|errno| Error::io("a connection cannot be waited for", errno))?;
        Ok(Link {
            transport,
            session: Session::new(self.endpoint.max_answer),
            descriptors: VecDeque::new(),
            owner: Owner::Unasked,
            waits_for_room: false,
        })
    }

    fn greet(&mut self, link: &mut Link) -> Poll<Result<Peer>> {
        loop {
            // One that has turned this connection away has said why before it closed it.
            let flushed = self.flush_link(link);
            if let Some(hello) = link.session.hello()? {
                return Poll::Ready(match link.owner {
                    Owner::Known(owner) => Ok(Peer { hello: hello.clone(), owner }),
                    Owner::Unasked | Owner::Gone => Err(Error::disconnected()),
                });
            }
            let room = link.session.greeting_room();
            match (link.fill(&mut self.scratch, room), flushed) {
                (Ok(count), _) if count > 0 => link.ask_owner(self.endpoint.owner)?,
                (_, Err(error)) => return Poll::Ready(Err(cannot_connect(&self.endpoint, error))),
                (Ok(_), Ok(())) => return Poll::Ready(Err(Error::disconnected())),
                (Err(error), Ok(())) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Pending;
                }
                (Err(error), Ok(())) => {
                    return Poll::Ready(Err(cannot_connect(&self.endpoint, error)));
                }
            }
        }
    }

    fn flush_link(&self, link: &mut Link) -> io::Result<()> {
        let waits = link.flush()?;
        if waits != link.waits_for_room {
            let mut events = EpollFlags::EPOLLIN;
            events.set(EpollFlags::EPOLLOUT, waits);
            self.epoll.modify(&link.transport, &mut EpollEvent::new(events, ANY_EVENT))?;
            link.waits_for_room = waits;
        }
        Ok(())
    }

    /// The session, while the connection stands.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Up(link, _) => Some(&mut link.session),
            _ => None,
        }
    }

    /// Sends what is to be sent, as far as there is room. When there is more again, the descriptor
    /// becomes readable.
    ///
    /// # Errors
    /// The connection has ended; it is closed.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let Stage::Up(mut link, peer) = mem::replace(&mut self.stage, Stage::Down) else {
            return Err(Error::disconnected());
        };
        self.flush_link(&mut link).map_err(|error| Error::disconnected().because(error))?;
        self.stage = Stage::Up(link, peer);
        Ok(())
    }

    /// The next answer.
    ///
    /// # Errors
    /// The connection has ended, or speaks something else; it is closed.
    pub(crate) fn poll_answer(&mut self) -> Poll<Result<Answer>> {
        let result = self.try_answer();
        if let Poll::Ready(Err(_)) = result {
            self.hang_up();
        }
        result
    }

    fn try_answer(&mut self) -> Poll<Result<Answer>> {
        self.flush()?;
        let Stage::Up(link, _) = &mut self.stage else {
            return Poll::Ready(Err(Error::disconnected()));
        };
        loop {
            if let Some(answer) = link.session.answer(&mut link.descriptors)? {
                return Poll::Ready(Ok(answer));
            }
            match link.fill(&mut self.scratch, READ_SIZE) {
                Ok(0) => return Poll::Ready(Err(Error::disconnected())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Poll::Ready(Err(Error::protocol(error.to_string())));
                }
                Err(error) => return Poll::Ready(Err(Error::disconnected().because(error))),
            }
        }
    }

    /// Reads into a buffer of the caller's; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet; anything else ends the connection.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.stage {
            Stage::Up(link, _) => link.transport.receive(buffer),
            _ => Ok(0),
        }
    }

    /// Whether the connection has ended, or something came over it that nobody asked for.
    pub(crate) fn is_stale(&mut self) -> bool {
        let Stage::Up(link, _) = &mut self.stage else {
            return false;
        };
        match link.fill(&mut self.scratch, READ_SIZE) {
            Ok(0) => true,
            // Late answers of abandoned requests.
            Ok(_) => false,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Link {
    /// Sends as far as there is room. Returns whether there is more.
    fn flush(&mut self) -> io::Result<bool> {
        while let Some((bytes, descriptor)) = self.session.to_send() {
            match self.transport.send(bytes, descriptor.map(AsFd::as_fd)) {
                Ok(count) => self.session.sent(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Takes what there is, at most so many bytes.
    fn fill(&mut self, scratch: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        scratch.resize(most.min(READ_SIZE), 0);
        let count = self.transport.receive_with_descriptors(scratch, &mut self.descriptors)?;
        if !self.session.awaits_descriptors(self.descriptors.len()) {
            let what = "descriptors came that were not asked for";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        self.session.received(scratch.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// Asks the system, once, whose the server is, as soon as it has said anything: nothing of that
    /// is looked at before.
    fn ask_owner(&mut self, trusted: Option<u32>) -> Result<()> {
        if self.owner == Owner::Unasked {
            self.owner = match owner::check(&self.transport, trusted) {
                Ok(uid) => Owner::Known(uid),
                Err(error) if error.kind() == ErrorKind::Disconnected => Owner::Gone,
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

/// The error of a connection that did not come about.
fn cannot_connect(endpoint: &Endpoint, error: io::Error) -> Error {
    let kind = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ECONNREFUSED | Errno::ENOENT | Errno::ENOTDIR) => ErrorKind::NotRunning,
        Some(Errno::ECONNRESET | Errno::EPIPE) => return Error::disconnected().because(error),
        Some(Errno::EACCES | Errno::EPERM) => ErrorKind::NotYours,
        // A Unix socket has more connections waiting than papad took a place for.
        Some(Errno::EAGAIN) if matches!(endpoint.address, Address::Unix(_)) => ErrorKind::Busy,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("papad cannot be reached at {endpoint}")).because(error)
}
