//! Values on disk (`--state-dir`): a file of the same records as the journal's, from which values
//! are there again after a reboot.
//!
//! The journal stays the truth for as long as papad lives: the disk is read when papad starts from
//! nothing, and a server that recovers only sees to it that the disk says what the journal says.
//! So a change is written **here first**, then to the journal:
//!
//! - the disk is what fails (it is full, it is broken). Then nothing has changed yet, and nothing
//!   but this file has to be put right;
//! - a kill between the two leaves a change on disk that nobody was told of. The next server finds
//!   that the journal does not have it, and writes the file anew; if there is no next one, since
//!   all of papad is gone, the change was made.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::Replayed;
use crate::journal::{self, Record};
use crate::{log, sys};

/// The file in force.
const FILE: &str = "values";

/// The file that is to be in force next.
const NEW_FILE: &str = "values.new";

/// The file whose lock keeps a second papad out.
const LOCK_FILE: &str = "lock";

/// How long a papad that was killed may take until the last thread of it is gone, and how often to
/// look.
const PATIENCE: Duration = Duration::from_secs(1);
const GLANCE: Duration = Duration::from_millis(10);

/// A file smaller than this many bytes is never compacted.
const SMALLEST_COMPACTED: u64 = 256 * 1024;

/// The file is compacted when it has grown to this many times what was in it after the last time.
const GROWTH: u64 = 4;

/// Makes the directory if need be, and keeps every other papad out of it for as long as the open
/// file that is returned lives, in whatever process.
///
/// # Errors
/// One sentence that names the directory.
pub(crate) fn lock(folder: &Path) -> Result<OwnedFd, String> {
    let shown = folder.display();
    let cannot = |error: io::Error| format!("cannot keep values in {shown}: {error}");
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => sync_folder(folder.parent().unwrap_or(folder)).map_err(cannot)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(error)),
    }
    let file = open(&folder.join(LOCK_FILE), OpenOptions::new().write(true)).map_err(cannot)?;
    let until = Instant::now() + PATIENCE;
    while !take_lock(&file).map_err(cannot)? {
        if Instant::now() > until {
            return Err(format!("cannot keep values in {shown}: another papad does"));
        }
        thread::sleep(GLANCE);
    }
    // What cannot be opened now is better told now than by every server.
    open(&folder.join(FILE), OpenOptions::new().read(true).append(true)).map_err(cannot)?;
    Ok(file.into())
}

