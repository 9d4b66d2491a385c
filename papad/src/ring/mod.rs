//! The output of one process: the last bytes it wrote, in a memory file that outlives the server.
//!
//! The kernel moves bytes from the process's pipes into the file by splice(2) at the file's own
//! offset and advances that offset in the same call. The keeper holds the open file, so a server
//! killed at any instant leaves data and offset in step: nothing is lost and nothing is doubled.
//!
//! - **Position**: bytes of output since the process started, both streams together.
//! - **Chunk**: bytes of one stream with one time. It is written to the file's index *before* the
//!   splice that fills it; it ends where the next begins, or at the end of the output.

mod file;
mod merge;
mod resident;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{SpliceFFlags, splice};

use papa_protocol::frame::{Stream, Time};
use papa_protocol::options::Overflow;

use crate::sys;
pub(crate) use file::Claims;
use file::{Live, RingFile};
use resident::Resident;

/// The longest chunk, in bytes: what the pipe of a busy process holds.
pub(crate) const MAX_CHUNK: u64 = 256 * 1024;

/// Writes of one stream within this many nanoseconds share a chunk.
const MERGE_WITHIN: u64 = 1_000_000;

/// A chunk up to this long is pushed out whole, so that no line is cut: what write(2) to a pipe
/// keeps in one piece (`PIPE_BUF`).
const WHOLE: u64 = 4096;

/// New chunks after which the file notes what is live. The slots of the chunks that were live then,
/// and of those that came since, are all different.
const CHECKPOINT: u64 = 32;

/// A piece of output of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) stream: Stream,
    pub(crate) time: Time,
}

/// What a splice brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Bytes(u64),
    /// The pipe is empty for now.
    Nothing,
    /// Nothing may be pushed out, and there is no room.
    Full,
    /// Nobody has the pipe's writing end any more.
    End,
}

/// The kept output of one process.
pub(crate) struct Ring {
    file: RingFile,
    /// Bytes kept at most.
    bufsize: u64,
    /// The number of the first chunk, counted since the process started.
    first_number: u64,
    /// The oldest is pushed out, or acknowledged, first. Only the last can be empty.
    chunks: VecDeque<Chunk>,
    /// The position of the oldest byte kept.
    first: u64,
    /// The position after the newest.
    end: u64,
    /// Bytes pushed out before anyone acknowledged them.
    lost: u64,
    /// Whether the last chunk was seen by a reader as far as it goes, and so must not grow.
    sealed: bool,
    claims: Claims,
    resident: Resident,
}

impl Ring {
    /// A new ring that keeps `bufsize` bytes.
    pub(crate) fn create(bufsize: u64) -> io::Result<Ring> {
        let file = RingFile::create(bufsize)?;
        Ok(Ring {
            file,
            bufsize,
            first_number: 0,
            chunks: VecDeque::new(),
            first: 0,
            end: 0,
            lost: 0,
            sealed: false,
            claims: Claims::default(),
            resident: Resident::default(),
        })
    }

    /// The ring that an earlier server filled.
    ///
    /// # Errors
    /// `InvalidData` if the file is no ring, or one that no server can have left so.
    pub(crate) fn recover(file: File) -> io::Result<Ring> {
        let (file, bufsize) = RingFile::open(file)?;
        file.finish_merge()?;
        let live = file.live()?;
        let Live { first, first_number, lost, .. } = live;
        let chunks = file.live_chunks(live)?;
        let last_start = chunks.back().map_or(first, |chunk| chunk.start);
        let end = file.end(last_start)?;
        // A chunk is in the index before its bytes are in the file.
        let is_in_step = match chunks.front() {
            Some(chunk) => chunk.start <= first && first <= end,
            None => first == end,
        };
        if !is_in_step {
            return Err(file::damaged("the index of a ring does not go with its bytes"));
        }
        let (sealed, claims, resident) = (false, file.claims()?, Resident::default());
        let mut ring = Ring {
            file,
            bufsize,
            first_number,
            chunks,
            first,
            end,
            lost,
            sealed,
            claims,
            resident,
        };
        ring.forget_before(first);
        ring.push_out();
        ring.find_resident()?;
        Ok(ring)
    }

