//! What a process writes: its pipes, the ring that they fill, and the places of its readers.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

use papa_protocol::frame::{Stream, Time};
use papa_protocol::options::Overflow;

use super::buffers::Share;
use super::reader::{Place, Reader, ReaderId, Readers, Start, Wants};
use super::waker::Waker;
use crate::ring::{Filled, MAX_CHUNK, Ring};
use crate::{log, sys};

/// What a pipe holds unless it is made larger (`pipe(7)`).
const PIPE: u64 = 64 * 1024;

/// The two pipes, each until its end.
#[derive(Default)]
pub(crate) struct Pipes {
    pub(crate) out: Option<OwnedFd>,
    pub(crate) err: Option<OwnedFd>,
}

impl Pipes {
    pub(crate) fn get(&self, stream: Stream) -> Option<BorrowedFd<'_>> {
        match stream {
            Stream::Out => self.out.as_ref().map(AsFd::as_fd),
            Stream::Err => self.err.as_ref().map(AsFd::as_fd),
        }
    }

    pub(crate) fn take(&mut self, stream: Stream) -> Option<OwnedFd> {
        match stream {
            Stream::Out => self.out.take(),
            Stream::Err => self.err.take(),
        }
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.out.is_none() && self.err.is_none()
    }
}

/// A piece of output on its way to a reader: bytes of one stream with one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) stream: Stream,
    pub(crate) time: Time,
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) length: u64,
}

/// A process's output.
pub(crate) struct Output {
    pipes: Pipes,
    /// `None` if nothing is kept.
    ring: Option<Ring>,
    /// The ring's part of what all rings may come to hold, and do.
    share: Option<Share>,
    overflow: Overflow,
    /// Whether what comes from now on is kept. If not, it is read all the same, so that whoever
    /// holds the pipe is neither blocked nor killed.
    keeps: bool,
    /// Whether a pipe was left to fill because the ring is full.
    is_stuck: bool,
    /// When the newest output came.
    newest: Time,
    readers: Readers,
}

impl Output {
    pub(crate) fn new(pipes: Pipes, ring: Option<(Ring, Share)>, overflow: Overflow) -> Output {
        let (ring, share) = ring.unzip();
        let newest = ring.as_ref().and_then(Ring::newest).unwrap_or(Time(0));
        let claims = ring.as_ref().map(Ring::claims).unwrap_or_default();
        let readers = Readers::recovered(ring.as_ref().map_or(0, Ring::end), claims);
        let keeps = ring.is_some();
        let mut output =
            Output { pipes, ring, share, overflow, keeps, is_stuck: false, newest, readers };
        output.note_held();
        output
    }

    /// Neither pipes nor anything kept.
    pub(crate) fn none() -> Output {
        Output::new(Pipes::default(), None, Overflow::Drop)
    }

