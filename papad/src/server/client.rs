//! Both directions of one connection: lines in, replies and frames out. Whoever waits here stops
//! at the gate.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{Shutdown, shutdown};

use papa_protocol::exact::Failure;

use super::Server;
use super::backlog::Part;
use super::lines::{Lines, Received};
use super::places::Owner;
use super::session::Ended;
use crate::bounds::{Bound, Bounds};
use crate::gate::Gate;
use crate::processes::Waker;
use crate::{limit, memory, sys};

/// Bytes of memory for replies that a session keeps while it waits.
const AT_REST: usize = 4096;

/// Descriptors that may wait to be sent.
const MAX_DESCRIPTORS: usize = 16;

/// How long a client that was refused may go on sending until it reads so.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The client sends no more (`poll(2)`).
const HUNG_UP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);

/// One client. Its connection never blocks; waiting is done by poll(2).
pub(super) struct Client {
    /// What is to be said. It is sent by [`Client::send`].
    pub(super) out: Out,
    pub(super) lines: Lines,
    /// What is kept until it is read, and until a line ends.
    pub(super) unread: Part,
    unfinished: Part,
    gate: Arc<Gate>,
    bounds: Arc<Bounds>,
}

/// Bytes that are to be sent, and descriptors that go with them.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    /// So many bytes of them are sent.
    sent: usize,
    /// Each with the place of the byte that it goes with.
    descriptors: VecDeque<(usize, OwnedFd)>,
}

impl Out {
    /// What another server had left to send; the places of descriptors count from its beginning.
    pub(super) fn new(bytes: Vec<u8>, descriptors: VecDeque<(usize, OwnedFd)>) -> Out {
        Out { bytes, sent: 0, descriptors }
    }

    /// Has a descriptor go with the byte that is appended next.
    pub(super) fn push_descriptor(&mut self, fd: OwnedFd) {
        self.descriptors.push_back((self.bytes.len(), fd));
    }

    /// Whether it is time to send, though there is more to be said.
    pub(super) fn is_much(&self, bytes: usize) -> bool {
        self.bytes.len() - self.sent > bytes || self.descriptors.len() >= MAX_DESCRIPTORS
    }