/// Whether this is an open lock of this directory, as it is there now.
pub(crate) fn is_lock_of(folder: &Path, lock: &OwnedFd) -> bool {
    let held = lock.try_clone().and_then(|lock| File::from(lock).metadata());
    match (held, fs::symlink_metadata(folder.join(LOCK_FILE))) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Takes the lock, if nobody has it. It is one of the open file, not of the process: keeper and
/// server share it, and it is gone only when the last of them is.
fn take_lock(file: &File) -> io::Result<bool> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The file of a directory that is locked.
pub(crate) struct Disk {
    folder: PathBuf,
    /// While somebody could write here, nobody else may.
    lock: OwnedFd,
    /// `None` when it is not certain what of it is on the disk: it is written anew then.
    file: Option<File>,
    /// Bytes in the file.
    size: u64,
    /// The size from which on the file is compacted.
    long: u64,
}

impl Disk {
    /// Reads and writes nothing yet.
    pub(crate) fn new(folder: &Path, lock: OwnedFd) -> Disk {
        let folder = folder.to_owned();
        Disk { folder, lock, file: None, size: 0, long: SMALLEST_COMPACTED }
    }

    /// What is to be held, so that the next server has it, too.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// What the file says. What was being written to it when papad was ended is cut off. `at` is
    /// told at which byte a record begins before it is looked at.
    pub(crate) fn read(&mut self, at: impl FnMut(u64)) -> io::Result<Replayed> {
        let path = self.folder.join(FILE);
        let read = self.read_file(&path, at);
        read.map_err(|error| io::Error::other(format!("{}: {error}", shown(&path))))
    }

    fn read_file(&mut self, path: &Path, at: impl FnMut(u64)) -> io::Result<Replayed> {
        let mut file = open(path, OpenOptions::new().read(true).append(true))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = memchr::memrchr(journal::RECORD_END, &bytes).map_or(0, |at| at + 1);
        if whole < bytes.len() {
            let torn = bytes.len() - whole;
            log::warn!("server", "{}: cut off {torn} bytes of an unfinished record", shown(path));
            file.set_len(whole as u64)?;
        }
        let mut replayed = Replayed::default();
        let skipped =
            journal::replay_telling(&file, at, |verb, fields| replayed.apply(verb, fields))?;
        if skipped > 0 {
            log::warn!("server", "{}: {skipped} records cannot be read", shown(path));
        }
        // Those who wrote it may have been killed before they did this.
        file.sync_all()?;
        sync_folder(&self.folder)?;
        (self.file, self.size) = (Some(file), whole as u64);
        Ok(replayed)
    }

    /// Leaves out the record that begins at this byte from now on. Returns its text.
    pub(crate) fn set_aside(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let file = open(&self.folder.join(FILE), OpenOptions::new().read(true).append(true))?;
        let (records, text) = journal::set_aside(&file, offset)?;
        self.replace(&records)?;
        Ok(text)
    }

    /// Sees to it that the file says the same as the journal, after a server was killed.
    pub(crate) fn agree_with(&mut self, truth: &Replayed, at: impl FnMut(u64)) {
        match self.read(at) {
            Ok(on_disk) if on_disk.kept().eq(truth.kept()) => return,
            Ok(_) => {}
            Err(error) => log::error!("server", "values on disk cannot be read: {error}"),
        }
        self.become_as(truth);
    }

    /// Has the file say what the journal says, whatever it says now.
    pub(crate) fn become_as(&mut self, truth: &Replayed) {
        if let Err(error) = self.replace(&truth.to_file()) {
            // The next change will not be made without it.
            self.file = None;
            log::error!("server", "{} cannot be written: {error}", self.shown());
        }
    }

    /// Writes a record to the disk. When this returns, it is there after a reboot. `all` is all
    /// that is true before it, for a file that is to be written anew. Returns the record's length.
    ///
    /// # Errors
    /// The disk is full or broken. The record is not in the file then.
    pub(super) fn append(
        &mut self,
        record: Record,
        all: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<u64> {
        self.look_at_names()?;
        if self.file.is_none() {
            self.replace(&all())?;
        } else if self.size > self.long
            && let Err(error) = self.replace(&all())
        {
            log::error!("server", "{} is not compacted: {error}", self.shown());
            // Not tried again with every change.
            self.long = self.size * 2;
        }
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("what is on disk is in doubt"));
        };
        let bytes = record.into_bytes();
        if let Err(error) = file.write_all(&bytes) {
            self.cut_off();
            return Err(error);
        }
        if let Err(error) = file.sync_data() {
            self.cut_off();
            // After this, what of the file is on the disk is not known (fsync(2)).
            self.file = None;
            return Err(error);
        }
        self.size += bytes.len() as u64;
        sys::kill_point("disk-appended");
        Ok(bytes.len() as u64)
    }

    /// Sees that what is written will be found again: somebody may have removed the directory, or a
    /// file in it. A file that is gone is written anew.
    ///
    /// # Errors
    /// The lock is not in the directory any more: another papad could take it.
    fn look_at_names(&mut self) -> io::Result<()> {
        if !is_lock_of(&self.folder, &self.lock) {
            let folder = self.folder.display();
            return Err(io::Error::other(format!("{folder} or its lock was removed or replaced")));
        }
        let named = fs::symlink_metadata(self.folder.join(FILE));
        let is_named = |file: &File| match (file.metadata(), &named) {
            (Ok(file), Ok(named)) => (file.dev(), file.ino()) == (named.dev(), named.ino()),
            _ => false,
        };
        if !self.file.as_ref().is_some_and(is_named) {
            self.file = None;
        }
        Ok(())
    }

    /// Takes back the record that was appended last, which has this length.
    pub(super) fn take_back(&mut self, length: u64) {
        self.size -= length;
        self.cut_off();
    }

    /// Ends the file where its last good record ends.
    fn cut_off(&mut self) {
        let size = self.size;
        let cut = self.file.as_ref().map(|file| file.set_len(size).and_then(|()| file.sync_data()));
        if let Some(Err(error)) = cut {
            log::error!("server", "{} cannot be put right: {error}", self.shown());
            self.file = None;
        }
    }

    /// Puts a new file with these records in force. Before the rename the old one is, after it the
    /// new one, and both say the same.
    fn replace(&mut self, records: &[u8]) -> io::Result<()> {
        let path = self.folder.join(NEW_FILE);
        let options = &mut OpenOptions::new();
        // What an earlier server left unfinished is of no use.
        remove_if_there(&path)?;
        let written = open(&path, options.append(true)).and_then(|mut file| {
            file.write_all(records)?;
            file.sync_all()?;
            sys::kill_point("disk-written");
            fs::rename(&path, self.folder.join(FILE))?;
            Ok(file)
        });
        let file = written.inspect_err(|_| {
            // It takes room on a disk that may be full.
            let _ = remove_if_there(&path);
        })?;
        sys::kill_point("disk-renamed");
        // If it is not certain which of the two a reboot finds, neither may be added to.
        self.file = None;
        sync_folder(&self.folder)?;
        self.file = Some(file);
        self.size = records.len() as u64;
        self.long = SMALLEST_COMPACTED.max(GROWTH * self.size);
        Ok(())
    }

    fn shown(&self) -> String {
        shown(&self.folder.join(FILE))
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Opens a file, made if need be, that is its owner's alone. Something else is refused, and not
/// waited for, as a FIFO would be until somebody reads it.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.create(true).mode(0o600).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::ENXIO.into()) }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Has the names in a directory written to the disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
