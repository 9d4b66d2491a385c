//! What a process writes: its pipes, the ring they fill, and who reads the ring.
//!
//! Every reader has its own place. Output is kept until all attached readers have acknowledged
//! it; with none attached, what any of them acknowledged is gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SpliceFFlags, fcntl, splice};

use papa_protocol::frame::{Stream, Time};

use super::waker::Waker;
use crate::log;
use crate::ring::{Filled, MAX_CHUNK, Ring};

/// What a pipe holds unless it is made larger (`pipe(7)`).
const PIPE: u64 = 64 * 1024;

/// Names one reader of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

struct Reader {
    id: ReaderId,
    waker: Arc<Waker>,
    /// Positions: all before is acknowledged, and all before was sent.
    acknowledged: u64,
    sent: u64,
    /// Whether the end of the process was sent, and acknowledged.
    sent_end: bool,
    acknowledged_end: bool,
}

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
    /// Whether what comes from now on is kept. If not, it is read all the same, so that whoever
    /// holds the pipe is neither blocked nor killed.
    keeps: bool,
    /// When the newest output came.
    newest: Time,
    readers: Vec<Reader>,
    next_reader: u64,
    /// The furthest position that any reader has acknowledged.
    acknowledged_by_any: u64,
    end_acknowledged_by_any: bool,
}

impl Output {
    pub(crate) fn new(pipes: Pipes, ring: Option<Ring>) -> Output {
        let newest = ring.as_ref().and_then(Ring::newest).unwrap_or(Time(0));
        Output {
            pipes,
            keeps: ring.is_some(),
            ring,
            newest,
            readers: Vec::new(),
            next_reader: 0,
            acknowledged_by_any: 0,
            end_acknowledged_by_any: false,
        }
    }

    pub(crate) fn pipes(&self) -> &Pipes {
        &self.pipes
    }

    pub(crate) fn take_pipe(&mut self, stream: Stream) -> Option<OwnedFd> {
        self.pipes.take(stream)
    }

    /// Bytes that were pushed out unread.
    pub(crate) fn lost(&self) -> u64 {
        self.ring.as_ref().map_or(0, Ring::lost)
    }

    pub(crate) fn newest(&self) -> Time {
        self.newest
    }

    /// Keeps what there is and nothing that comes.
    pub(crate) fn stop_keeping(&mut self) {
        self.keeps = false;
    }

    /// Throws away what is kept and all that comes.
    pub(crate) fn discard(&mut self) {
        self.keeps = false;
        self.ring = None;
        self.wake_readers();
    }

    /// Takes what a pipe has.
    pub(crate) fn capture(&mut self, stream: Stream, now: Time) -> Filled {
        let Some(pipe) = self.pipes.get(stream) else {
            return Filled::Nothing;
        };
        let in_flight = self.readers.iter().map(|reader| reader.sent).max().unwrap_or_default();
        let filled = match &mut self.ring {
            Some(ring) if self.keeps => {
                ring.fill(pipe, stream, now, in_flight).or_else(|error| {
                    // Without memory for it, output is lost, but its writer goes on.
                    log::error!("server", "output cannot be kept: {error}");
                    throw_away(pipe)
                })
            }
            _ => throw_away(pipe),
        };
        let filled = filled.unwrap_or_else(|error| {
            log::error!("server", "a pipe cannot be read: {error}");
            Filled::End
        });
        if filled == Filled::Bytes(PIPE) {
            make_larger(pipe);
        }
        if self.keeps && matches!(filled, Filled::Bytes(_)) {
            self.newest = now;
            self.wake_readers();
        }
        filled
    }

    pub(crate) fn wake_readers(&self) {
        for reader in &self.readers {
            reader.waker.wake();
        }
    }

    /// A new reader; its place is the oldest byte kept.
    pub(crate) fn attach(&mut self, waker: Arc<Waker>) -> ReaderId {
        let id = ReaderId(self.next_reader);
        self.next_reader += 1;
        let first = self.ring.as_ref().map_or(0, Ring::first);
        self.readers.push(Reader {
            id,
            waker,
            acknowledged: first,
            sent: first,
            sent_end: false,
            acknowledged_end: false,
        });
        id
    }

