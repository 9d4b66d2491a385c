//! Lines as a client sends them, over telnet too.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use papa_protocol::exact::Failure;

use crate::bounds::{Bound, Bounds};
use crate::{limit, sys};

/// Descriptors that may wait to be taken.
const MAX_DESCRIPTORS: usize = 16;

/// Bytes read at once.
const READ: usize = 16 * 1024;

/// telnet's commands (RFC 854).
mod telnet {
    pub(super) const IAC: u8 = 255;
    pub(super) const SB: u8 = 250;
    pub(super) const SE: u8 = 240;
    pub(super) const WILL: u8 = 251;
    pub(super) const DONT: u8 = 254;
}

/// Where in a telnet command the last byte was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Telnet {
    #[default]
    Text,
    Command,
    /// WILL, WONT, DO or DONT: the option follows.
    Option,
    Subnegotiation,
    /// IAC within a subnegotiation.
    MaybeEnd,
}

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
    dialect: Dialect,
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

/// What bytes mean apart from lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// telnet's commands may be among the bytes.
    Telnet(Telnet),
    /// Every byte counts, and descriptors may come with them.
    Exact,
}

impl Lines {
    /// The lines of a connection that does not block.
    pub(super) fn new(connection: File, bounds: Arc<Bounds>) -> Lines {
        let dialect = Dialect::Telnet(Telnet::Text);
        Lines::resumed(connection, dialect, Vec::new(), VecDeque::new(), bounds)
    }

    /// Those of a connection of which this was read and not given out; places of descriptors count
    /// from the beginning of that.
    pub(super) fn resumed(
        connection: File,
        dialect: Dialect,
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
            dialect,
            before_buffer: 0,
            line_end: 0,
            descriptors,
            bounds,
            unfinished,
            unfinished_since: (unfinished > 0).then(Instant::now),
        }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Descriptors that came with what is waiting, and their places in that.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        let start = self.before_buffer + self.start as u64;
        let waiting = self.descriptors.iter().filter(move |(place, _)| *place >= start);
        waiting.map(move |(place, fd)| (place - start, fd.as_fd()))
    }

    /// From now on every byte counts.
    pub(super) fn become_exact(&mut self) {
        self.dialect = Dialect::Exact;
    }

    /// A descriptor that came with the line that was given out last.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        let line_end = self.line_end;
        let is_its = self.descriptors.front().is_some_and(|(place, _)| *place < line_end);
        if is_its { self.descriptors.pop_front().map(|(_, fd)| fd) } else { None }
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
        let line = match self.dialect {
            Dialect::Telnet(_) => line.trim_ascii().to_vec(),
            Dialect::Exact => line.to_vec(),
        };
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
        if self.is_too_long() {
            return Ok(Received::TooLong);
        }
        let mut bytes = vec![0; READ];
        let count = match self.dialect {
            Dialect::Telnet(_) => limit::patiently(|| (&self.connection).read(&mut bytes)),
            Dialect::Exact => {
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
            }
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

    /// Keeps text and passes over telnet's commands.
    fn take_text(&mut self, bytes: &[u8]) {
        let has_command = memchr::memchr(telnet::IAC, bytes).is_some();
        let state = match &mut self.dialect {
            Dialect::Telnet(state) if has_command || !matches!(state, Telnet::Text) => state,
            Dialect::Telnet(_) | Dialect::Exact => return self.buffer.extend_from_slice(bytes),
        };
        for &byte in bytes {
            *state = match (*state, byte) {
                (Telnet::Text, telnet::IAC) => Telnet::Command,
                // Doubled, it stands for itself.
                (Telnet::Text, byte) | (Telnet::Command, byte @ telnet::IAC) => {
                    self.buffer.push(byte);
                    Telnet::Text
                }
                (Telnet::Command, telnet::WILL..=telnet::DONT) => Telnet::Option,
                (Telnet::Command, telnet::SB) => Telnet::Subnegotiation,
                (Telnet::Command | Telnet::Option, _) | (Telnet::MaybeEnd, telnet::SE) => {
                    Telnet::Text
                }
                (Telnet::Subnegotiation, telnet::IAC) => Telnet::MaybeEnd,
                (Telnet::Subnegotiation | Telnet::MaybeEnd, _) => Telnet::Subnegotiation,
            };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Allowed;

    fn lines_of_at_most(bytes: u64) -> Lines {
        let mut allowed = Allowed::default();
        allowed.set(Bound::Line, bytes);
        Lines::new(File::open("/dev/null").unwrap(), Arc::new(Bounds::new(allowed)))
    }

    fn text_of(packets: &[&[u8]]) -> Vec<u8> {
        let mut lines = lines_of_at_most(100);
        for packet in packets {
            lines.take_text(packet);
        }
        lines.waiting().to_vec()
    }

    #[test]
    fn telnet_negotiation_is_passed_over_wherever_packets_end() {
        let sent = b"\xff\xfd\x03l \xff\xfb\x18p\xff\xfa\x18\x00xterm\xff\xff\xff\xf0\xff\xf1\n";
        for at in 0..sent.len() {
            assert_eq!(text_of(&[&sent[..at], &sent[at..]]), b"l p\n", "split at {at}");
        }
    }

    #[test]
    fn a_doubled_iac_is_the_byte_255() {
        assert_eq!(text_of(&[b"set a \xff\xff\n"]), b"set a \xff\n");
    }

    #[test]
    fn lines_come_without_line_ends_and_blanks() {
        let mut lines = lines_of_at_most(100);
        lines.take_text(b"  one \r\n\ntwo\nthr");
        assert_eq!(lines.peek(), Some(&b"one"[..]));
        for line in [&b"one"[..], b"", b"two"] {
            assert_eq!(lines.next(), Ok(Some(line.to_vec())));
        }
        assert_eq!(lines.next(), Ok(None));
        lines.take_text(b"ee\n");
        assert_eq!(lines.next(), Ok(Some(b"three".to_vec())));
    }

    /// As reading brings it.
    fn take(lines: &mut Lines, text: &[u8]) {
        let before = lines.buffer.len();
        lines.take_text(text);
        lines.note_unfinished(before);
    }

    #[test]
    fn a_line_is_as_long_as_it_may_be_and_no_longer() {
        for line in [&b"12345678\n"[..], b"12345678\r\n"] {
            for at in 0..line.len() {
                let mut lines = lines_of_at_most(8);
                take(&mut lines, &line[..at]);
                assert_eq!(lines.next(), Ok(None), "{at}");
                take(&mut lines, &line[at..]);
                assert_eq!(lines.next(), Ok(Some(b"12345678".to_vec())));
            }
        }
        for text in [&b"1234567890"[..], b"123456789\n", b"12345678\r\r"] {
            let mut lines = lines_of_at_most(8);
            take(&mut lines, b"1\n");
            take(&mut lines, text);
            assert_eq!(lines.next(), Ok(Some(b"1".to_vec())));
            assert_eq!(lines.next(), Err(lines.too_long()));
        }
    }

    #[test]
    fn a_line_is_unfinished_from_its_first_byte_to_its_end() {
        let mut lines = lines_of_at_most(100);
        let mut since_after = |text: &[u8]| {
            take(&mut lines, text);
            lines.unfinished_since()
        };
        assert_eq!(since_after(b"one\n"), None);
        // What telnet says of itself is no line.
        assert_eq!(since_after(b"\xff\xfd\x03"), None);
        let since = since_after(b"tw");
        assert!(since.is_some());
        assert_eq!(since_after(b"o"), since);
        assert!(since_after(b"\nthr") > since);
        assert_eq!(since_after(b"ee\n"), None);
    }
}
