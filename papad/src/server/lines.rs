//! Lines as a client sends them.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use papa_protocol::exact::Failure;

use super::telnet::{Answer, END_OF_TRANSMISSION, Heard, IAC, Telnet};
use crate::bounds::{Bound, Bounds};
use crate::{limit, sys};

/// Descriptors that may wait to be taken.
const MAX_DESCRIPTORS: usize = 16;

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// What reading brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes,
    /// There is nothing to be read now.
    Nothing,
    /// The client sends no more.
    End,
    /// More bytes have come without a newline than a line may have.
    TooLong,
}

/// The lines of one connection.
pub(super) struct Lines {
    /// What was read and not given out, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Up to here there is no newline.
    searched: usize,
    manner: Manner,
    /// What telnet is to be answered once all lines before the place are where it asked.
    answers: VecDeque<(u64, Answer)>,
    /// The place in the stream where the client has said last that it is unsure.
    unsure_at: u64,
    /// Bytes of the stream before the buffer, and before the end of the line that was given out.
    before_buffer: u64,
    line_end: u64,
    /// Descriptors that came and were not taken, each with the place in the stream where it came.
    descriptors: VecDeque<(u64, OwnedFd)>,
    bounds: Arc<Bounds>,
    /// The line of which no end has come: its bytes by now, and when it began.
    unfinished: usize,
    unfinished_since: Option<Instant>,
    /// Dropped last: when the client sees that it is closed, nothing is left of what came.
    connection: File,
}

/// How a client speaks, apart from lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Manner {
    /// Every byte of a line counts, and descriptors may come with them. Otherwise telnet's commands
    /// may be within lines, too.
    pub(super) is_exact: bool,
    pub(super) telnet: Telnet,
    /// What was sent by now may not have been shown.
    pub(super) is_unsure: bool,
    /// It has said that it sends no more.
    pub(super) has_left: bool,
}

impl Lines {
    /// The lines of a connection that does not block.
    pub(super) fn new(connection: File, bounds: Arc<Bounds>) -> Lines {
        Lines::resumed(connection, Manner::default(), Vec::new(), VecDeque::new(), bounds)
    }

    /// Those of a connection of which this was read and not given out; places of descriptors count
    /// from the beginning of that.
    pub(super) fn resumed(
        connection: File,
        manner: Manner,
        buffer: Vec<u8>,
        descriptors: VecDeque<(u64, OwnedFd)>,
        bounds: Arc<Bounds>,
    ) -> Lines {
        let unfinished = after_last_line(&buffer).unwrap_or(buffer.len());
        Lines {
            connection,
            buffer,
            start: 0,
            searched: 0,
            manner,
            answers: VecDeque::new(),
            unsure_at: 0,
            before_buffer: 0,
            line_end: 0,
            descriptors,
            bounds,
            unfinished,
            unfinished_since: (unfinished > 0).then(Instant::now),
        }
    }

    pub(super) fn manner(&self) -> Manner {
        self.manner
    }

