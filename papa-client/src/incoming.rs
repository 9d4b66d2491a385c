//! Bytes that were received, and the lines that are made of them.

/// Bytes that were received and not read yet.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// So many of them are read.
    read: usize,
    /// Up to here there is no line end.
    searched: usize,
}

impl Incoming {
    /// Bytes that are kept here, read or not.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was not read.
    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// Adds what was received.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.searched = self.searched.saturating_sub(self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// So many bytes of the rest are read.
    pub(crate) fn skip(&mut self, count: usize) {
        self.read = self.bytes.len().min(self.read + count);
    }

    /// The next whole line, without its end.
    pub(crate) fn take_line(&mut self) -> Option<Vec<u8>> {
        let from = self.searched.max(self.read);
        let unseen = self.bytes.get(from..).unwrap_or_default();
        let Some(length) = unseen.iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = self.bytes.get(self.read..from + length).map(<[u8]>::to_vec);
        self.read = from + length + 1;
        line
    }
}
