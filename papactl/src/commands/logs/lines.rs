//! Lines of a stream, whose output comes in pieces that are cut anywhere.

use std::time::SystemTime;

use memchr::memchr;

/// Bytes of a line that are shown together. A longer one is broken.
pub(super) const MAX_LINE: usize = 64 << 10;

/// Some output of one stream, and how much of it was taken.
#[derive(Debug)]
pub(super) struct Piece {
    position: u64,
    time: SystemTime,
    /// The batch that it came with.
    batch: u64,
    bytes: Vec<u8>,
    taken: usize,
}

/// A line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Of its first byte.
    pub(super) position: u64,
    /// That of its first byte.
    pub(super) time: SystemTime,
    pub(super) bytes: Vec<u8>,
    /// Whether a newline followed.
    pub(super) is_whole: bool,
}

impl Piece {
    pub(super) fn new(position: u64, time: SystemTime, batch: u64, bytes: Vec<u8>) -> Self {
        Self { position, time, batch, bytes, taken: 0 }
    }

    /// All of it.
    pub(super) fn into_line(self) -> Line {
        let Self { position, time, bytes, .. } = self;
        Line { position, time, bytes, is_whole: false }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }
}

/// Makes lines of a stream's pieces.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    open: Option<Open>,
}

/// A line that has not ended.
#[derive(Debug)]
struct Open {
    line: Line,
    /// The batch that its first byte came with.
    batch: u64,
}

impl Assembler {
    /// The next line that ends in this piece; `None` when all of the piece was taken.
    pub(super) fn next(&mut self, piece: &mut Piece) -> Option<Line> {
        let rest = piece.rest();
        if rest.is_empty() {
            return None;
        }
        let open = self.open.get_or_insert_with(|| {
            let position = piece.position + piece.taken as u64;
            let line = Line { position, time: piece.time, bytes: Vec::new(), is_whole: false };
            Open { line, batch: piece.batch }
        });
        let room = MAX_LINE - open.line.bytes.len();
        // A newline after as much as there is room for ends the line still.
        let end = memchr(b'\n', rest.get(..=room).unwrap_or(rest));
        let count = end.unwrap_or(rest.len().min(room));
        open.line.bytes.extend_from_slice(rest.get(..count).unwrap_or_default());
        let is_over = end.is_some() || rest.len() > room;
        open.line.is_whole = end.is_some();
        piece.taken += count + usize::from(end.is_some());
        if is_over { self.flush() } else { None }
    }

    /// What there is of a line that has not ended.
    pub(super) fn flush(&mut self) -> Option<Line> {
        self.open.take().map(|open| open.line)
    }

    /// The position of the line that has not ended.
    pub(super) fn open_position(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.line.position)
    }

    /// The batch that the line that has not ended began with.
    pub(super) fn open_batch(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of these pieces, and what is left: position, length, and whether it ended.
    fn lines(pieces: &[&[u8]]) -> Vec<(u64, usize, bool)> {
        let mut assembler = Assembler::default();
        let mut lines = Vec::new();
        let mut position = 0;
        for bytes in pieces {
            let mut piece = Piece::new(position, SystemTime::UNIX_EPOCH, 0, bytes.to_vec());
            lines.extend(std::iter::from_fn(|| assembler.next(&mut piece)));
            position += bytes.len() as u64;
        }
        lines.extend(assembler.flush());
        lines.into_iter().map(|it| (it.position, it.bytes.len(), it.is_whole)).collect()
    }

    #[test]
    fn lines_are_put_together_however_they_were_cut() {
        let whole = lines(&[b"one\n\ntwo\nrest"]);
        assert_eq!(whole, [(0, 3, true), (4, 0, true), (5, 3, true), (9, 4, false)]);
        let bytes: Vec<&[u8]> = b"one\n\ntwo\nrest".chunks(1).collect();
        assert_eq!(lines(&bytes), whole);
    }

    #[test]
    fn a_line_is_broken_where_it_is_too_long_and_not_before() {
        let most = [vec![b'x'; MAX_LINE], b"\n".to_vec()].concat();
        assert_eq!(lines(&[&most]), [(0, MAX_LINE, true)]);
        assert_eq!(lines(&[&most[..MAX_LINE], b"\n"]), [(0, MAX_LINE, true)]);
        let over = vec![b'x'; 2 * MAX_LINE + 1];
        let first = MAX_LINE as u64;
        let broken = [(0, MAX_LINE, false), (first, MAX_LINE, false), (2 * first, 1, false)];
        assert_eq!(lines(&[&over]), broken);
        assert_eq!(lines(&over.chunks(1000).collect::<Vec<_>>()), broken);
    }
}
