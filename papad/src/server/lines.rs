//! Lines as a client sends them, over telnet too.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};

use crate::{limit, sys};

/// The longest line, in bytes, in either protocol: what exec could take (`ARG_MAX`).
pub(super) use papa_protocol::exact::MAX_LINE;

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
    /// More than [`MAX_LINE`] bytes have come without a newline.
    TooLong,
}

/// The lines of one connection.
pub(super) struct Lines {
    connection: File,
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
    pub(super) fn new(connection: File) -> Lines {
        Lines::resumed(connection, Dialect::Telnet(Telnet::Text), Vec::new(), VecDeque::new())
    }

    /// Those of a connection of which this was read and not given out; places of descriptors count
    /// from the beginning of that.
    pub(super) fn resumed(
        connection: File,
        dialect: Dialect,
        buffer: Vec<u8>,
        descriptors: VecDeque<(u64, OwnedFd)>,
    ) -> Lines {
        let (start, searched, before_buffer, line_end) = (0, 0, 0, 0);
        Lines { connection, buffer, start, searched, dialect, before_buffer, line_end, descriptors }
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
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..]) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + length;
        let line = &self.buffer[self.start..end];
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
        Some(line)
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
        if self.buffer.len() > MAX_LINE {
            return Ok(Received::TooLong);
        }
        let mut bytes = [0; READ];
        let count = match self.dialect {
            Dialect::Telnet(_) => loop {
                match limit::patiently(|| (&self.connection).read(&mut bytes)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result,
                }
            },
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
                self.take_text(&bytes[..count]);
                Ok(Received::Bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            Err(error) => Err(error),
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

impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(packets: &[&[u8]]) -> Vec<u8> {
        let mut lines = Lines::new(File::open("/dev/null").unwrap());
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
        let mut lines = Lines::new(File::open("/dev/null").unwrap());
        lines.take_text(b"  one \r\n\ntwo\nthr");
        assert_eq!(lines.peek(), Some(&b"one"[..]));
        assert_eq!(lines.next().unwrap(), b"one");
        assert_eq!(lines.next().unwrap(), b"");
        assert_eq!(lines.next().unwrap(), b"two");
        assert_eq!(lines.next(), None);
        lines.take_text(b"ee\n");
        assert_eq!(lines.next().unwrap(), b"three");
    }
}
