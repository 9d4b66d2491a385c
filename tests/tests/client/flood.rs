//! A process that writes as fast as it can, in lines that tell their place.

use papa_client::{Batch, Event, Overflow, Papa, Process, ProcessId};

/// What the lines count from, so that all are of one length.
const FIRST: u64 = 1_000_000_000;

/// Bytes of a line.
pub(crate) const LINE: u64 = 11;

/// Bytes of a flood that are kept, unless all are.
const BUFSIZE: u64 = 1 << 20;

/// A process that floods.
pub(crate) struct Flood {
    pub(crate) process: Process,
    lines: Option<u64>,
}

impl Flood {
    /// One that ends after so many lines. Nothing of it is lost.
    pub(crate) fn make(papa: &Papa, name: &str, lines: u64) -> Self {
        Self::run(papa, name, Some(lines), "true", BUFSIZE)
    }

    /// The same, with room for all of it.
    pub(crate) fn make_kept(papa: &Papa, name: &str, lines: u64) -> Self {
        Self::run(papa, name, Some(lines), "true", 2 * lines * LINE)
    }

    /// The same as the first, once there is a line in a named pipe.
    pub(crate) fn make_waiting(papa: &Papa, name: &str, lines: u64, fifo: &str) -> Self {
        Self::run(papa, name, Some(lines), &format!("read line < {fifo}"), BUFSIZE)
    }

    /// One that does not end.
    pub(crate) fn make_endless(papa: &Papa, name: &str) -> Self {
        Self::run(papa, name, None, "true", BUFSIZE)
    }

    fn run(papa: &Papa, name: &str, lines: Option<u64>, first: &str, bufsize: u64) -> Self {
        let last = lines.map_or(10 * FIRST - 1, |lines| FIRST + lines - 1);
        let script = format!("{first}; exec seq {FIRST} {last}");
        let process = papa
            .process(name, "/bin/sh")
            .args(["-c", &script])
            .bufsize(bufsize)
            .overflow(Overflow::Block)
            .make()
            .unwrap();
        Self { process, lines }
    }

    /// For one who reads it from the beginning.
    pub(crate) fn check(&self) -> Check {
        let end = self.lines.map(|lines| lines * LINE);
        Check { id: self.process.id(), position: 0, end, is_closed: false }
    }
}

/// Checks that each byte of a flood comes once, and in its place.
pub(crate) struct Check {
    id: ProcessId,
    position: u64,
    end: Option<u64>,
    is_closed: bool,
}

impl Check {
    /// How far it has come.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the end has come.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Checks a batch.
    #[track_caller]
    pub(crate) fn take(&mut self, batch: &Batch) {
        for event in batch {
            assert_eq!(event.id(), self.id);
            assert!(!self.is_closed, "after the end: {event:?}");
            match event {
                Event::Output { position, bytes, .. } => {
                    assert_eq!(position, self.position);
                    assert!(bytes == expected(position, bytes.len()), "wrong bytes at {position}");
                    self.position += bytes.len() as u64;
                }
                Event::Closed { position, .. } => {
                    assert_eq!(position, self.position);
                    assert_eq!(position, self.end.unwrap_or(position));
                    self.is_closed = true;
                }
                Event::Joined { position, .. } => assert!(position <= self.position),
                event => panic!("{event:?}"),
            }
        }
    }
}

/// So many bytes of the flood from this position on.
fn expected(position: u64, length: usize) -> Vec<u8> {
    let first = FIRST + position / LINE;
    let skipped = (position % LINE) as usize;
    let mut line = format!("{first}\n").into_bytes();
    let mut bytes = Vec::with_capacity(length + 2 * LINE as usize);
    while bytes.len() < skipped + length {
        bytes.extend_from_slice(&line);
        // Counting up the digits themselves is much faster than formatting a number.
        for digit in line[..LINE as usize - 1].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    bytes[skipped..skipped + length].to_vec()
}
