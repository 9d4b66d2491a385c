//! What is true of papad, as a sequence of records in a memory file that the keeper holds.
//!
//! A record is `RS FORMAT VERB WORD... LF`, where RS is the byte 0x1E and the words are quoted as
//! in `papa_protocol::quoted`, so that neither byte occurs within one. The file is only appended
//! to. A record that was cut off, because its writer was killed, has no LF before the next RS or
//! the end of the file: it is not read, and what follows it is.

mod record;
mod room;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::write;

use crate::{limit, sys};

pub(crate) use record::{
    Fields, RECORD_END, Record, parse_number, replay, replay_telling, set_aside,
};
use room::Rooms;

/// The number of the journal that papad begins with.
const FIRST: u64 = 1;

/// A journal smaller than this many bytes is never compacted.
const SMALLEST_COMPACTED: u64 = 256 * 1024;

/// A journal is compacted when it has grown to this many times what was in it after the last time.
const GROWTH: u64 = 4;

/// How often a record is written of which the file takes only a part.
const WHOLE_TRIES: u32 = 2;

/// The journal in force.
pub(crate) struct Journal {
    current: RwLock<Current>,
    /// It is long, or torn: what is torn takes room that others need.
    is_long: AtomicBool,
}

struct Current {
    /// Which of papad's journals this is, counted from its birth.
    number: u64,
    file: File,
    /// Bytes in the file, but for the few that children write.
    size: AtomicU64,
    size_when_compacted: u64,
    /// Where records go that are put.
    rooms: Mutex<Rooms>,
}

impl Current {
    fn new(number: u64, file: File, size: AtomicU64, size_when_compacted: u64) -> Current {
        Current { number, file, size, size_when_compacted, rooms: Mutex::default() }
    }

    fn is_long(&self) -> bool {
        let most = SMALLEST_COMPACTED.max(GROWTH * self.size_when_compacted);
        self.size.load(Ordering::Relaxed) > most
    }
}

impl Journal {
    /// The first journal, empty. It is nowhere but here until it is held.
    pub(crate) fn create() -> io::Result<Journal> {
        Journal::recover(FIRST, new_file()?)
    }

    /// A new journal with these records.
    pub(crate) fn with_records(bytes: &[u8]) -> io::Result<File> {
        let file = new_file()?;
        (&file).write_all(bytes)?;
        Ok(file)
    }

    /// The journal that an earlier server wrote.
    pub(crate) fn recover(number: u64, file: File) -> io::Result<Journal> {
        let size = AtomicU64::new(file.metadata()?.len());
        let current = Current::new(number, file, size, 0);
        let is_long = AtomicBool::new(current.is_long());
        Ok(Journal { current: RwLock::new(current), is_long })
    }

    /// Has a keeper hold it that does not hold it yet.
    pub(crate) fn hold(
        &self,
        hold: impl FnOnce(u64, BorrowedFd) -> io::Result<()>,
    ) -> io::Result<()> {
        let current = &self.change().current;
        hold(current.number, current.file.as_fd())
    }

    /// Begins a change: what is appended and what is true in memory are in step again when this
    /// is dropped. Taken before any table's lock.
    pub(crate) fn change(&self) -> Change<'_> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Change { journal: self, current }
    }

    /// Keeps every change from beginning, if none is under way.
    pub(crate) fn hold_still(&self) -> Option<impl Drop + '_> {
        self.current.try_write().ok()
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.change().current.size.load(Ordering::Relaxed)
    }

    /// Whether it should be compacted.
    pub(crate) fn is_long(&self) -> bool {
        self.is_long.load(Ordering::Relaxed)
    }

    /// Puts a new file with just these records in force, by `hold`, which has the keeper hold it
    /// under the next number. Returns the number of the old one, which is needed no longer. Does
    /// nothing while a change is under way, a child that records itself included: it will be tried
    /// again soon.
    pub(crate) fn compact(
        &self,
        write_records: impl FnOnce(&mut dyn FnMut(Record) -> io::Result<()>) -> io::Result<()>,
        hold: impl FnOnce(u64, BorrowedFd) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let Ok(mut current) = self.current.try_write() else {
            return Ok(None);
        };
        let file = new_file()?;
        let mut writer = io::BufWriter::with_capacity(64 * 1024, &file);
        write_records(&mut |record| writer.write_all(&record.into_bytes()))?;
        writer.flush()?;
        drop(writer);
        sys::kill_point("compaction-written");
        let (former, number) = (current.number, current.number + 1);
        hold(number, file.as_fd())?;
        sys::kill_point("compaction-held");
        let size = file.metadata()?.len();
        *current = Current::new(number, file, AtomicU64::new(size), size);
        self.is_long.store(false, Ordering::Relaxed);
        Ok(Some(former))
    }
}

/// A change under way. The journal is not compacted meanwhile.
pub(crate) struct Change<'a> {
    journal: &'a Journal,
    current: RwLockReadGuard<'a, Current>,
}

impl Change<'_> {
    /// Writes a record. When this returns, a killed server will be recovered with it.
    pub(crate) fn append(&self, record: Record) -> io::Result<()> {
        self.append_bytes(&record.into_bytes())
    }

    /// As [`Change::append`], and mostly without a system call. What is put is in order with what
    /// else is put, and with nothing that is appended: children append what concerns them.
    pub(crate) fn put(&self, record: Record) -> io::Result<()> {
        let bytes = record.into_bytes();
        let mut rooms = self.current.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if !rooms.store(&bytes) {
            self.append_bytes(&bytes)?;
            rooms.make_after(&bytes, &self.current.file, |length| self.has_grown(length));
        }
        Ok(())
    }

    fn append_bytes(&self, record: &[u8]) -> io::Result<()> {
        self.has_grown(record.len());
        self.write_whole(record).inspect_err(|_| self.wants_compaction())
    }

    /// Writes a record by one call: between two, others write theirs. If the file takes only a
    /// part of it, that is passed over when it is read, and the whole record is written after it.
    fn write_whole(&self, record: &[u8]) -> io::Result<()> {
        for _ in 0..WHOLE_TRIES {
            let written = limit::uninterrupted(|| write(&self.current.file, record))?;
            if written == record.len() {
                return Ok(());
            }
            self.wants_compaction();
        }
        Err(Errno::ENOSPC.into())
    }

    fn has_grown(&self, bytes: usize) {
        self.current.size.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.current.is_long() {
            self.wants_compaction();
        }
    }

    fn wants_compaction(&self) {
        self.journal.is_long.store(true, Ordering::Relaxed);
    }
}

impl AsFd for Change<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.current.file.as_fd()
    }
}

fn new_file() -> io::Result<File> {
    let file = sys::memfd(c"papad-journal")?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}
