//! Bytes as they were received, from which batches are cut without copying them.

use std::mem;
use std::ops::Range;

/// Room for one read, in bytes.
pub(crate) const SIZE: usize = 256 << 10;

/// Less than this is copied into a buffer of its own size, so that a batch that is held does not
/// hold much more than it shows.
const SMALL: usize = 16 << 10;

/// Buffers that are kept to be used again.
const MAX_SPARES: usize = 4;

/// What is being received.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Always [`SIZE`] bytes.
    bytes: Vec<u8>,
    /// So many of them were received.
    filled: usize,
    /// So many of these were read.
    read: usize,
    spares: Vec<Vec<u8>>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; SIZE], filled: 0, read: 0, spares: Vec::new() }
    }

    /// Whether there is no room. What is there is to be [cut](Self::cut) first.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == SIZE
    }

    /// Where to receive to.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// So many bytes were received.
    pub(crate) fn add(&mut self, count: usize) {
        self.filled = SIZE.min(self.filled + count);
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..self.filled).unwrap_or_default()
    }

    /// The next whole line, without its end.
    pub(crate) fn take_line(&mut self) -> Option<&[u8]> {
        let length = self.rest().iter().position(|&byte| byte == b'\n')?;
        let start = self.read;
        self.read += length + 1;
        self.bytes.get(start..start + length)
    }

    /// At most so many of the next bytes, as a place in what [`Self::cut`] returns.
    pub(crate) fn take(&mut self, most: u64) -> Range<usize> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let end = self.read + most.min(self.filled - self.read);
        let taken = self.read..end;
        self.read = end;
        taken
    }

    /// Hands out what was read, and goes on with what was not.
    pub(crate) fn cut(&mut self) -> Vec<u8> {
        let (read, filled) = (mem::take(&mut self.read), self.filled);
        self.filled = filled - read;
        if read <= SMALL {
            let cut = self.bytes.get(..read).unwrap_or_default().to_vec();
            self.bytes.copy_within(read..filled, 0);
            return cut;
        }
        let mut next = self.spares.pop().unwrap_or_else(|| vec![0; SIZE]);
        if let (Some(to), Some(from)) = (next.get_mut(..self.filled), self.bytes.get(read..filled))
        {
            to.copy_from_slice(from);
        }
        mem::replace(&mut self.bytes, next)
    }

    /// Forgets what was read: nobody is to be handed any of it.
    pub(crate) fn drop_read(&mut self) {
        if self.read > 0 {
            let (read, filled) = (mem::take(&mut self.read), self.filled);
            self.filled = filled - read;
            self.bytes.copy_within(read..filled, 0);
        }
    }

    /// Forgets what was not read: its connection has ended.
    pub(crate) fn drop_unread(&mut self) {
        self.filled = self.read;
    }

    /// Takes back what [`Self::cut`] handed out.
    pub(crate) fn give_back(&mut self, bytes: Vec<u8>) {
        if bytes.len() == SIZE && self.spares.len() < MAX_SPARES {
            self.spares.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.add(bytes.len());
    }

    #[test]
    fn lines_and_bytes_are_read_in_turn_and_cut_where_they_end() {
        let mut buffer = Buffer::new();
        receive(&mut buffer, b"line\nabcdef");
        assert_eq!(buffer.take_line(), Some(&b"line"[..]));
        assert_eq!(buffer.take_line(), None);
        let range = buffer.take(4);
        assert_eq!(&buffer.cut()[range], b"abcd");
        receive(&mut buffer, b"\n");
        assert_eq!(buffer.take_line(), Some(&b"ef"[..]));
    }

    #[test]
    fn what_nobody_wants_leaves_room() {
        let mut buffer = Buffer::new();
        receive(&mut buffer, &vec![b'x'; SIZE]);
        buffer.take(SIZE as u64 - 1);
        assert!(buffer.is_full());
        buffer.drop_read();
        assert_eq!(buffer.room().len(), SIZE - 1);
        assert_eq!(buffer.take(9), 0..1);
    }

    #[test]
    fn what_is_large_is_handed_out_as_it_is_and_used_again() {
        let mut buffer = Buffer::new();
        let bytes: Vec<u8> = (0..SIZE).map(|at| at as u8).collect();
        receive(&mut buffer, &bytes);
        assert!(buffer.room().is_empty());
        let range = buffer.take(SIZE as u64 - 10);
        let cut = buffer.cut();
        assert_eq!(cut[range], bytes[..SIZE - 10]);
        let address = cut.as_ptr();
        buffer.give_back(cut);
        let rest = buffer.take(u64::MAX);
        assert_eq!(buffer.cut()[rest], bytes[SIZE - 10..]);
        receive(&mut buffer, &bytes[..=SMALL]);
        buffer.take(u64::MAX);
        buffer.cut();
        assert_eq!(buffer.room().as_ptr(), address);
    }
}