    /// Descriptors that came with what is waiting, and their places in that.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let start = self.before_buffer + self.start as u64;
        let waiting = self.descriptors.iter().filter(move |(place, _)| *place >= start);
        waiting.map(move |(place, fd)| (place - start, fd.as_fd()))
    }

    /// From now on every byte counts.
    pub(super) fn become_exact(&mut self) {
        self.manner.is_exact = true;
    }

    /// Whether the client sends no more, and has said so.
    pub(super) fn has_left(&self) -> bool {
        self.manner.has_left
    }

    /// What telnet is to be answered now: all lines before that are given out.
    pub(super) fn due_answers(&mut self) -> Vec<u8> {
        if self.answers.is_empty() {
            return Vec::new();
        }
        let line = memchr::memchr(b'\n', self.waiting());
        let start = self.before_buffer + self.start as u64;
        let until = line.map_or(u64::MAX, |length| start + length as u64);
        let due = self.answers.partition_point(|(place, _)| *place <= until);
        self.answers.drain(..due).flat_map(|(_, answer)| answer.bytes()).collect()
    }

    /// What telnet is to be answered at some time.
    pub(super) fn all_answers(&mut self) -> Vec<u8> {
        self.answers.drain(..).flat_map(|(_, answer)| answer.bytes()).collect()
    }

    /// Whether the client had thrown away what was sent by then when it sent the next line, or before.
    pub(super) fn is_unsure_before_next_line(&self) -> bool {
        let before = self.unsure_at.saturating_sub(self.before_buffer + self.start as u64) as usize;
        let before = &self.waiting()[..before.min(self.waiting().len())];
        self.manner.is_unsure && memchr::memchr(b'\n', before).is_none()
    }

    /// Whether the client has thrown away what was sent, since this was last asked.
    pub(super) fn take_unsure(&mut self) -> bool {
        std::mem::take(&mut self.manner.is_unsure)
    }

    /// The descriptors that came with the line that was given out last.
    pub(super) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        let is_its = |(place, _): &(u64, OwnedFd)| *place < self.line_end;
        let count = self.descriptors.iter().take_while(|it| is_its(it)).count();
        self.descriptors.drain(..count).map(|(_, fd)| fd).collect()
    }

    /// Whether descriptors can travel over this connection.
    pub(super) fn can_pass_descriptors(&self) -> bool {
        getsockname::<SockaddrStorage>(self.connection.as_raw_fd())
            .is_ok_and(|address| address.family() == Some(AddressFamily::Unix))
    }

    pub(super) fn connection(&self) -> &File {
        &self.connection
    }

    /// What was read and not given out.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// The next line that is whole, without its newline; in papa 1.0 also without blanks at both
    /// ends.
    ///
    /// # Errors
    /// It has more bytes than it may, with its end or without.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return if self.is_too_long() { Err(self.too_long()) } else { Ok(None) };
        };
        let end = self.searched + length;
        let line = &self.buffer[self.start..end];
        // A return at the end does not count.
        let length = line.strip_suffix(b"\r").unwrap_or(line).len();
        self.bounds.check(Bound::Line, length)?;
        let line = if self.manner.is_exact { line } else { line.trim_ascii() }.to_vec();
        // What came with earlier lines and was not taken is closed.
        let line_start = self.before_buffer + self.start as u64;
        self.descriptors.retain(|(place, _)| *place >= line_start);
        self.start = end + 1;
        self.searched = self.start;
        self.line_end = self.before_buffer + self.start as u64;
        Ok(Some(line))
    }

    /// Whether more has come of a line than it may have. The last byte may be a return, which does
    /// not count.
    fn is_too_long(&self) -> bool {
        self.unfinished as u64 > self.bounds.allowed(Bound::Line) + 1
    }

    pub(super) fn too_long(&self) -> Failure {
        self.bounds.refusal(Bound::Line)
    }

    /// Since when there is a line without its end.
    pub(super) fn unfinished_since(&self) -> Option<Instant> {
        self.unfinished_since
    }

    /// Looks at the next line that is whole, without taking it.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let waiting = self.waiting();
        let end = memchr::memchr(b'\n', waiting)?;
        Some(waiting[..end].trim_ascii())
    }

    /// Takes more bytes if there are some.
    pub(super) fn read(&mut self) -> io::Result<Received> {
        self.forget_taken();
        if self.has_left() {
            return Ok(Received::End);
        }
        if self.is_too_long() {
            return Ok(Received::TooLong);
        }
        let mut bytes = vec![0; READ];
        let count = if self.manner.is_exact {
            let read = limit::patiently(|| {
                sys::read_with_descriptors(self.connection.as_fd(), &mut bytes)
            });
            read.map(|(count, fds)| {
                // They come with the first byte of what was sent together.
                let place = self.before_buffer + self.buffer.len() as u64;
                self.descriptors.extend(fds.into_iter().map(|fd| (place, fd)));
                // Those beyond the bound are closed.
                self.descriptors.truncate(MAX_DESCRIPTORS);
                count
            })
        } else {
            limit::patiently(|| (&self.connection).read(&mut bytes))
        };
        match count {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                let before = self.buffer.len();
                self.take_text(&bytes[..count]);
                self.note_unfinished(before);
                Ok(Received::Bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Reads without keeping anything; false at the end.
    pub(super) fn pass_over(&mut self) -> io::Result<bool> {
        match (&self.connection).read(&mut [0; READ]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            result => result.map(|count| count > 0),
        }
    }

    /// Keeps in mind how much there is of an unfinished line, and since when; what is after `before`
    /// has just come.
    fn note_unfinished(&mut self, before: usize) {
        let came = &self.buffer[before..];
        if let Some(left) = after_last_line(came) {
            if let Some(since) = self.unfinished_since.take() {
                self.bounds.note(Bound::ClientTimeout, since.elapsed().as_secs());
            }
            self.unfinished = left;
        } else {
            self.unfinished += came.len();
        }
        if self.unfinished > 0 {
            self.unfinished_since.get_or_insert_with(Instant::now);
        }
    }

    fn forget_taken(&mut self) {
        self.before_buffer += self.start as u64;
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(READ);
        }
    }

    /// Keeps text, and notes what telnet's commands ask for.
    fn take_text(&mut self, bytes: &[u8]) {
        let is_plain = self.manner.telnet == Telnet::Text
            && memchr::memchr2(IAC, END_OF_TRANSMISSION, bytes).is_none();
        if is_plain {
            return self.buffer.extend_from_slice(bytes);
        }
        for &byte in bytes {
            let begins_line = self.buffer[self.start..].last().is_none_or(|&last| last == b'\n');
            let Manner { is_exact, telnet, .. } = self.manner;
            // Within an exact line, they are as wrong as any other control character.
            if is_exact && telnet == Telnet::Text && !begins_line {
                self.buffer.push(byte);
                continue;
            }
            match self.manner.telnet.on(byte, begins_line) {
                Heard::Text(byte) => self.buffer.push(byte),
                Heard::Nothing => {}
                Heard::Question(answer) => {
                    let place = self.before_buffer + self.buffer.len() as u64;
                    self.answers.push_back((place, answer));
                    if answer == Answer::TimingMark {
                        self.manner.is_unsure = true;
                        self.unsure_at = place;
                    }
                }
                Heard::End => {
                    self.manner.has_left = true;
                    return;
                }
            }
        }
    }
}

/// Bytes after the last newline, if there is one.
fn after_last_line(text: &[u8]) -> Option<usize> {
    memchr::memrchr(b'\n', text).map(|end| text.len() - end - 1)
}

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}