    pub(crate) fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    /// The ring's file.
    pub(crate) fn ring(&self) -> Option<BorrowedFd<'_>> {
        self.ring.as_ref().map(Ring::as_file)
    }

    pub(crate) fn take_pipe(&mut self, stream: Stream) -> Option<OwnedFd> {
        self.pipes.take(stream)
    }

    /// The positions of the oldest byte kept and after the newest, and bytes pushed out unread.
    pub(crate) fn extent(&self) -> (u64, u64, u64) {
        self.ring.as_ref().map_or((0, 0, 0), |ring| (ring.first(), ring.end(), ring.lost()))
    }

    pub(crate) fn newest(&self) -> Time {
        self.newest
    }

    pub(crate) fn readers(&self) -> usize {
        self.readers.count()
    }

    pub(crate) fn wake_readers(&self) {
        self.readers.wake();
    }

    /// Keeps what there is and nothing that comes.
    pub(crate) fn stop_keeping(&mut self) {
        self.keeps = false;
    }

    /// Throws away what is kept and all that comes.
    pub(crate) fn discard(&mut self) {
        self.keeps = false;
        self.ring = None;
        self.share = None;
        self.readers.wake();
    }

    /// Takes what a pipe has; `null` takes what is not kept.
    pub(crate) fn capture(&mut self, stream: Stream, now: Time, null: &File) -> Filled {
        let Some(pipe) = self.pipes.get(stream) else { return Filled::Nothing };
        let filled = match &mut self.ring {
            Some(ring) if self.keeps => {
                let filled =
                    ring.fill(pipe, stream, now, self.overflow, self.readers.sent_to_any());
                filled.or_else(|error| {
                    // Without memory for it, output is lost, but its writer goes on.
                    log::error!("server", "output cannot be kept: {error}");
                    throw_away(pipe, null)
                })
            }
            _ => throw_away(pipe, null),
        };
        let filled = filled.unwrap_or_else(|error| {
            log::error!("server", "a pipe cannot be read: {error}");
            Filled::End
        });
        self.is_stuck |= filled == Filled::Full;
        if filled == Filled::Bytes(PIPE) {
            make_larger(pipe);
        }
        self.note_held();
        if self.keeps && matches!(filled, Filled::Bytes(_)) {
            self.newest = now;
            self.readers.wake();
        }
        filled
    }

    /// Bytes that are in the pipes and not taken yet.
    pub(crate) fn waiting(&self) -> u64 {
        let pipes = [Stream::Out, Stream::Err].into_iter().filter_map(|of| self.pipes.get(of));
        pipes.map(sys::readable_bytes).sum()
    }

    /// Whether pipes that were left to fill are to be read again, now that there is room.
    pub(crate) fn take_unstuck(&mut self) -> bool {
        let has_room = !self.keeps || self.ring.as_ref().is_none_or(Ring::has_room);
        has_room && std::mem::take(&mut self.is_stuck)
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// A new reader and the position where it begins; `None` if that is beyond the end.
    pub(crate) fn attach(
        &mut self,
        waker: Arc<Waker>,
        wants: Wants,
    ) -> io::Result<Option<(ReaderId, u64)>> {
        let (first, end, _) = self.extent();
        let (acknowledged, sent) = match wants.from {
            Start::Oldest => (first, first),
            Start::Newest => (first, end),
            Start::Position(position) if position <= end => (position, position),
            Start::Position(_) => return Ok(None),
        };
        let passed_over = sent - acknowledged;
        let resumed = sent;
        let place = Place { acknowledged, sent, passed_over, resumed, ..Place::default() };
        let id = self.readers.attach(waker, wants, place);
        // To begin at a position is to have acknowledged what is before.
        if let Err(error) = self.release() {
            self.readers.detach(id);
            return Err(error);
        }
        Ok(Some((id, sent)))
    }

    /// A reader that another server had, and that had come this far there.
    pub(crate) fn attach_again(
        &mut self,
        waker: Arc<Waker>,
        wants: Wants,
        place: Place,
    ) -> ReaderId {
        let wants = Wants { from: Start::Position(place.acknowledged), ..wants };
        self.readers.attach(waker, wants, place)
    }

    /// How far the reader has come.
    pub(crate) fn place(&self, id: ReaderId) -> Option<Place> {
        self.readers.get(id).map(|reader| reader.place)
    }

    /// What the reader was not sent and is kept no more, if that is so: position and bytes. It is
    /// passed over from then on.
    pub(crate) fn skip_lost(&mut self, id: ReaderId) -> Option<(u64, u64)> {
        let (first, reader) = (self.ring.as_ref()?.first(), self.readers.get(id)?);
        let (sent, data) = (reader.place.sent, reader.data);
        if sent >= first {
            return None;
        }
        self.readers.skip_to(id, first);
        data.then_some((sent, first - sent))
    }

    /// What the reader is to be sent next, at most `budget` bytes of it and nothing after `until`.
    pub(crate) fn next_piece(&self, id: ReaderId, budget: u64, until: u64) -> Option<Piece> {
        let (ring, reader) = (self.ring.as_ref()?, self.readers.get(id)?);
        if !reader.data {
            return None;
        }
        let (stream, time, start, length) = ring.chunks_from(reader.place.sent).next()?;
        let length = length.min(budget).min(until.saturating_sub(start));
        (length > 0).then_some(Piece { stream, time, start, length })
    }

    /// Appends the bytes of a piece to what is sent to the reader.
    pub(crate) fn send(&mut self, id: ReaderId, piece: Piece, to: &mut Vec<u8>) -> io::Result<()> {
        if let Some(ring) = &mut self.ring {
            ring.read(piece.start, piece.length, to)?;
            let sent = piece.start + piece.length;
            if sent == ring.end() {
                ring.seal();
            }
            self.readers.set_sent(id, sent);
        }
        Ok(())
    }

    /// Whether the reader is to be told of the process's end: it was sent all output and not that.
    pub(crate) fn awaits_end(&self, id: ReaderId) -> bool {
        let (_, end, _) = self.extent();
        let is_next =
            |reader: &Reader| !reader.was_sent_end() && (!reader.data || reader.place.sent >= end);
        self.readers.get(id).is_some_and(is_next)
    }

    /// The end of the process is on its way to the reader.
    pub(crate) fn send_end(&mut self, id: ReaderId) {
        self.readers.set_sent_end(id);
    }

    /// The reader is to be sent again what it has not acknowledged.
    pub(crate) fn send_again(&mut self, id: ReaderId) {
        self.readers.begin_again(id);
    }

    /// Bytes that the reader was sent and has not acknowledged.
    pub(crate) fn in_flight(&self, id: ReaderId) -> u64 {
        self.readers.get(id).map_or(0, Reader::in_flight)
    }

    /// The reader has taken all before `position`; false if it was not sent that much.
    pub(crate) fn acknowledge(&mut self, id: ReaderId, position: u64) -> io::Result<bool> {
        let is_taken = self.readers.acknowledge(id, position);
        self.release()?;
        Ok(is_taken)
    }

    /// The reader has taken the process's end and all before; false if it was not sent that.
    pub(crate) fn acknowledge_end(&mut self, id: ReaderId) -> io::Result<bool> {
        let is_taken = self.readers.acknowledge_end(id);
        if is_taken {
            self.acknowledge_sent(id)?;
        }
        Ok(is_taken)
    }

    /// The reader has taken all output that it was sent.
    pub(crate) fn acknowledge_sent(&mut self, id: ReaderId) -> io::Result<()> {
        let sent = self.readers.get(id).map_or(0, |reader| reader.place.sent);
        self.acknowledge(id, sent).map(drop)
    }

    /// The reader is gone; what it did not acknowledge stays.
    pub(crate) fn detach(&mut self, id: ReaderId) -> io::Result<()> {
        self.readers.detach(id);
        self.release()
    }

    fn release(&mut self) -> io::Result<()> {
        let Some(ring) = &mut self.ring else { return Ok(()) };
        let released = ring.acknowledge(self.readers.released());
        let noted = released.and_then(|()| ring.note_claims(self.readers.claims()));
        self.note_held();
        noted
    }

    /// Bytes of memory that the ring holds.
    pub(crate) fn held(&self) -> u64 {
        self.share.as_ref().map_or(0, Share::held)
    }

    fn note_held(&mut self) {
        if let (Some(ring), Some(share)) = (&self.ring, &mut self.share) {
            share.set_held(ring.held());
        }
    }

    /// Has the ring hold no more than `most` bytes, as far as that goes. Returns how much of its
    /// output was lost for it, if any may be.
    pub(crate) fn shrink(&mut self, most: u64, may_lose: bool) -> io::Result<u64> {
        let Some(ring) = &mut self.ring else { return Ok(0) };
        let lost = ring.shrink(most, may_lose);
        self.note_held();
        if !matches!(lost, Ok(0)) {
            // Nothing else may come that would have them look.
            self.readers.wake();
        }
        lost
    }

    /// The pipes are left to fill, as when the ring is full.
    pub(crate) fn wait_for_room(&mut self) {
        self.is_stuck = true;
    }

    /// Whether takers that another server had are still to come back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.readers.is_waiting()
    }

    /// Who has not come back is waited for no more.
    pub(crate) fn stop_waiting(&mut self) -> io::Result<()> {
        self.readers.stop_waiting();
        self.release()
    }

    /// Whether nobody needs the process's end, nor any output before it.
    pub(crate) fn is_done(&self) -> bool {
        let (first, end, _) = self.extent();
        first == end && self.readers.is_end_acknowledged()
    }
}

/// Lets a process that fills its pipe write further ahead: it and papad take turns less often.
fn make_larger(pipe: BorrowedFd) {
    // A user's share of pipe memory may be spent; the pipe then stays as it is.
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(MAX_CHUNK as i32));
}

/// Reads and forgets.
fn throw_away(pipe: BorrowedFd, null: &File) -> io::Result<Filled> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    match splice(pipe, None, null, None, PIPE as usize, flags) {
        Ok(0) => Ok(Filled::End),
        Ok(moved) => Ok(Filled::Bytes(moved as u64)),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOMEM) => Ok(Filled::Nothing),
        Err(errno) => Err(errno.into()),
    }
}
