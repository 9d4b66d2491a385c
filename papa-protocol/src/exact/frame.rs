//! Frames: what a watching session is sent.

use std::io::Write;

use super::failure::Failure;
use super::reply::{split, unreadable};
use super::words::parse_number;
use crate::frame::{Stream, Time};
use crate::quoted;

/// One frame. A position counts the bytes of output since the process started, both streams
/// together; no position and length of a frame add up to more than `u64::MAX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// `data`: output. `length` bytes follow the line, and no newline after them.
    Data {
        /// The process's name.
        name: Vec<u8>,
        /// Where it was written to.
        stream: Stream,
        /// The position of the first byte.
        position: u64,
        /// When it was read from the process.
        time: Time,
        /// Bytes that follow.
        length: u64,
    },
    /// `lost`: output that is not kept any more.
    Lost {
        /// The process's name.
        name: Vec<u8>,
        /// The position of the first byte that is lost.
        position: u64,
        /// How many are.
        bytes: u64,
    },
    /// `closed`: the process has ended, and so has its output.
    Closed {
        /// The process's name.
        name: Vec<u8>,
        /// The end of its output.
        position: u64,
        /// When it ended.
        time: Time,
        /// How it ended.
        end: End,
    },
    /// `joined`: a new process that a watched wildcard matches. Its frames follow.
    Joined {
        /// The process's name.
        name: Vec<u8>,
        /// Which process of that name it is.
        id: u64,
        /// Its pid.
        pid: i32,
    },
    /// `removed`: somebody removed it. No more frames of it follow.
    Removed {
        /// The process's name.
        name: Vec<u8>,
    },
    /// `end`: the watch is over, and the session takes requests again.
    End(Ended),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// With this exit status, 0 to 255.
    Exit(i32),
    /// Killed by the signal of this number.
    Signal(i32),
    /// Nobody knows: somebody else took its status, and did not tell.
    Unknown,
}

/// Why a watch is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The client said `stop`.
    Stopped,
    /// Nothing is left to watch.
    Finished,
}

/// Appends the line of a [`Frame::Data`]. The caller appends `length` bytes.
pub fn write_data(
    out: &mut Vec<u8>,
    name: &[u8],
    stream: Stream,
    position: u64,
    time: Time,
    length: u64,
) {
    begin(out, "data", name);
    // Writing to a Vec cannot fail.
    let _ = writeln!(out, " {} {position} {} {length}", stream.as_str(), time.0);
}

/// Appends the words that a frame of a process begins with.
fn begin(out: &mut Vec<u8>, kind: &str, name: &[u8]) {
    out.extend_from_slice(kind.as_bytes());
    out.push(b' ');
    quoted::push(out, name);
}

impl Frame {
    /// Appends the frame's line and its line end. After one of [`Frame::Data`] the caller appends
    /// the output.
    pub fn write(&self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail.
        let _ = match self {
            Self::Data { name, stream, position, time, length } => {
                write_data(out, name, *stream, *position, *time, *length);
                Ok(())
            }
            Self::Lost { name, position, bytes } => {
                begin(out, "lost", name);
                writeln!(out, " {position} {bytes}")
            }
            Self::Closed { name, position, time, end } => {
                begin(out, "closed", name);
                let (how, number) = match end {
                    End::Exit(code) => ("exit", *code),
                    End::Signal(signal) => ("signal", *signal),
                    End::Unknown => ("unknown", 0),
                };
                writeln!(out, " {position} {} {how} {number}", time.0)
            }
            Self::Joined { name, id, pid } => {
                begin(out, "joined", name);
                writeln!(out, " {id} {pid}")
            }
            Self::Removed { name } => {
                begin(out, "removed", name);
                writeln!(out)
            }
            Self::End(Ended::Stopped) => writeln!(out, "end stopped"),
            Self::End(Ended::Finished) => writeln!(out, "end finished"),
        };
    }

    /// Reads a frame's line, without its line end.
    ///
    /// # Errors
    /// [`super::Code::Internal`]: it is none.
    pub fn parse(line: &[u8]) -> Result<Self, Failure> {
        Self::of_words(split(line)?).ok_or_else(|| unreadable(line))
    }

    /// The frame that the words of a line are, if they are one.
    pub(super) fn of_words(mut words: Vec<Vec<u8>>) -> Option<Self> {
        // Every frame but the last has a name, which is taken as it is and not copied.
        let name = std::mem::take(words.get_mut(1)?);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let frame = match words[..] {
            [b"data", _, stream, position, time, length] => Self::Data {
                name,
                stream: Stream::parse(stream)?,
                position: parse_number(position)?,
                time: Time(parse_number(time)?),
                length: parse_number(length)?,
            },
            [b"lost", _, position, bytes] => {
                Self::Lost { name, position: parse_number(position)?, bytes: parse_number(bytes)? }
            }
            [b"closed", _, position, time, how, number] => Self::Closed {
                name,
                position: parse_number(position)?,
                time: Time(parse_number(time)?),
                end: End::of_words(how, number)?,
            },
            [b"joined", _, id, pid] => {
                Self::Joined { name, id: parse_number(id)?, pid: parse_number(pid)? }
            }
            [b"removed", _] => Self::Removed { name },
            [b"end", _] if name == b"stopped" => Self::End(Ended::Stopped),
            [b"end", _] if name == b"finished" => Self::End(Ended::Finished),
            _ => return None,
        };
        frame.has_an_end().then_some(frame)
    }

    /// Whether the position after the frame's last byte can be counted.
    fn has_an_end(&self) -> bool {
        match self {
            Self::Data { position, length: bytes, .. } | Self::Lost { position, bytes, .. } => {
                position.checked_add(*bytes).is_some()
            }
            _ => true,
        }
    }
}

impl End {
    fn of_words(how: &[u8], number: &[u8]) -> Option<Self> {
        let number = parse_number(number)?;
        match how {
            b"exit" => Some(Self::Exit(number)),
            b"signal" => Some(Self::Signal(number)),
            b"unknown" if number == 0 => Some(Self::Unknown),
            _ => None,
        }
    }
}