    /// What the reader is to be sent next, at most `budget` bytes of it.
    pub(crate) fn next_piece(&self, id: ReaderId, budget: u64) -> Option<Piece> {
        let (ring, reader) = (self.ring.as_ref()?, self.reader(id)?);
        let (stream, time, start, length) = ring.chunks_from(reader.sent).next()?;
        let length = length.min(budget);
        (length > 0).then_some(Piece { stream, time, start, length })
    }

    /// Appends the bytes of a piece to what is sent to the reader.
    pub(crate) fn send(&mut self, id: ReaderId, piece: Piece, to: &mut Vec<u8>) -> io::Result<()> {
        let reader = self.readers.iter_mut().find(|reader| reader.id == id);
        if let (Some(ring), Some(reader)) = (&mut self.ring, reader) {
            ring.read(piece.start, piece.length, to)?;
            reader.sent = piece.start + piece.length;
            if reader.sent == ring.end() {
                ring.seal();
            }
        }
        Ok(())
    }

    /// Whether the reader was sent all output that there is.
    pub(crate) fn is_caught_up(&self, id: ReaderId) -> bool {
        let end = self.ring.as_ref().map_or(0, Ring::end);
        self.reader(id).is_some_and(|reader| reader.sent >= end)
    }

    pub(crate) fn was_sent_end(&self, id: ReaderId) -> bool {
        self.reader(id).is_some_and(|reader| reader.sent_end)
    }

    fn reader(&self, id: ReaderId) -> Option<&Reader> {
        self.readers.iter().find(|reader| reader.id == id)
    }

    /// The end of the process is on its way to the reader.
    pub(crate) fn send_end(&mut self, id: ReaderId) {
        if let Some(reader) = self.readers.iter_mut().find(|reader| reader.id == id) {
            reader.sent_end = true;
        }
    }

    /// The reader has taken all that it was sent.
    pub(crate) fn acknowledge(&mut self, id: ReaderId) -> io::Result<()> {
        if let Some(reader) = self.readers.iter_mut().find(|reader| reader.id == id) {
            reader.acknowledged = reader.sent;
            reader.acknowledged_end = reader.sent_end;
            self.acknowledged_by_any = self.acknowledged_by_any.max(reader.acknowledged);
            self.end_acknowledged_by_any |= reader.acknowledged_end;
        }
        self.release()
    }

    /// The reader is gone; what it did not acknowledge stays.
    pub(crate) fn detach(&mut self, id: ReaderId) -> io::Result<()> {
        self.readers.retain(|reader| reader.id != id);
        self.release()
    }

    fn release(&mut self) -> io::Result<()> {
        let places = self.readers.iter().map(|reader| reader.acknowledged);
        let position = places.min().unwrap_or(self.acknowledged_by_any);
        self.ring.as_mut().map_or(Ok(()), |ring| ring.acknowledge(position))
    }

    /// Whether nobody needs the process's end any more.
    pub(crate) fn is_end_acknowledged(&self) -> bool {
        self.end_acknowledged_by_any && self.readers.iter().all(|reader| reader.acknowledged_end)
    }
}

/// Lets a process that fills its pipe write further ahead: it and papad take turns less often.
fn make_larger(pipe: BorrowedFd) {
    // A user's share of pipe memory may be spent; the pipe then stays as it is.
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(MAX_CHUNK as i32));
}

/// Reads and forgets.
fn throw_away(pipe: BorrowedFd) -> io::Result<Filled> {
    thread_local! {
        static NULL: io::Result<std::fs::File> =
            std::fs::File::options().write(true).open("/dev/null");
    }
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
    NULL.with(|null| {
        let null = null.as_ref().map_err(|error| io::Error::from(error.kind()))?;
        match splice(pipe, None, null, None, PIPE as usize, flags) {
            Ok(0) => Ok(Filled::End),
            Ok(moved) => Ok(Filled::Bytes(moved as u64)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(Filled::Nothing),
            Err(errno) => Err(errno.into()),
        }
    })
}
