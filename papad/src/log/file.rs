//! A log file that is bounded: one that is full is moved to `PATH.1`, and another is begun.
//!
//! Keeper and server write to the same file, each as its standard error. Whoever finds it full moves
//! it while holding a lock (flock(2)) on that very file. The other one finds another file at the
//! path, or none, before its next line, and goes on there. Whoever is killed after moving it leaves
//! no file at the path: the next to write a line makes it.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::fstat;
use nix::unistd::{Uid, dup2_stderr};

use crate::sys;

/// Bytes of a file that is full. Its last line may go beyond.
const MAX_SIZE: u64 = 1 << 20;

/// The file that standard error is, or is to be.
pub(super) struct LogFile {
    path: PathBuf,
    /// Where a full one is moved.
    older: PathBuf,
}

impl LogFile {
    pub(super) fn new(path: &Path) -> LogFile {
        let mut older = OsString::from(path);
        older.push(".1");
        LogFile { path: path.to_owned(), older: older.into() }
    }

    /// Makes sure that standard error is the file at the path, with room for a line. What stands in
    /// the way of that does not keep a line from being written: it goes where the last one went.
    pub(super) fn prepare(&self) {
        let is_full = |there: &Metadata| there.len() >= MAX_SIZE;
        let there = fs::symlink_metadata(&self.path);
        let is_ready = there.is_ok_and(|there| {
            is_same(&there, io::stderr()) && !(is_full(&there) && self.move_aside().is_ok())
        });
        if !is_ready {
            let _ = self.adopt();
        }
    }

    /// Makes the file if it is not there, and finds out whether it is fit for a log.
    pub(super) fn check(&self) -> io::Result<()> {
        self.open(OpenOptions::new().create(true)).map(drop)
    }

    /// Makes the file at the path standard error.
    pub(super) fn adopt(&self) -> io::Result<()> {
        let file = self.open(OpenOptions::new().create(true))?;
        Ok(dup2_stderr(&file)?)
    }

    /// Moves the file away if it is full, unless somebody else is about to.
    fn move_aside(&self) -> io::Result<()> {
        // A lock belongs to an open file, and keeper and server may have the same one.
        let file = self.open(&mut OpenOptions::new())?;
        let locked = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, no)| no)?;
        // Only who has this lock moves this file, so it stays there now if it is there.
        let there = fs::symlink_metadata(&self.path)?;
        if there.len() >= MAX_SIZE && is_same(&there, locked.as_fd()) {
            fs::rename(&self.path, &self.older)?;
        }
        Ok(())
    }

    fn open(&self, options: &mut OpenOptions) -> io::Result<File> {
        // Close-on-exec is what std adds. What lies there may be somebody else's, or not be a file.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = options.append(true).mode(0o600).custom_flags(flags).open(&self.path)?;
        let file = File::from(sys::keep(file.into()));
        let metadata = file.metadata()?;
        let is_own = metadata.is_file()
            && metadata.uid() == Uid::effective().as_raw()
            && metadata.nlink() == 1;
        if is_own {
            Ok(file)
        } else {
            Err(io::Error::other("what lies there is not papad's own file"))
        }
    }
}

/// Whether a path leads to this open file.
fn is_same(there: &Metadata, open: impl AsFd) -> bool {
    fstat(open).is_ok_and(|open| (there.dev(), there.ino()) == (open.st_dev, open.st_ino))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory that is removed with this.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Directory {
            let path = env::temp_dir().join(format!("papad-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn full_file_is_moved_by_one_alone() {
        let directory = Directory::new("log-full");
        let path = directory.0.join("log");
        let log = LogFile::new(&path);
        log.check().unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MAX_SIZE - 1).unwrap();
        log.move_aside().unwrap();
        assert!(path.exists(), "it has room");
        file.set_len(MAX_SIZE).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).unwrap();
        assert!(log.move_aside().is_err());
        assert!(path.exists(), "somebody else is about to move it");
        drop(lock);
        log.move_aside().unwrap();
        assert!(!path.exists());
        assert_eq!(fs::metadata(&log.older).unwrap().len(), MAX_SIZE);
        log.check().unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!((made.len(), made.mode() & 0o777), (0, 0o600));
    }

    #[test]
    fn what_could_be_somebody_elses_file_is_no_log() {
        let directory = Directory::new("log-foreign");
        let at = |name: &str| directory.0.join(name);
        fs::write(at("target"), "").unwrap();
        symlink(at("target"), at("symlink")).unwrap();
        fs::hard_link(at("target"), at("link")).unwrap();
        for name in ["symlink", "link", "target", ".", "none/log"] {
            assert!(LogFile::new(&at(name)).check().is_err(), "{name}");
        }
    }
}
