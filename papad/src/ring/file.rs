//! How a ring lies in its memory file.
//!
//! ```text
//! header    one page: what it is, what is live, a merge under way, who takes what is live
//! index     slots of 16 bytes; chunk N is in slot N modulo the number of slots
//! scratch   what a merge needs to be done over
//! data      the bytes at position P are at P modulo the capacity
//! ```
//!
//! A write that stays within one page is not torn by a kill, and no structure crosses one. Pages
//! never written take no memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::unistd::{Whence, lseek64};

use papa_protocol::frame::{Stream, Time};
use papa_protocol::options::MAX_BUFSIZE;

use super::{CHECKPOINT, Chunk, MAX_CHUNK};
use crate::{limit, sys};

pub(super) const PAGE: u64 = 4096;
const MAGIC: u64 = u64::from_le_bytes(*b"papadrng");
const FORMAT: u64 = 1;

/// Offsets in the header.
const IDENTITY: u64 = 0;
const LIVE: u64 = 64;
const MERGE: u64 = 96;
const CLAIMS: u64 = 128;

/// Bytes of a chunk in the index: its start, with the stream in the highest bit, and its time.
const SLOT: u64 = 16;
const ERR: u64 = 1 << 63;

/// The most bytes that one merge rearranges.
pub(super) const MERGED: u64 = 64 * 1024;

/// Bytes of the scratch area: a merge's chunks, and its output.
pub(super) const SCRATCH: u64 = PAGE + MERGED;

/// Chunks whose slots share a page.
const SLOTS_PER_PAGE: u64 = PAGE / SLOT;

/// The fewest slots, however small the ring.
const FEWEST_SLOTS: u64 = 1024;

/// The most slots, however large the ring: their chunks are in the server's memory, too.
const MOST_SLOTS: u64 = 256 * 1024;

/// Bytes of data per slot: on average, chunks shorter than this get merged.
const DATA_PER_SLOT: u64 = 32;

/// Where everything is, all from the ring's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    slots: u64,
    capacity: u64,
    max_chunk: u64,
}

impl Layout {
    fn new(bufsize: u64) -> Layout {
        // Room for one splice beyond what is kept, so that no kept byte is ever written over.
        let max_chunk = (bufsize / 8).next_multiple_of(PAGE).clamp(PAGE, MAX_CHUNK);
        let capacity = bufsize.next_multiple_of(PAGE) + max_chunk;
        let slots = (capacity / DATA_PER_SLOT).clamp(FEWEST_SLOTS, MOST_SLOTS);
        let slots = slots.next_multiple_of(SLOTS_PER_PAGE);
        Layout { slots, capacity, max_chunk }
    }

    fn slot(self, number: u64) -> u64 {
        PAGE + number % self.slots * SLOT
    }

    fn scratch(self) -> u64 {
        PAGE + self.slots * SLOT
    }

    fn data(self) -> u64 {
        self.scratch() + SCRATCH
    }

    fn length(self) -> u64 {
        self.data() + self.capacity
    }
}

/// What was live when it was last noted. What was pushed out since follows from the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) first: u64,
    pub(super) first_number: u64,
    /// Where the chunk of that number starts, or will. A slot that says otherwise is of an
    /// earlier lap.
    pub(super) first_start: u64,
    pub(super) lost: u64,
}

/// What the next server is to know of those who take what is kept. A file of an earlier papad has
/// zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// How many take it, and have not acknowledged the end of the process.
    pub(crate) takers: u64,
    /// Whether anyone has acknowledged the end of the process, and with it all output.
    pub(crate) end_taken: bool,
    pub(crate) all_taken: bool,
}

/// A merge that is to be done, or done over: chunks from `number` on become the one or two that
/// the scratch area has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    pub(super) number: u64,
    pub(super) count: u64,
    pub(super) start: u64,
    /// Bytes; 0 if no merge is under way.
    pub(super) length: u64,
}

pub(super) struct RingFile {
    file: File,
    layout: Layout,
}

impl RingFile {
    pub(super) fn create(bufsize: u64) -> io::Result<RingFile> {
        let layout = Layout::new(bufsize);
        let file = sys::keep(sys::memfd(c"papad-ring")?.into());
        let ring = RingFile { file: file.into(), layout };
        ring.file.set_len(layout.length())?;
        ring.write_words(IDENTITY, &[MAGIC, FORMAT, bufsize])?;
        sys::set_offset(&ring.file, layout.data())?;
        Ok(ring)
    }

    /// Opens a file that `create` made, and tells its ring's size.
    pub(super) fn open(file: File) -> io::Result<(RingFile, u64)> {
        let mut ring = RingFile { file, layout: Layout::new(0) };
        let [magic, format, bufsize] = ring.read_words(IDENTITY)?;
        if magic != MAGIC || format != FORMAT || !(1..=MAX_BUFSIZE).contains(&bufsize) {
            return Err(damaged("not a ring"));
        }
        ring.layout = Layout::new(bufsize);
        if ring.file.metadata()?.len() != ring.layout.length() {
            return Err(damaged("a ring of another length"));
        }
        Ok((ring, bufsize))
    }

