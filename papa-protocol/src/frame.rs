//! What papad sends: the greeting, the prompt, and the frames of a watch.
//!
//! A batch is frames one after another, then [`END_OF_BATCH`] with no newline after it. An
//! output frame is a header line, as many bytes as the header says, and a newline.

use std::fmt;
use std::io::Write;

/// What a session begins with.
pub const BANNER: &[u8] = b"Papa is home. Type \"help\" for commands.\n> ";
/// What the line ends with that a connection of a user who is not let in gets instead, before it is
/// closed.
pub const NOT_LET_IN: &[u8] = b"may not speak to papad";
/// What every reply ends with, always after a newline.
pub const PROMPT: &[u8] = b"> ";
/// What every batch of frames ends with. The client then acknowledges with a line of its own.
pub const END_OF_BATCH: &[u8] = b"] ";

/// Which of a process's two streams some output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, and standard error when it is merged into it.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// `out` or `err`: the first field of an output frame.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }

    /// The stream of that name.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"out" => Some(Self::Out),
            b"err" => Some(Self::Err),
            _ => None,
        }
    }
}

/// Nanoseconds since the epoch (1970-01-01 00:00 UTC).
///
/// `Display` is seconds with exactly six decimals; what is below a microsecond is cut off, so
/// that no shown time lies in the future.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = self.0 / 1_000;
        write!(f, "{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
    }
}

/// Appends the header of an output frame. The caller appends `length` bytes and a newline.
pub fn output_header(batch: &mut Vec<u8>, stream: Stream, name: &[u8], time: Time, length: usize) {
    begin(batch, stream.as_str(), name);
    // Writing to a Vec cannot fail.
    let _ = writeln!(batch, "{time}:{length}");
}

/// What stands in place of an exit status if nobody knows how a process ended. No process ends with
/// it, and whoever passes on its lowest byte says 255, which is a failure still.
pub const UNKNOWN_CODE: i32 = 511;

/// Appends the frame that says how a process ended, its newline included.
///
/// `code` is the exit status, minus the number of the signal that killed the process, or
/// [`UNKNOWN_CODE`].
pub fn closed(batch: &mut Vec<u8>, name: &[u8], time: Time, code: i32) {
    begin(batch, "closed", name);
    // Writing to a Vec cannot fail.
    let _ = writeln!(batch, "{time}:{code}");
}

fn begin(batch: &mut Vec<u8>, kind: &str, name: &[u8]) {
    batch.extend_from_slice(kind.as_bytes());
    batch.push(b':');
    batch.extend_from_slice(name);
    batch.push(b':');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_six_decimals_and_is_never_rounded_up() {
        assert_eq!(Time(0).to_string(), "0.000000");
        assert_eq!(Time(999).to_string(), "0.000000");
        assert_eq!(Time(1_795_287_660_296_030_999).to_string(), "1795287660.296030");
        assert_eq!(Time(u64::MAX).to_string(), "18446744073.709551");
    }

    #[test]
    fn a_batch_is_frames_and_its_end() {
        let mut batch = Vec::new();
        output_header(&mut batch, Stream::Out, b"web", Time(1_500_000_000), 3);
        batch.extend_from_slice(b"hi\n\n");
        output_header(&mut batch, Stream::Err, b"w\xff", Time(2_000_001_000), 0);
        batch.extend_from_slice(b"\n");
        closed(&mut batch, b"web", Time(3_000_000_000), -9);
        batch.extend_from_slice(END_OF_BATCH);
        let expected =
            b"out:web:1.500000:3\nhi\n\nerr:w\xff:2.000001:0\n\nclosed:web:3.000000:-9\n] ";
        assert_eq!(batch, expected);
    }

    #[test]
    fn the_banner_ends_with_the_prompt() {
        assert_eq!(BANNER, b"Papa is home. Type \"help\" for commands.\n> ");
        assert!(BANNER.ends_with(PROMPT));
    }
}
