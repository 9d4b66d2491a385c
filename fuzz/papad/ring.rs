//! The file of a ring, as the server before has left it.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use arbitrary::{Arbitrary, Unstructured};
use papa_protocol::frame::{Stream, Time};
use papa_protocol::options::Overflow;

use crate::ring::{Claims, Filled, Ring};
use crate::sys;

/// The largest ring here, in bytes: a lap is to be short.
const LARGEST: u64 = 40_000;

/// What happens to a ring.
#[derive(Arbitrary, Debug)]
enum Step {
    /// A process has written so many bytes.
    Fill {
        is_err: bool,
        length: u16,
        later: u32,
        may_drop: bool,
        fixed: u16,
    },
    /// So many more bytes were acknowledged.
    Acknowledge(u16),
    Seal,
    Claim {
        takers: u64,
        end_taken: bool,
        all_taken: bool,
    },
    /// The server is killed between two calls.
    Kill,
    /// It is killed, and a word of header, index or scratch is not what anybody wrote.
    Damage {
        word: u16,
        value: u64,
    },
    /// It is killed, and the offset of the file is elsewhere.
    Seek(u32),
    /// It is killed, and the file is shorter than it was made.
    Cut(u32),
}

/// Whatever becomes of its file, a ring is recovered without a hole or is refused; one whose file
/// nobody has damaged has every byte that was kept.
///
/// # Panics
/// If that is not so.
pub fn ring(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let Ok(bufsize) = bytes.int_in_range(1..=LARGEST) else { return };
    let mut tried = Tried::new(Ring::create(bufsize).expect("there is memory"));
    while !bytes.is_empty() {
        let Ok(step) = Step::arbitrary(&mut bytes) else { return };
        let Some(next) = tried.step(step) else { return };
        tried = next;
        tried.check();
    }
}

struct Tried {
    ring: Ring,
    /// All that was ever written, while the file is as it should be.
    written: Option<Vec<u8>>,
    now: u64,
}

impl Tried {
    fn new(ring: Ring) -> Tried {
        Tried { ring, written: Some(Vec::new()), now: 1_000_000_000 }
    }

    /// `None` if the ring is refused.
    fn step(mut self, step: Step) -> Option<Tried> {
        match step {
            Step::Fill { is_err, length, later, may_drop, fixed } => {
                self.now += u64::from(later);
                self.fill(is_err, length, may_drop, fixed);
            }
            Step::Acknowledge(more) => {
                let _ = self.ring.acknowledge(self.ring.first().saturating_add(more.into()));
            }
            Step::Seal => self.ring.seal(),
            Step::Claim { takers, end_taken, all_taken } => {
                let claims = Claims { takers, end_taken, all_taken };
                let _ = self.ring.note_claims(claims);
            }
            Step::Kill => {
                let (first, end, lost) = (self.ring.first(), self.ring.end(), self.ring.lost());
                let is_whole = self.written.is_some();
                self = self.recover()?;
                if is_whole {
                    let recovered = (self.ring.first(), self.ring.end(), self.ring.lost());
                    assert_eq!(recovered, (first, end, lost));
                }
            }
            Step::Damage { word, value } => {
                let file = self.file();
                let _ = file.write_all_at(&value.to_le_bytes(), u64::from(word) * 8);
                return self.damaged().recover();
            }
            Step::Seek(offset) => {
                let _ = sys::set_offset(self.file(), offset.into());
                return self.damaged().recover();
            }
            Step::Cut(length) => {
                let _ = self.file().set_len(length.into());
                return self.damaged().recover();
            }
        }
        Some(self)
    }

    fn fill(&mut self, is_err: bool, length: u16, may_drop: bool, fixed: u16) {
        let (reader, writer) = nix::unistd::pipe().expect("there are descriptors");
        let start = self.ring.end();
        let bytes: Vec<u8> = (0..u64::from(length)).map(|at| (start ^ at) as u8).collect();
        let mut writer = std::fs::File::from(writer);
        // The pipe takes as much as its buffer has room for: 64 KiB.
        writer.write_all(&bytes).expect("the pipe has room");
        drop(writer);
        let stream = if is_err { Stream::Err } else { Stream::Out };
        let overflow = if may_drop { Overflow::Drop } else { Overflow::Block };
        let fixed = self.ring.end().saturating_sub(fixed.into());
        loop {
            match self.ring.fill(&reader, stream, Time(self.now), overflow, fixed) {
                Ok(Filled::Bytes(count)) => {
                    if let Some(written) = &mut self.written {
                        let from = (written.len() as u64 - start) as usize;
                        written.extend(&bytes[from..from + count as usize]);
                    }
                }
                Ok(Filled::End | Filled::Full | Filled::Nothing) | Err(_) => return,
            }
        }
    }

    fn file(&self) -> std::fs::File {
        let fd: OwnedFd = self.ring.as_file().try_clone_to_owned().expect("there are descriptors");
        fd.into()
    }

    fn damaged(self) -> Tried {
        Tried { written: None, ..self }
    }

    fn recover(self) -> Option<Tried> {
        let ring = Ring::recover(self.file());
        assert!(ring.is_ok() || self.written.is_none(), "a good ring is refused");
        Some(Tried { ring: ring.ok()?, ..self })
    }

    /// What is kept is there without a hole, and is what was written.
    fn check(&self) {
        let ring = &self.ring;
        assert!(ring.first() <= ring.end());
        let mut next = ring.first();
        let mut kept = Vec::new();
        for (_, _, start, length) in ring.chunks_from(0) {
            assert_eq!(start, next);
            assert!(length > 0);
            next += length;
            let read = ring.read(start, length, &mut kept);
            assert!(read.is_ok() || self.written.is_none(), "what is kept cannot be read");
        }
        assert_eq!(next, ring.end());
        if let Some(written) = &self.written {
            assert_eq!(ring.end(), written.len() as u64);
            assert!(kept == written[ring.first() as usize..], "other bytes than were written");
        }
    }
}