    /// Chunks that the index has room for besides those since the last checkpoint.
    pub(super) fn most_chunks(&self) -> u64 {
        self.layout.slots - CHECKPOINT
    }

    pub(super) fn max_chunk(&self) -> u64 {
        self.layout.max_chunk
    }

    pub(super) fn write_live(&self, live: Live) -> io::Result<()> {
        let Live { first, first_number, first_start, lost } = live;
        self.write_words(LIVE, &[first, first_number, first_start, lost])
    }

    pub(super) fn live(&self) -> io::Result<Live> {
        let [first, first_number, first_start, lost] = self.read_words(LIVE)?;
        // There is room in 63 bits for more than will ever be written, and none in the index for
        // greater positions.
        if first >= ERR || first_number >= ERR {
            return Err(damaged("positions in a ring are not as large"));
        }
        Ok(Live { first, first_number, first_start, lost })
    }

    pub(super) fn write_claims(&self, claims: Claims) -> io::Result<()> {
        let Claims { takers, end_taken, all_taken } = claims;
        self.write_words(CLAIMS, &[takers, end_taken.into(), all_taken.into()])
    }

    pub(super) fn claims(&self) -> io::Result<Claims> {
        let [takers, end_taken, all_taken] = self.read_words(CLAIMS)?;
        Ok(Claims { takers, end_taken: end_taken != 0, all_taken: all_taken != 0 })
    }

    pub(super) fn write_chunk(&self, number: u64, chunk: Chunk) -> io::Result<()> {
        self.write_words(self.layout.slot(number), &encode(chunk))
    }

    /// The chunks from the first live one on.
    pub(super) fn live_chunks(&self, from: Live) -> io::Result<VecDeque<Chunk>> {
        let mut chunks: VecDeque<Chunk> = VecDeque::new();
        for number in from.first_number..(from.first_number + self.layout.slots) {
            let [start, time] = self.read_words(self.layout.slot(number))?;
            let chunk = decode(start, time);
            let is_next = match chunks.back() {
                Some(last) => last.start < chunk.start,
                None => chunk.start == from.first_start,
            };
            // A slot never written, or one of an earlier lap: the index ends before it.
            if time == 0 || !is_next {
                break;
            }
            chunks.push_back(chunk);
        }
        Ok(chunks)
    }

    /// The position after the newest byte, given the start of the last chunk, which is shorter
    /// than the capacity.
    pub(super) fn end(&self, last_start: u64) -> io::Result<u64> {
        let Layout { capacity, .. } = self.layout;
        let offset = lseek64(&self.file, 0, Whence::SeekCur)? as u64;
        let at = (offset.saturating_sub(self.layout.data())) % capacity;
        Ok(last_start + (at + capacity - last_start % capacity) % capacity)
    }

    /// Makes the file's offset that of `end`; returns how many of `length` bytes fit without a
    /// wrap.
    pub(super) fn make_contiguous(&self, end: u64, length: u64) -> io::Result<u64> {
        let at = end % self.layout.capacity;
        if at == 0 {
            sys::set_offset(&self.file, self.layout.data())?;
        }
        Ok(length.min(self.layout.capacity - at))
    }

    /// The one or two places in the file where these bytes are.
    fn pieces(&self, start: u64, length: u64) -> [(u64, usize); 2] {
        let Layout { capacity, .. } = self.layout;
        let at = start % capacity;
        let until_wrap = length.min(capacity - at);
        let data = self.layout.data();
        [(data + at, until_wrap as usize), (data, (length - until_wrap) as usize)]
    }

    pub(super) fn read_data(&self, start: u64, length: u64, out: &mut Vec<u8>) -> io::Result<()> {
        out.reserve(length as usize);
        for (offset, length) in self.pieces(start, length) {
            let at = out.len();
            out.resize(at + length, 0);
            self.read_at(&mut out[at..], offset)?;
        }
        Ok(())
    }

    pub(super) fn write_data(&self, start: u64, bytes: &[u8]) -> io::Result<()> {
        let mut bytes = bytes;
        for (offset, length) in self.pieces(start, bytes.len() as u64) {
            let (now, later) = bytes.split_at(length);
            self.file.write_all_at(now, offset)?;
            bytes = later;
        }
        Ok(())
    }

    /// Writes down a merge, after which it will be done even if the server is killed.
    pub(super) fn plan_merge(
        &self,
        merge: Merge,
        to: [Option<Chunk>; 2],
        bytes: &[u8],
    ) -> io::Result<()> {
        let scratch = self.layout.scratch();
        for (at, chunk) in to.into_iter().enumerate() {
            self.write_words(scratch + at as u64 * SLOT, &chunk.map_or([0, 0], encode))?;
        }
        self.file.write_all_at(bytes, scratch + PAGE)?;
        self.write_words(MERGE, &[merge.number, merge.count, merge.start, merge.length])
    }

