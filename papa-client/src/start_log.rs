//! The file that a papad logs to which this program starts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio;

use nix::unistd::Uid;

use crate::user_dirs;

/// A file that is larger, in bytes, is moved aside before papad is started.
const MAX_SIZE: u64 = 1 << 20;

/// A log that is open to be appended to.
#[derive(Debug)]
pub(crate) struct StartLog {
    file: File,
    /// Its length before papad wrote to it.
    begin: u64,
}

impl StartLog {
    /// Opens the log, with its directory if that is to be made. `None` where there can be none: papad
    /// is started without it then.
    pub(crate) fn open(path: &Path, makes_directory: bool) -> Option<Self> {
        if makes_directory {
            user_dirs::make(path.parent()?).ok()?;
        }
        if fs::symlink_metadata(path).is_ok_and(|it| it.is_file() && it.len() > MAX_SIZE) {
            let mut older = path.as_os_str().to_owned();
            older.push(".1");
            fs::rename(path, older).ok()?;
        }
        let mut options = OpenOptions::new();
        // Read, too: what papad says before it gives up is told by this program.
        options.read(true).append(true).create(true).mode(0o600);
        // What lies there may be somebody else's, or not be a file.
        options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
        let file = options.open(path).ok()?;
        let metadata = file.metadata().ok()?;
        let is_own = metadata.is_file()
            && metadata.uid() == Uid::effective().as_raw()
            && metadata.nlink() == 1;
        is_own.then(|| Self { begin: metadata.len(), file })
    }

    /// For papad's standard error.
    pub(crate) fn duplicate(&self) -> Option<Stdio> {
        self.file.try_clone().ok().map(Stdio::from)
    }

    /// Why papad gave up: its lines without a time, or if there are none, all that it has written, up
    /// to so many bytes.
    pub(crate) fn said(&self, most: usize) -> String {
        let text = self.read(most).unwrap_or_default();
        let why: Vec<&str> = text.lines().filter(|line| line.starts_with("papad: ")).collect();
        if why.is_empty() { text } else { why.join("\n") }
    }

    fn read(&self, most: usize) -> io::Result<String> {
        let mut bytes = vec![0; most];
        let count = self.file.read_at(&mut bytes, self.begin)?;
        bytes.truncate(count);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A directory that is removed with this.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = env::temp_dir().join(format!("papa-client-{name}-{}", std::process::id()));
            user_dirs::make(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_large_log_is_moved_aside_and_a_small_one_goes_on() {
        let directory = Directory::new("log");
        let path = directory.0.join("deep/log");
        assert!(StartLog::open(&path, false).is_none());
        let mut log = StartLog::open(&path, true).unwrap();
        log.file.write_all(b"papad: before\n").unwrap();
        let mut log = StartLog::open(&path, true).unwrap();
        log.file.write_all(b"2026-11-22 info keeper: x\npapad: no port\n").unwrap();
        assert_eq!(log.said(1024), "papad: no port");
        log.file.set_len(MAX_SIZE + 1).unwrap();
        let log = StartLog::open(&path, true).unwrap();
        assert_eq!(log.file.metadata().unwrap().len(), 0);
        assert_eq!(log.file.metadata().unwrap().mode() & 0o777, 0o600);
        let older = fs::metadata(directory.0.join("deep/log.1")).unwrap();
        assert_eq!(older.len(), MAX_SIZE + 1);
    }

    #[test]
    fn what_could_be_somebody_elses_file_is_left_alone() {
        let directory = Directory::new("foreign-log");
        let (target, link) = (directory.0.join("target"), directory.0.join("link"));
        fs::write(&target, "").unwrap();
        symlink(&target, &link).unwrap();
        assert!(StartLog::open(&link, false).is_none());
        let second = directory.0.join("second");
        fs::hard_link(&target, &second).unwrap();
        assert!(StartLog::open(&second, false).is_none());
        assert!(StartLog::open(&directory.0, false).is_none());
    }
}
