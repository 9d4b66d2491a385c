//! Making room in a full index: the newest chunks become at most two, one per stream.
//!
//! No byte is lost and each keeps its stream; what is given up is which of the two streams wrote
//! first within the merged stretch. Only a process that alternates between its streams in writes
//! of a few bytes, with nobody reading, gets here.

use std::io;

use papa_protocol::frame::Stream;

use super::file::{MERGED, Merge};
use super::{Chunk, Ring};
use crate::sys;

impl Ring {
    /// Merges the newest chunks after `fixed`, before which readers have been sent everything. Returns whether a slot
    /// became free.
    pub(super) fn merge_last(&mut self, fixed: u64) -> io::Result<bool> {
        let from = self.chunks.partition_point(|chunk| {
            chunk.start < fixed.max(self.first) || self.end - chunk.start > MERGED
        });
        let count = self.chunks.len() - from;
        if count < 3 {
            return Ok(false);
        }
        let start = self.chunks[from].start;
        let mut streams = [(Stream::Out, Vec::new()), (Stream::Err, Vec::new())];
        if self.chunks[from].stream == Stream::Err {
            streams.reverse();
        }
        for (stream, _, start, length) in self.chunks_from(start) {
            let (_, bytes) = &mut streams[usize::from(stream != streams[0].0)];
            self.file.read_data(start, length, bytes)?;
        }
        let time_of = |stream| {
            let mut merged = self.chunks.range(from..);
            merged.find(|chunk| chunk.stream == stream).map(|chunk| chunk.time)
        };
        let [(stream, mut bytes), (other, others)] = streams;
        let first = time_of(stream).map(|time| Chunk { start, stream, time });
        let start_of_other = start + bytes.len() as u64;
        let second =
            time_of(other).map(|time| Chunk { start: start_of_other, stream: other, time });
        bytes.extend(others);

        let merge = Merge {
            number: self.first_number + from as u64,
            count: count as u64,
            start,
            length: bytes.len() as u64,
        };
        // The slots that are emptied now are not to be taken for those of a later lap.
        self.write_live()?;
        self.file.plan_merge(merge, [first, second], &bytes)?;
        self.resident.has_scratch = true;
        sys::kill_point("merge-planned");
        self.file.finish_merge()?;
        self.chunks.truncate(from);
        self.chunks.extend(first.into_iter().chain(second));
        Ok(true)
    }
}
