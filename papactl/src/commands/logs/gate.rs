//! Where in a stream to begin.

use std::time::SystemTime;

use memchr::memchr;

/// Keeps a stream's output back up to the first line that is wanted. All that follows that line is
/// wanted, too.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gate {
    /// No line that begins before this position is wanted.
    from: u64,
    /// No line whose first byte is older is wanted.
    since: Option<SystemTime>,
    /// Whether what comes next belongs to a line that is not wanted.
    in_line: bool,
    is_open: bool,
}

impl Gate {
    pub(super) fn new(from: u64, since: Option<SystemTime>) -> Self {
        Self { from, since, in_line: false, is_open: false }
    }

    /// The same, for lines from this position on.
    pub(super) fn at(self, from: u64) -> Self {
        // What was wanted once is not to be older than that.
        Self::new(from, self.since.filter(|_| !self.is_open))
    }

    /// Output is missing up to this position: what follows counts as the beginning of a line.
    /// Returns whether any of it would have been wanted.
    pub(super) fn skip_to(&mut self, position: u64) -> bool {
        self.in_line = false;
        self.is_open || (self.since.is_none() && position > self.from)
    }

    /// What is wanted of some output, which has this position and came at this time: its end from
    /// an offset on.
    pub(super) fn offset(&mut self, position: u64, time: SystemTime, bytes: &[u8]) -> usize {
        let is_in_time = self.since.is_none_or(|since| time >= since);
        let mut offset = 0;
        while !self.is_open && offset < bytes.len() {
            if !self.in_line && is_in_time && position + offset as u64 >= self.from {
                self.is_open = true;
                break;
            }
            let rest = bytes.get(offset..).unwrap_or_default();
            let end = memchr(b'\n', rest);
            self.in_line = end.is_none();
            offset += end.map_or(rest.len(), |end| end + 1);
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// What passes of pieces that are one second apart.
    fn passed(mut gate: Gate, pieces: &[&str]) -> String {
        let mut position = 0;
        let mut passed = String::new();
        for (second, piece) in pieces.iter().enumerate() {
            let offset = gate.offset(position, at(second as u64), piece.as_bytes());
            passed.push_str(&piece[offset..]);
            position += piece.len() as u64;
        }
        passed
    }

    #[test]
    fn it_opens_at_the_first_line_that_is_wanted() {
        let pieces = ["a\nb", "b\nc\n", "d\n"];
        assert_eq!(passed(Gate::default(), &pieces), "a\nbb\nc\nd\n");
        assert_eq!(passed(Gate::new(2, None), &pieces), "bb\nc\nd\n");
        assert_eq!(passed(Gate::new(3, None), &pieces), "c\nd\n");
        // A line is as old as its first byte.
        assert_eq!(passed(Gate::new(0, Some(at(1))), &pieces), "c\nd\n");
        assert_eq!(passed(Gate::new(0, Some(at(3))), &pieces), "");
    }

    #[test]
    fn after_a_gap_a_line_begins() {
        let mut gate = Gate::new(3, None);
        assert_eq!(gate.offset(0, at(0), b"ab"), 2);
        assert!(!Gate::new(3, Some(at(1))).skip_to(10) && !Gate::new(10, None).skip_to(10));
        assert!(gate.skip_to(10));
        assert_eq!(gate.offset(10, at(0), b"cd"), 0);
    }
}