    /// Does the merge that was planned, if any. Doing part of it twice comes to the same.
    pub(super) fn finish_merge(&self) -> io::Result<()> {
        let [number, count, start, length] = self.read_words(MERGE)?;
        if length == 0 {
            return Ok(());
        }
        if length > MERGED || count > self.layout.slots {
            return Err(damaged("no merge is as large as the one under way"));
        }
        let scratch = self.layout.scratch();
        let mut bytes = vec![0; length as usize];
        self.read_at(&mut bytes, scratch + PAGE)?;
        self.write_data(start, &bytes)?;
        for at in 0..count {
            let words: [u64; 2] =
                if at < 2 { self.read_words(scratch + at * SLOT)? } else { [0, 0] };
            self.write_words(self.layout.slot(number.wrapping_add(at)), &words)?;
        }
        self.write_words(MERGE, &[0, 0, 0, 0])
    }

    /// Frees the memory behind index, scratch and data, when nothing in them is needed.
    pub(super) fn give_back_pages(&self) -> io::Result<()> {
        let length = self.layout.length() - PAGE;
        sys::give_back_pages(&self.file, PAGE, length)
    }

    /// Bytes of memory that the whole file takes.
    pub(super) fn resident_bytes(&self) -> io::Result<u64> {
        // In units of 512 bytes, whatever a page has (stat(2)).
        Ok(self.file.metadata()?.blocks() * 512)
    }

    /// Bytes of the pages that have the output between these positions.
    pub(super) fn data_pages(&self, from: u64, end: u64) -> u64 {
        pages(from, end, PAGE).min(self.layout.capacity)
    }

    /// Bytes of the pages that have the slots of the chunks between these numbers.
    pub(super) fn index_pages(&self, from: u64, end: u64) -> u64 {
        pages(from, end, SLOTS_PER_PAGE).min(self.layout.slots) * SLOT
    }

    /// Frees the memory behind everything but the output and the chunks between these positions and
    /// numbers. The next server must not look for anything before them.
    pub(super) fn give_back_all_but(
        &self,
        output: Range<u64>,
        numbers: Range<u64>,
    ) -> io::Result<()> {
        let Layout { slots, capacity, .. } = self.layout;
        let unused = output.end.next_multiple_of(PAGE)..floor(output.start, PAGE) + capacity;
        let length = unused.end.saturating_sub(unused.start);
        for (offset, length) in self.pieces(unused.start, length) {
            self.give_back(offset, length as u64)?;
        }
        let unused = numbers.end.next_multiple_of(SLOTS_PER_PAGE)
            ..floor(numbers.start, SLOTS_PER_PAGE) + slots;
        let (at, count) = (unused.start % slots, unused.end.saturating_sub(unused.start));
        let until_wrap = count.min(slots - at);
        self.give_back(self.layout.slot(at), until_wrap * SLOT)?;
        self.give_back(self.layout.slot(0), (count - until_wrap) * SLOT)?;
        self.give_back(self.layout.scratch(), SCRATCH)
    }

    fn give_back(&self, offset: u64, length: u64) -> io::Result<()> {
        if length == 0 { Ok(()) } else { sys::give_back_pages(&self.file, offset, length) }
    }

    /// Reads what is there. Nothing is given up because there is no memory to read it with now.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        limit::patiently(|| self.file.read_exact_at(bytes, offset))
    }

    fn write_words(&self, offset: u64, words: &[u64]) -> io::Result<()> {
        let mut bytes = [0; 32];
        for (bytes, word) in bytes.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        self.file.write_all_at(&bytes[..words.len() * 8], offset)
    }

    fn read_words<const N: usize>(&self, offset: u64) -> io::Result<[u64; N]> {
        let mut words = [0; N];
        let mut bytes = [0; 32];
        self.read_at(&mut bytes[..N * 8], offset)?;
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        Ok(words)
    }
}

impl AsFd for RingFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn floor(number: u64, unit: u64) -> u64 {
    number - number % unit
}

/// How much whole pages have that are touched from one place to another, of so much each.
fn pages(from: u64, end: u64, each: u64) -> u64 {
    if from < end { end.next_multiple_of(each) - floor(from, each) } else { 0 }
}

/// The error of a file that no version has left so, killed wherever.
pub(super) fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, how)
}

fn encode(chunk: Chunk) -> [u64; 2] {
    let stream = if chunk.stream == Stream::Err { ERR } else { 0 };
    [chunk.start | stream, chunk.time.0.max(1)]
}

fn decode(start: u64, time: u64) -> Chunk {
    let stream = if start & ERR == 0 { Stream::Out } else { Stream::Err };
    Chunk { start: start & !ERR, stream, time: Time(time) }
}
