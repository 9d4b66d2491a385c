//! A process by its pid alone, where papad cannot hand over a pidfd.

use std::fs;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::process::ProcessInfo;
use crate::sys;

/// A pidfd that was opened by a pid, which may be somebody else's by now.
pub(crate) struct Guessed {
    pidfd: OwnedFd,
    parent: Option<i32>,
}

/// Opens what has the process's pid; `None` if nothing has.
pub(crate) fn guess(info: &ProcessInfo) -> Result<Option<Guessed>> {
    let pidfd = match sys::pidfd_open(info.pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(None),
        Err(error) => return Err(Error::io("no descriptor of the process", error)),
    };
    let stat = fs::read_to_string(format!("/proc/{}/stat", info.pid)).unwrap_or_default();
    Ok(Some(Guessed { pidfd, parent: parent(&stat) }))
}

/// The parent's pid in a line of `/proc/PID/stat`: see `proc_pid_stat(5)`.
fn parent(stat: &str) -> Option<i32> {
    // The name stands in parentheses and may itself hold any character.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

impl Guessed {
    /// The pidfd, now that papad said after it was opened that the process runs, as a child of its
    /// keeper: until papad has recorded an end, nobody else gets the pid.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsUnix`]: what has the pid here is no child of the keeper. papad's pids are
    /// those of another pid namespace.
    pub(crate) fn confirm(self, keeper: i32) -> Result<OwnedFd> {
        if self.parent == Some(keeper) {
            return Ok(self.pidfd);
        }
        let what =
            "papad's processes have other pids here; its Unix socket hands over their pidfds";
        Err(Error::new(ErrorKind::NeedsUnix, what))
    }
}

/// The error of something that only a running process can do.
pub(crate) fn ended(info: &ProcessInfo) -> Error {
    Error::new(ErrorKind::Ended, format!("the process {} has ended", info.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("42 (a) b (c) S 7 42 42 0"), Some(7));
        assert_eq!(parent(""), None);
    }
}