    /// What is not sent yet.
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Descriptors that are not sent yet, each with its place among the unsent bytes.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.descriptors.iter().map(|(place, fd)| (place - self.sent, fd.as_fd()))
    }

    /// Sends what the connection takes now; true when that was all.
    fn send_some(&mut self, mut connection: &File) -> io::Result<bool> {
        while self.sent < self.bytes.len() {
            let with_descriptor = self.descriptors.front().filter(|(place, _)| *place == self.sent);
            let sent = if let Some((_, fd)) = with_descriptor {
                let first = &self.bytes[self.sent..=self.sent];
                let send = || sys::send(connection.as_fd(), first, &[fd.as_fd()]);
                limit::patiently(send).map(|()| 1)
            } else {
                let until = self.descriptors.front().map_or(self.bytes.len(), |(place, _)| *place);
                limit::patiently(|| connection.write(&self.bytes[self.sent..until]))
            };
            match sent {
                Ok(count) => {
                    if self.descriptors.front().is_some_and(|(place, _)| *place == self.sent) {
                        self.descriptors.pop_front();
                    }
                    self.sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Ok(true)
    }
}

impl Client {
    /// One of this owner, to whom this is to be said.
    pub(super) fn new(lines: Lines, out: Out, server: &Server, owner: Owner) -> Client {
        let (mut unread, mut unfinished) = (server.backlog.part(owner), server.backlog.part(owner));
        unread.set_again(out.unsent().len() as u64);
        unfinished.set_again(lines.waiting().len() as u64);
        let (gate, bounds) = (Arc::clone(&server.gate), Arc::clone(&server.bounds));
        Client { out, lines, unread, unfinished, gate, bounds }
    }

    /// Sends everything, and what telnet is to be answered. The memory for it is kept for what comes next.
    pub(super) fn send(&mut self) -> Result<(), Ended> {
        self.answer_telnet();
        let patience = self.bounds.client_timeout();
        // So much was sent when it last went on, and when that was.
        let mut last: Option<(usize, Instant)> = None;
        while !self.out.send_some(self.lines.connection())? {
            let now = Instant::now();
            let since = last.filter(|(sent, _)| *sent == self.out.sent).map_or(now, |(_, at)| at);
            if now - since >= patience {
                return Err(Ended::NotRead);
            }
            last = Some((self.out.sent, since));
            self.wait(PollFlags::POLLOUT, None, Some(since + patience))?;
            self.bounds.note(Bound::ClientTimeout, since.elapsed().as_secs());
        }
        self.unread.clear();
        Ok(())
    }

    /// The next line that is whole. What telnet has asked before it is answered first.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.answer_telnet();
        self.lines.next()
    }

    fn answer_telnet(&mut self) {
        let answers = self.lines.due_answers();
        self.out.bytes.extend(answers);
    }

    /// As [`Client::send`], and then ends. What the client is sending still is read and forgotten for
    /// a moment: a connection that is closed with bytes unread takes back what its peer has not
    /// read either.
    pub(super) fn refuse<T>(&mut self) -> Result<T, Ended> {
        self.send()?;
        shutdown(self.lines.as_fd().as_raw_fd(), Shutdown::Write).map_err(io::Error::from)?;
        let until = Instant::now() + LAST_WORDS;
        while Instant::now() < until {
            self.wait(PollFlags::POLLIN, None, Some(until))?;
            if !self.lines.pass_over()? {
                break;
            }
        }
        Err(Ended::ByPapad)
    }

    /// As [`Client::send`], when there may be nothing to send for a long time.
    pub(super) fn send_and_rest(&mut self) -> Result<(), Ended> {
        self.send()?;
        self.out.bytes.shrink_to(AT_REST);
        if self.lines.waiting().is_empty() {
            self.unfinished.clear();
        }
        Ok(())
    }

    /// Waits for more bytes of lines.
    pub(super) fn listen(&mut self) -> Result<(), Ended> {
        loop {
            self.hear(PollFlags::POLLIN, None)?;
            match self.lines.read()? {
                Received::Bytes => {
                    return Ok(self.unfinished.set(self.lines.waiting().len() as u64)?);
                }
                Received::Nothing => {}
                Received::End => return Err(Ended::ByClient),
                Received::TooLong => return Err(self.lines.too_long().into()),
            }
        }
    }

    /// Takes what the client has said by now, without waiting for it.
    pub(super) fn listen_in_passing(&mut self) -> Result<(), Ended> {
        self.check_left()?;
        let has_said_more = limit::is_readable_within(&self.lines, Duration::ZERO)?;
        if has_said_more { self.listen() } else { self.check_time() }
    }

    /// Whether something has come behind the lines that were taken.
    pub(super) fn has_said_more(&self) -> Result<bool, Ended> {
        let is_there = !self.lines.waiting().is_empty();
        Ok(is_there || limit::is_readable_within(&self.lines, Duration::ZERO)?)
    }

    /// Waits until the client says something or leaves, and until the waker is awake. Says whether
    /// it was the client.
    pub(super) fn wait_with(&self, waker: &Waker) -> Result<bool, Ended> {
        Ok(!self.hear(PollFlags::POLLIN | HUNG_UP, Some(waker))?.is_empty())
    }

    /// Waits until the waker is awake, or the connection is broken.
    pub(super) fn wait_for_waker(&self, waker: &Waker) -> Result<(), Ended> {
        let of_client = self.wait(PollFlags::empty(), Some(waker), None)?;
        if of_client.is_empty() { Ok(()) } else { Err(Ended::ByClient) }
    }

    /// As [`Client::wait`], where the client may have begun a line, which it has to finish in time.
    fn hear(&self, wanted: PollFlags, waker: Option<&Waker>) -> Result<PollFlags, Ended> {
        self.check_left()?;
        let heard = self.wait(wanted, waker, self.late_from())?;
        if heard.is_empty() {
            self.check_time()?;
        }
        Ok(heard)
    }

    /// Ends the session of a client that has said that it sends no more.
    fn check_left(&self) -> Result<(), Ended> {
        if self.lines.has_left() { Err(Ended::ByClient) } else { Ok(()) }
    }

    /// When the client has taken too long to finish a line, if it has begun one.
    fn late_from(&self) -> Option<Instant> {
        Some(self.lines.unfinished_since()? + self.bounds.client_timeout())
    }

    fn check_time(&self) -> Result<(), Ended> {
        if self.late_from().is_some_and(|late| late <= Instant::now()) {
            return Err(self.bounds.refusal(Bound::ClientTimeout).into());
        }
        Ok(())
    }

    /// Goes past the gate, if it is open.
    pub(super) fn pass(&self) -> Result<(), Ended> {
        if self.gate.is_closed() { Err(Ended::Stopped) } else { Ok(()) }
    }

    /// Waits for one of these of the connection, for the waker, or until this time; returns what the
    /// connection has.
    fn wait(
        &self,
        wanted: PollFlags,
        waker: Option<&Waker>,
        until: Option<Instant>,
    ) -> Result<PollFlags, Ended> {
        let mut fds = [
            PollFd::new(self.lines.as_fd(), wanted),
            PollFd::new(self.gate.as_fd(), PollFlags::POLLIN),
            PollFd::new(waker.map_or(self.gate.as_fd(), AsFd::as_fd), PollFlags::POLLIN),
        ];
        let fds = &mut fds[..2 + usize::from(waker.is_some())];
        memory::give_back_if_due();
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match limit::poll(fds, left.map_or(PollTimeout::NONE, timeout)) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
                Ok(0) if left.is_some_and(|left| !left.is_zero()) => {}
                Ok(_) => break,
            }
        }
        self.pass()?;
        Ok(fds[0].revents().unwrap_or(PollFlags::POLLHUP))
    }
}

/// As long as poll(2) can wait at once, and not less than asked for, so that it is not asked again
/// for the last part of a millisecond.
fn timeout(left: Duration) -> PollTimeout {
    let milliseconds = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX)
}
