//! Where the last lines of a process begin.

use std::collections::VecDeque;
use std::time::SystemTime;

use papa_client::{Event, Mode, Papa, ProcessInfo, Stream};

use super::choice::Choice;
use super::gate::Gate;
use super::lines::{Line, MAX_LINE};
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
pub(super) struct Wanted<'a> {
    pub(super) lines: u64,
    pub(super) only: Option<Stream>,
    pub(super) since: Option<SystemTime>,
    pub(super) choice: &'a Choice,
}

/// Where the last lines of a process begin.
pub(super) fn place(papa: &Papa, info: &ProcessInfo, wanted: Wanted<'_>) -> Result<Place> {
    let mut length = FIRST_SPAN;
    loop {
        let from = info.next.saturating_sub(length).max(info.first);
        let mut scan = Scan::new(wanted, from, from == info.first);
        if wanted.lines == 0 {
            scan.position = info.next;
        } else {
            scan.run(papa, info, from)?;
            scan.end_lines();
        }
        if from == info.first || scan.is_full() {
            return Ok(scan.place(info));
        }
        length = length.saturating_mul(GROWTH);
    }
}

/// A look at the end of a process's output.
#[derive(Debug)]
struct Scan<'a> {
    wanted: Wanted<'a>,
    /// The end of what was seen.
    position: u64,
    /// Whether what comes next begins a line, on stdout and on stderr.
    at_start: [bool; 2],
    /// The lines of stdout and of stderr that have not ended, where they are wanted.
    open: [Option<Line>; 2],
    /// The positions at which the last lines begin, in their order.
    starts: VecDeque<(u64, Stream)>,
}

impl<'a> Scan<'a> {
    fn new(wanted: Wanted<'a>, position: u64, at_start: bool) -> Self {
        let (open, starts) = ([None, None], VecDeque::new());
        Self { wanted, position, at_start: [at_start; 2], open, starts }
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
                        self.end_lines();
                        self.open = [None, None];
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
        let mut begin = position;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let ([out_at_start, err_at_start], [out, err]) = (&mut self.at_start, &mut self.open);
            let (at_start, open) = match stream {
                Stream::Out => (out_at_start, out),
                Stream::Err => (err_at_start, err),
            };
            if *at_start && is_wanted {
                *open = Some(Line { position: begin, time, bytes: Vec::new(), is_whole: false });
            }
            if let Some(open) = open.as_mut().filter(|_| self.wanted.choice.text.is_some()) {
                let room = MAX_LINE.saturating_sub(open.bytes.len());
                let text = line.strip_suffix(b"\n").unwrap_or(line);
                open.bytes.extend_from_slice(text.get(..room).unwrap_or(text));
            }
            *at_start = line.ends_with(b"\n");
            if *at_start && let Some(line) = open.take() {
                self.count(stream, &line);
            }
            begin += line.len() as u64;
        }
    }

    /// Counts lines that have not ended, where they are chosen already. Others may be chosen later, and
    /// stay open.
    fn end_lines(&mut self) {
        for (index, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            let open = self.open.get_mut(index).and_then(Option::take);
            match open {
                Some(line) if !self.count(stream, &line) => {
                    if let Some(open) = self.open.get_mut(index) {
                        *open = Some(line);
                    }
                }
                _ => {}
            }
        }
    }

    /// Counts a line if it is chosen.
    fn count(&mut self, stream: Stream, line: &Line) -> bool {
        if !self.wanted.choice.wants(line) {
            return false;
        }
        let later = self.starts.iter().rev().take_while(|(start, _)| *start > line.position);
        let index = self.starts.len() - later.count();
        self.starts.insert(index, (line.position, stream));
        if self.starts.len() as u64 > self.wanted.lines {
            self.starts.pop_front();
        }
        true
    }

    fn is_full(&self) -> bool {
        self.starts.len() as u64 >= self.wanted.lines
    }

    fn place(&self, info: &ProcessInfo) -> Place {
        let first = |stream, open: &Option<Line>| {
            let mut starts = self.starts.iter().filter(|(_, of)| *of == stream);
            let start = starts.next().map(|(position, _)| *position);
            // Of a stream that has none of the last lines, what comes later is wanted: the rest of a
            // line, too, that may be chosen when it ends.
            start.or_else(|| open.as_ref().map(|line| line.position)).unwrap_or(self.position)
        };
        let [out, err] = &self.open;
        let (out, err) = (first(Stream::Out, out), first(Stream::Err, err));
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

    /// The positions where the last chosen lines begin, as seen from this piece on.
    fn chosen(lines: u64, only: Option<Stream>, skipped: usize, text: Option<&str>) -> Vec<u64> {
        let mut position = 0;
        let choice = Choice { until: None, text: text.map(str::to_owned) };
        let wanted = Wanted { lines, only, since: None, choice: &choice };
        let mut scan = Scan::new(wanted, 0, skipped == 0);
        for (index, (stream, bytes)) in PIECES.into_iter().enumerate() {
            if index >= skipped {
                scan.see(stream, position, SystemTime::UNIX_EPOCH, bytes.as_bytes());
            }
            position += bytes.len() as u64;
        }
        scan.end_lines();
        scan.starts.into_iter().map(|(position, _)| position).collect()
    }

    fn starts(lines: u64, only: Option<Stream>, skipped: usize) -> Vec<u64> {
        chosen(lines, only, skipped, None)
    }

    #[test]
    fn lines_are_counted_by_where_they_begin() {
        assert_eq!(starts(9, None, 0), [0, 2, 3, 5, 9, 11, 12]);
        assert_eq!(starts(3, None, 0), [9, 11, 12]);
        assert_eq!(starts(2, Some(Stream::Err), 0), [5, 11]);
        assert_eq!(starts(0, None, 0), [0; 0]);
    }

    #[test]
    fn lines_that_are_not_chosen_are_not_counted() {
        assert_eq!(chosen(1, None, 0, Some("bb")), [2], "across pieces");
        assert_eq!(chosen(1, None, 0, Some("z")), [11], "of a line that has not ended");
        assert_eq!(chosen(9, None, 0, Some("q")), [0; 0]);
    }

    #[test]
    fn what_may_be_the_end_of_a_line_is_not_taken_for_one() {
        assert_eq!(starts(9, None, 1), [5, 9, 11, 12]);
    }
}
