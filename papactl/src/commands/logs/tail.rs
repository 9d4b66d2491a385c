//! Where the last lines of a process begin.

use std::collections::VecDeque;
use std::time::SystemTime;

use papa_client::{Event, Mode, Papa, ProcessInfo, Stream};

use super::gate::Gate;
use super::source::Place;
use crate::failure::Result;

/// The most lines that can be asked for: their positions are held in memory.
pub(super) const MAX_LINES: u64 = 1_000_000;

/// Bytes before the end that are looked at first. Where there are not enough lines in them, more
/// are, so that the last lines of a large buffer are found without reading all of it.
const FIRST_SPAN: u64 = 64 << 10;
const GROWTH: u64 = 8;

/// The lines that are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) lines: u64,
    pub(super) only: Option<Stream>,
    pub(super) since: Option<SystemTime>,
}

/// Where the last lines of a process begin.
pub(super) fn place(papa: &Papa, info: &ProcessInfo, wanted: Wanted) -> Result<Place> {
    let mut length = FIRST_SPAN;
    loop {
        let from = info.next.saturating_sub(length).max(info.first);
        let mut scan = Scan::new(wanted, from, from == info.first);
        if wanted.lines == 0 {
            scan.position = info.next;
        } else {
            scan.run(papa, info, from)?;
        }
        if from == info.first || scan.is_full() {
            return Ok(scan.place(info));
        }
        length = length.saturating_mul(GROWTH);
    }
}

/// A look at the end of a process's output.
#[derive(Debug)]
struct Scan {
    wanted: Wanted,
    /// The end of what was seen.
    position: u64,
    /// Whether what comes next begins a line, on stdout and on stderr.
    at_start: [bool; 2],
    /// The positions at which the last lines begin.
    starts: VecDeque<(u64, Stream)>,
}

impl Scan {
    fn new(wanted: Wanted, position: u64, at_start: bool) -> Self {
        Self { wanted, position, at_start: [at_start; 2], starts: VecDeque::new() }
    }

    fn run(&mut self, papa: &Papa, info: &ProcessInfo, from: u64) -> Result<()> {
        let watch = papa.watch([&info.name]).only(info.id).mode(Mode::Peek).follow(false);
        for batch in watch.resume_from(info.name.clone(), info.id, from).start()? {
            let batch = batch?;
            for event in batch.iter().filter(|event| event.id() == info.id) {
                match event {
                    Event::Output { stream, position, time, bytes, .. } => {
                        self.see(stream, position, time, bytes);
                    }
                    Event::Lost { position, bytes, .. } => {
                        self.position = position + bytes;
                        self.at_start = [true; 2];
                    }
                    _ => {}
                }
            }
            batch.acknowledge();
        }
        Ok(())
    }

    fn see(&mut self, stream: Stream, position: u64, time: SystemTime, bytes: &[u8]) {
        self.position = position + bytes.len() as u64;
        let is_wanted = self.wanted.only.is_none_or(|only| only == stream)
            && self.wanted.since.is_none_or(|since| time >= since);
        let [out, err] = &mut self.at_start;
        let at_start = match stream {
            Stream::Out => out,
            Stream::Err => err,
        };
        let mut begin = position;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if *at_start && is_wanted {
                self.starts.push_back((begin, stream));
                if self.starts.len() as u64 > self.wanted.lines {
                    self.starts.pop_front();
                }
            }
            *at_start = line.ends_with(b"\n");
            begin += line.len() as u64;
        }
    }

    fn is_full(&self) -> bool {
        self.starts.len() as u64 >= self.wanted.lines
    }

    fn place(&self, info: &ProcessInfo) -> Place {
        let first = |stream| {
            let mut starts = self.starts.iter().filter(|(_, of)| *of == stream);
            // Of a stream that has none of the last lines, what comes later is wanted.
            starts.next().map_or(self.position, |(position, _)| *position)
        };
        let (out, err) = (first(Stream::Out), first(Stream::Err));
        let gates = [Gate::new(out, None), Gate::new(err, None)];
        Place { id: info.id, position: out.min(err), gates, is_over: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [(Stream, &str); 5] = [
        (Stream::Out, "a\nb"),
        (Stream::Err, "x\ny\n"),
        (Stream::Out, "b\nc\n"),
        (Stream::Err, "z"),
        (Stream::Out, "d\n"),
    ];

    /// The positions where the last lines begin, as seen from this piece on.
    fn starts(lines: u64, only: Option<Stream>, skipped: usize) -> Vec<u64> {
        let mut position = 0;
        let wanted = Wanted { lines, only, since: None };
        let mut scan = Scan::new(wanted, 0, skipped == 0);
        for (index, (stream, bytes)) in PIECES.into_iter().enumerate() {
            if index >= skipped {
                scan.see(stream, position, SystemTime::UNIX_EPOCH, bytes.as_bytes());
            }
            position += bytes.len() as u64;
        }
        scan.starts.into_iter().map(|(position, _)| position).collect()
    }

    #[test]
    fn lines_are_counted_by_where_they_begin() {
        assert_eq!(starts(9, None, 0), [0, 2, 3, 5, 9, 11, 12]);
        assert_eq!(starts(3, None, 0), [9, 11, 12]);
        assert_eq!(starts(2, Some(Stream::Err), 0), [5, 11]);
        assert_eq!(starts(0, None, 0), [0; 0]);
    }

    #[test]
    fn what_may_be_the_end_of_a_line_is_not_taken_for_one() {
        assert_eq!(starts(9, None, 1), [5, 9, 11, 12]);
    }
}
