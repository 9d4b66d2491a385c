//! Faults that a papad meets: system calls that fail, or do less than they were asked for, where and
//! when a test says so. See `papad/src/sys/faults`.

// Which papad, too, is built with.
#[path = "../../papad/src/sys/faults/table.rs"]
mod table;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::mem::offset_of;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use table::{Rule, Table};

use crate::{ScratchDir, eventually};

/// Whose calls meet a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The keeper.
    Keeper,
    /// The server, or one that is to be.
    Server,
    /// A child of the server's, between clone and exec.
    Child,
    /// All of papad.
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Fail(Errno),
    Cut(u32),
    LoseDescriptors(u32),
    Shift(i64),
}

/// A fault: what happens to which calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    part: Part,
    call: &'static str,
    place: &'static str,
    what: What,
    skip: u64,
    every: u64,
    times: u64,
}

impl Fault {
    const fn new(call: &'static str, what: What) -> Self {
        Self { part: Part::All, call, place: "", what, skip: 0, every: 1, times: u64::MAX }
    }

    /// A call of this name fails, and is not made. `*` is every call that may be interrupted.
    #[must_use]
    pub const fn fail(call: &'static str, errno: Errno) -> Self {
        Self::new(call, What::Fail(errno))
    }

    /// A call of this name moves at most so many bytes. `*` is every call that may.
    #[must_use]
    pub const fn cut(call: &'static str, most: u32) -> Self {
        Self::new(call, What::Cut(most))
    }

    /// At most so many descriptors come with a message.
    #[must_use]
    pub const fn lose_descriptors(most: u32) -> Self {
        Self::new("recvmsg", What::LoseDescriptors(most))
    }

    /// The clock of the wall is so many seconds off.
    #[must_use]
    pub const fn shift_clock(seconds: i64) -> Self {
        Self::new("clock_gettime", What::Shift(seconds))
    }

    /// Whose calls; those of all parts, unless this is said.
    #[must_use]
    pub const fn of(mut self, part: Part) -> Self {
        self.part = part;
        self
    }

    /// What the call is about: a part of what papad's module `faults` calls it.
    #[must_use]
    pub const fn at(mut self, place: &'static str) -> Self {
        self.place = place;
        self
    }

    /// So many calls are let through first.
    #[must_use]
    pub const fn after(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// From then on, one in so many meets the fault.
    #[must_use]
    pub const fn one_in(mut self, calls: u64) -> Self {
        self.every = calls;
        self
    }

    /// Until so many have.
    #[must_use]
    pub const fn times(mut self, calls: u64) -> Self {
        self.times = calls;
        self
    }

    /// Only one call.
    #[must_use]
    pub const fn once(self) -> Self {
        self.times(1)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, call, place, what, skip, every, times } = self;
        write!(f, "{part:?}: {call}({place}) {what:?}, after {skip}, one in {every}")?;
        if *times == u64::MAX { Ok(()) } else { write!(f, ", {times} times") }
    }
}

/// A table of faults, which papad has mapped.
pub struct Faults {
    file: File,
    path: PathBuf,
    /// Which rules are in use.
    used: Mutex<[bool; table::RULES]>,
}

impl Faults {
    /// An empty table.
    #[must_use]
    pub fn new(scratch: &ScratchDir) -> Self {
        let path = PathBuf::from(scratch.join("faults"));
        let options = &mut OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.set_len(size_of::<Table>() as u64).unwrap();
        Self { file, path, used: Mutex::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a fault in force, until what is returned is dropped.
    #[must_use]
    pub fn put(&self, fault: Fault) -> InForce<'_> {
        let mut used = self.used.lock().unwrap();
        let number = used.iter().position(|used| !used).expect("the table has room");
        used[number] = true;
        let rule = InForce { faults: self, fault, number };
        let (kind, value) = match fault.what {
            What::Fail(errno) => (table::FAIL, errno as i64),
            What::Cut(most) => (table::CUT, most.into()),
            What::LoseDescriptors(most) => (table::LOSE_DESCRIPTORS, most.into()),
            What::Shift(seconds) => (table::SHIFT, seconds),
        };
        let parts = match fault.part {
            Part::Keeper => table::KEEPER,
            Part::Server => table::SERVER,
            Part::Child => table::CHILD,
            Part::All => table::KEEPER | table::SERVER | table::CHILD,
        };
        rule.write(offset_of!(Rule, value), &value.to_ne_bytes());
        rule.write(offset_of!(Rule, parts), &parts.to_ne_bytes());
        rule.write(offset_of!(Rule, skip), &fault.skip.to_ne_bytes());
        rule.write(offset_of!(Rule, every), &fault.every.to_ne_bytes());
        rule.write(offset_of!(Rule, times), &fault.times.to_ne_bytes());
        rule.write(offset_of!(Rule, seen), &0_u64.to_ne_bytes());
        rule.write(offset_of!(Rule, met), &0_u64.to_ne_bytes());
        rule.write(offset_of!(Rule, call), &padded::<{ table::CALL }>(fault.call));
        rule.write(offset_of!(Rule, place), &padded::<{ table::PLACE }>(fault.place));
        rule.write(offset_of!(Rule, kind), &kind.to_ne_bytes());
        rule
    }
}

fn padded<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// A fault that papad meets until this is dropped.
pub struct InForce<'a> {
    faults: &'a Faults,
    fault: Fault,
    number: usize,
}

impl InForce<'_> {
    fn write(&self, offset: usize, bytes: &[u8]) {
        let place = self.number * size_of::<Rule>() + offset;
        self.faults.file.write_all_at(bytes, place as u64).unwrap();
    }

    fn read(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        let place = self.number * size_of::<Rule>() + offset;
        self.faults.file.read_exact_at(&mut bytes, place as u64).unwrap();
        u64::from_ne_bytes(bytes)
    }

    /// How many calls have met the fault so far.
    #[must_use]
    pub fn met(&self) -> u64 {
        self.read(offset_of!(Rule, met))
    }

    /// How many calls were those of the fault, whether they have met it or not.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.read(offset_of!(Rule, seen))
    }

    /// Waits until so many calls have met the fault.
    #[track_caller]
    pub fn wait_until_met(&self, calls: u64) {
        eventually(&format!("{calls} calls meet {}", self.fault), || self.met() >= calls);
    }
}

impl Drop for InForce<'_> {
    fn drop(&mut self) {
        self.write(offset_of!(Rule, kind), &0_u32.to_ne_bytes());
        let mut used = self.faults.used.lock().unwrap_or_else(PoisonError::into_inner);
        used[self.number] = false;
    }
}
