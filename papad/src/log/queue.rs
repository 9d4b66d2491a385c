//! The lines that wait to be written: a bounded queue that counts what does not fit. It does no I/O.

use std::collections::VecDeque;

/// The most bytes that wait. Lines beyond are dropped and counted.
const MAX_QUEUED: usize = 64 * 1024;

/// One line, or a notice that others were dropped.
struct Entry {
    bytes: Vec<u8>,
    /// How much of it was written.
    written: usize,
    /// How many lines are lost if it is not written.
    lines: u64,
}

/// The queue. The notice that lines were dropped takes the place of these lines.
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Lines that were dropped since the last notice.
    dropped: u64,
    /// The last write failed. Until one succeeds, no notice is tried by itself.
    is_failing: bool,
}

impl Queue {
    pub(super) const fn new() -> Queue {
        Queue { entries: VecDeque::new(), bytes: 0, dropped: 0, is_failing: false }
    }

    /// Adds a line, or counts it as dropped. `notice` makes a line that reports so many.
    pub(super) fn push(&mut self, line: Vec<u8>, notice: impl Fn(u64) -> Vec<u8>) {
        if self.bytes + line.len() > MAX_QUEUED {
            self.dropped += 1;
            return;
        }
        if !self.is_failing {
            self.add_notice(notice);
        }
        self.add(line, 1);
    }

    /// What is to be written next; `None` if nothing waits.
    pub(super) fn next(&mut self, notice: impl Fn(u64) -> Vec<u8>) -> Option<&[u8]> {
        if self.entries.is_empty() && !self.is_failing {
            self.add_notice(notice);
        }
        self.entries.front().and_then(|entry| entry.bytes.get(entry.written..))
    }

    /// So many bytes of what `next` returned were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.is_failing = false;
        if let Some(first) = self.entries.front_mut() {
            first.written += bytes;
            if first.written >= first.bytes.len() {
                self.remove_first();
            }
        }
    }

    /// What `next` returned cannot be written: it is dropped.
    pub(super) fn failed(&mut self) {
        self.is_failing = true;
        if let Some(lines) = self.remove_first() {
            self.dropped += lines;
        }
    }

    /// Whether `next` would return nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && (self.dropped == 0 || self.is_failing)
    }

    fn add_notice(&mut self, notice: impl Fn(u64) -> Vec<u8>) {
        if self.dropped > 0 {
            let lines = std::mem::take(&mut self.dropped);
            self.add(notice(lines), lines);
        }
    }

    fn add(&mut self, bytes: Vec<u8>, lines: u64) {
        self.bytes += bytes.len();
        self.entries.push_back(Entry { bytes, written: 0, lines });
    }

    fn remove_first(&mut self) -> Option<u64> {
        let first = self.entries.pop_front()?;
        self.bytes -= first.bytes.len();
        Some(first.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(lines: u64) -> Vec<u8> {
        format!("{lines} dropped\n").into_bytes()
    }

    fn push(queue: &mut Queue, line: &str) {
        queue.push(line.as_bytes().to_vec(), notice);
    }

    /// Everything that waits, as it would be written.
    fn drain(queue: &mut Queue) -> String {
        let mut text = Vec::new();
        while let Some(bytes) = queue.next(notice) {
            let bytes = bytes.to_vec();
            queue.wrote(bytes.len());
            text.extend(bytes);
        }
        assert!(queue.is_empty());
        String::from_utf8(text).unwrap()
    }

    /// Fills it with lines of 1 KiB, and returns them.
    fn fill(queue: &mut Queue) -> String {
        let line = format!("{}\n", "x".repeat(1023));
        let lines = MAX_QUEUED / line.len();
        for _ in 0..lines {
            push(queue, &line);
        }
        line.repeat(lines)
    }

    #[test]
    fn lines_come_out_in_the_order_they_went_in() {
        let mut queue = Queue::new();
        assert!(queue.is_empty());
        push(&mut queue, "one\n");
        push(&mut queue, "two\n");
        assert!(!queue.is_empty());
        assert_eq!(drain(&mut queue), "one\ntwo\n");
    }

    #[test]
    fn a_line_of_which_a_part_was_written_is_finished_first() {
        let mut queue = Queue::new();
        push(&mut queue, "one\n");
        queue.wrote(2);
        push(&mut queue, "two\n");
        assert_eq!(drain(&mut queue), "e\ntwo\n");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_reported_in_its_place() {
        let mut queue = Queue::new();
        let first = fill(&mut queue);
        push(&mut queue, "two\n");
        push(&mut queue, "three\n");
        let room = queue.next(notice).unwrap().len();
        queue.wrote(room);
        push(&mut queue, "four\n");
        let after_one = &first[room..];
        assert_eq!(drain(&mut queue), format!("{after_one}2 dropped\nfour\n"));
    }

    #[test]
    fn dropped_lines_are_reported_though_no_other_line_follows() {
        let mut queue = Queue::new();
        let first = fill(&mut queue);
        push(&mut queue, "two\n");
        assert_eq!(drain(&mut queue), format!("{first}1 dropped\n"));
    }

    #[test]
    fn failed_writes_are_counted_and_reported_after_the_next_that_succeeds() {
        let mut queue = Queue::new();
        for _ in 0..3 {
            push(&mut queue, "lost\n");
            queue.failed();
            // Nothing is tried again by itself.
            assert!(queue.is_empty());
            assert_eq!(queue.next(notice), None);
        }
        push(&mut queue, "kept\n");
        assert_eq!(drain(&mut queue), "kept\n3 dropped\n");
    }

    #[test]
    fn a_notice_that_fails_goes_on_to_count_what_it_stood_for() {
        let mut queue = Queue::new();
        fill(&mut queue);
        push(&mut queue, "lost\n");
        while queue.bytes > 0 {
            let length = queue.next(notice).unwrap().len();
            queue.wrote(length);
        }
        assert_eq!(queue.next(notice).unwrap(), b"1 dropped\n");
        queue.failed();
        push(&mut queue, "kept\n");
        assert_eq!(drain(&mut queue), "kept\n1 dropped\n");
    }
}
