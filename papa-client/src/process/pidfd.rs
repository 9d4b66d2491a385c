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
    seen: Option<Seen>,
}

/// What `/proc/PID/stat` shows of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    parent: i32,
    /// The number of its session.
    pub(crate) session: i32,
    /// In clock ticks since boot.
    pub(crate) started: u64,
    /// Whether a signal has stopped it.
    pub(crate) is_stopped: bool,
}

/// What a process is told from others by that have its pid, in another pid namespace or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trait {
    /// It is a child of papad's keeper, which this is the pid of. Nobody else gets its pid until
    /// papad has recorded its end.
    Parent(i32),
    /// The keeper that made it is gone. It was started at this tick of the clock since boot.
    Started(u64),
}

/// Opens what has the process's pid; `None` if nothing has.
pub(crate) fn guess(info: &ProcessInfo) -> Result<Option<Guessed>> {
    let pidfd = match sys::pidfd_open(info.pid) {
        Ok(pidfd) => pidfd,
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => return Ok(None),
        Err(error) => return Err(Error::io("no descriptor of the process", error)),
    };
    Ok(Some(Guessed { pidfd, seen: Seen::look(info.pid) }))
}

impl Seen {
    /// Looks at what has this pid; `None` if nothing has, or it is not to be seen.
    pub(crate) fn look(pid: i32) -> Option<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name may be any bytes.
        Self::parse(&String::from_utf8_lossy(&stat))
    }

    /// Reads a line of `/proc/PID/stat`: see `proc_pid_stat(5)`, fields 3, 4, 6 and 22.
    fn parse(stat: &str) -> Option<Self> {
        // The name stands in parentheses and may itself hold any character.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let is_stopped = fields.next()? == "T";
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { parent, session, started: fields.nth(15)?.parse().ok()?, is_stopped })
    }

    fn has(self, of_process: Trait) -> bool {
        match of_process {
            Trait::Parent(pid) => self.parent == pid,
            Trait::Started(ticks) => self.started == ticks,
        }
    }
}

impl Guessed {
    /// The pidfd, now that papad said after it was opened that the process runs, and what it is to
    /// be known by.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsUnix`]: what has the pid here is another process. papad's pids are those
    /// of another pid namespace.
    pub(crate) fn confirm(self, of_process: Trait) -> Result<OwnedFd> {
        if self.seen.is_some_and(|seen| seen.has(of_process)) {
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
    fn parent_and_start_are_found_behind_any_name() {
        let fields: Vec<String> = (5..=52).map(|number| number.to_string()).collect();
        let stat = format!("42 (a) b (c) S 7 {}\n", fields.join(" "));
        let seen = Seen { parent: 7, session: 6, started: 22, is_stopped: false };
        assert_eq!(Seen::parse(&stat), Some(seen));
        let stopped = stat.replace(" S 7", " T 7");
        assert_eq!(Seen::parse(&stopped), Some(Seen { is_stopped: true, ..seen }));
        assert_eq!(Seen::parse("42 (a) S 7 5"), None);
        assert_eq!(Seen::parse(""), None);
    }

    #[test]
    fn a_child_is_known_by_its_parent_and_an_orphan_by_its_start() {
        let seen = Seen { parent: 7, session: 7, started: 100, is_stopped: false };
        assert!(seen.has(Trait::Parent(7)) && seen.has(Trait::Started(100)));
        assert!(!seen.has(Trait::Parent(1)) && !seen.has(Trait::Started(101)));
    }
}