    /// Whether this version reads the file of a ring, found out without touching it.
    pub(crate) fn check(file: BorrowedFd) -> io::Result<()> {
        RingFile::open(file.try_clone_to_owned()?.into()).map(drop)
    }

    /// The file, to be held.
    pub(crate) fn as_file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes kept at most.
    pub(crate) fn bufsize(&self) -> u64 {
        self.bufsize
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The time of the newest chunk that is kept.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.chunks.back().map(|chunk| chunk.time)
    }

    /// Bytes that were pushed out before anyone acknowledged them.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether anything fits without pushing out what is there.
    pub(crate) fn has_room(&self) -> bool {
        self.end - self.first < self.bufsize
    }

    /// Moves what a pipe has into the ring, at most one chunk of it.
    ///
    /// `fixed` is the end of what any reader has been sent: chunks before it are never rearranged.
    pub(crate) fn fill(
        &mut self,
        pipe: impl AsFd,
        stream: Stream,
        now: Time,
        overflow: Overflow,
        fixed: u64,
    ) -> io::Result<Filled> {
        let most = match overflow {
            Overflow::Drop => u64::MAX,
            Overflow::Block => self.bufsize - (self.end - self.first),
        };
        let room = self.open_chunk(stream, now, overflow, fixed)?.min(most);
        if room == 0 {
            return Ok(Filled::Full);
        }
        sys::kill_point("index-written");
        let length = self.file.make_contiguous(self.end, room)?;
        let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
        let moved = match splice(pipe, None, &self.file, None, length as usize, flags) {
            Ok(0) => return Ok(Filled::End),
            Ok(moved) => moved as u64,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Filled::Nothing),
            Err(errno) => return Err(errno.into()),
        };
        sys::kill_point("spliced");
        self.end += moved;
        self.push_out();
        Ok(Filled::Bytes(moved))
    }

    /// Makes the last chunk one of this stream and time; returns how many bytes it may still take,
    /// 0 if that takes pushing something out, which may not be.
    fn open_chunk(
        &mut self,
        stream: Stream,
        now: Time,
        overflow: Overflow,
        fixed: u64,
    ) -> io::Result<u64> {
        let most = self.file.max_chunk();
        // What the last chunk can still take of this stream.
        let mut left = 0;
        if let Some(last) = self.chunks.back() {
            let length = self.end - last.start;
            // A clock that was set back begins a new chunk, as one that went on does.
            let is_recent = now.0.wrapping_sub(last.time.0) < MERGE_WITHIN;
            if last.stream == stream && length > 0 {
                left = most.saturating_sub(length);
            }
            if left > 0 && is_recent && !self.sealed {
                return Ok(left);
            }
            if length == 0 {
                self.chunks.pop_back();
            }
        }
        if self.chunks.len() as u64 >= self.file.most_chunks() && !self.merge_last(fixed)? {
            // Readers have seen every chunk. The last may grow all the same, at the price of its
            // time; if it cannot, the oldest has to go.
            if left > 0 || overflow == Overflow::Block {
                return Ok(left);
            }
            let next = self.chunks.get(1).map_or(self.end, |chunk| chunk.start);
            self.lose_before(next);
        }
        let chunk = Chunk { start: self.end, stream, time: now };
        let number = self.first_number + self.chunks.len() as u64;
        self.file.write_chunk(number, chunk)?;
        self.chunks.push_back(chunk);
        self.sealed = false;
        if number.is_multiple_of(CHECKPOINT) {
            self.write_live()?;
        }
        Ok(most)
    }

    /// Notes in the file what is live, for recovery to begin with.
    fn write_live(&self) -> io::Result<()> {
        let Ring { first, first_number, lost, .. } = *self;
        let first_start = self.chunks.front().map_or(first, |chunk| chunk.start);
        self.file.write_live(Live { first, first_number, first_start, lost })
    }

    /// Lets the oldest bytes go until no more are kept than asked for.
    ///
    /// What goes follows from the index, the end and `bufsize` alone, so that a recovered server
    /// comes to the same.
    fn push_out(&mut self) {
        let wanted = self.end.saturating_sub(self.bufsize);
        if wanted <= self.first {
            return;
        }
        self.lose_before(self.whole_chunks_before(wanted));
    }

    /// Where what is kept begins if all before `wanted` goes: a short chunk goes whole.
    fn whole_chunks_before(&self, wanted: u64) -> u64 {
        let later = self.chunks.partition_point(|chunk| chunk.start <= wanted);
        let start = self.chunks.get(later.wrapping_sub(1)).map_or(0, |chunk| chunk.start);
        match self.chunks.get(later) {
            // One that is empty was written down for what had not come yet when the server was
            // killed. It had pushed out nothing.
            Some(next)
                if next.start < self.end && next.start - start <= WHOLE && wanted > start =>
            {
                next.start
            }
            _ => wanted,
        }
    }

    fn lose_before(&mut self, first: u64) {
        self.lost = self.lost.saturating_add(first.saturating_sub(self.first));
        self.forget_before(first);
    }

    fn forget_before(&mut self, first: u64) {
        self.first = self.first.max(first);
        while self.chunks.get(1).is_some_and(|next| next.start <= self.first) {
            self.chunks.pop_front();
            self.first_number += 1;
        }
        // An empty chunk stays: the file has it under its number, and the next takes its place.
        let is_used_up = |chunk: &Chunk| chunk.start < self.end && self.first == self.end;
        if self.chunks.len() == 1 && self.chunks.front().is_some_and(is_used_up) {
            self.chunks.pop_front();
            self.first_number += 1;
            self.sealed = false;
            self.chunks.shrink_to(4);
        }
    }

    /// Drops everything before `position`: it was acknowledged. When nothing is left, the memory
    /// behind the ring is given back.
    pub(crate) fn acknowledge(&mut self, position: u64) -> io::Result<()> {
        let position = position.min(self.end);
        if position <= self.first {
            return Ok(());
        }
        self.forget_before(position);
        self.write_live()?;
        if self.first == self.end {
            self.file.give_back_pages()?;
            self.note_resident(0);
        }
        Ok(())
    }

    /// What was noted of those who take what is kept, by an earlier server if not by this one.
    pub(crate) fn claims(&self) -> Claims {
        self.claims
    }

    /// Notes it for the next server.
    pub(crate) fn note_claims(&mut self, claims: Claims) -> io::Result<()> {
        if claims != self.claims {
            self.file.write_claims(claims)?;
            self.claims = claims;
        }
        Ok(())
    }

    /// The chunks that hold output from `position` on: stream, time, start and length of each.
    pub(crate) fn chunks_from(
        &self,
        position: u64,
    ) -> impl Iterator<Item = (Stream, Time, u64, u64)> {
        let position = position.max(self.first);
        let from = self.chunks.partition_point(|chunk| chunk.start <= position).saturating_sub(1);
        let ends = self.chunks.iter().skip(from + 1).map(|next| next.start).chain([self.end]);
        self.chunks.iter().skip(from).zip(ends).filter_map(move |(chunk, end)| {
            let start = chunk.start.max(position);
            (start < end).then_some((chunk.stream, chunk.time, start, end - start))
        })
    }

    /// Appends kept bytes to `out`.
    pub(crate) fn read(&self, start: u64, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
        self.file.read_data(start, length, out)
    }

    /// A reader has seen all there is: what comes next is a chunk of its own.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }
}
