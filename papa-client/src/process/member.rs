//! The members of the session that a process leads: itself and all its descendants that have not
//! made a session of their own (`setsid(2)`).
//!
//! papad says who they are. Each is pinned by a pidfd before it is signaled, and looked at once the
//! pidfd is open: what has another start, or is in another session, is no member.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::process::pidfd::Seen;
use crate::process::{ProcessId, ProcessInfo, Signal};
use crate::sys;

/// What papad says of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The process that leads the session, or led it.
    pub(crate) id: ProcessId,
    pub(crate) pid: i32,
    /// In clock ticks since boot.
    pub(crate) starttime: u64,
}

/// A process in the session that one of papad's processes leads, or led until it ended: that one
/// itself, or a descendant. See [`Process::members`](crate::Process::members).
///
/// It stands for this very process, whoever gets its pid later. As a descriptor it becomes readable
/// when the process has ended.
#[derive(Debug)]
pub struct Member {
    pub(crate) listed: Listed,
    pidfd: OwnedFd,
    /// Whether a signal had stopped it when it was found.
    pub(crate) is_stopped: bool,
}

impl Member {
    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.listed.pid
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        sys::wait_readable(&self.pidfd, Deadline::after(Duration::ZERO)).unwrap_or(false)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] if it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let ended =
            || Error::new(ErrorKind::Ended, format!("the process {} has ended", self.pid()));
        if self.has_ended() {
            return Err(ended());
        }
        sys::pidfd_send_signal(self.pidfd.as_fd(), signal.number()).map_err(|error| {
            if error.raw_os_error() == Some(Errno::ESRCH as i32) {
                return ended();
            }
            Error::io(format!("the process {} cannot be signaled", self.pid()), error)
        })
    }
}

impl AsFd for Member {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Members that were looked for.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) members: Vec<Member>,
    /// What was not to be found where papad said that it was. It has ended since, or pids are
    /// others here.
    missed: Vec<Listed>,
}

impl Found {
    /// Looks for what papad has listed of the sessions of these processes.
    pub(crate) fn look(listed: &[Listed], processes: &[&ProcessInfo]) -> Result<Self> {
        let sessions: BTreeMap<ProcessId, i32> =
            processes.iter().map(|info| (info.id, info.pid)).collect();
        let mut found = Self::default();
        for it in listed {
            let Some(&session) = sessions.get(&it.id) else { continue };
            let opened = match open(*it) {
                // The others have their turn when some of these have ended.
                Err(error) if is_for_want_of_descriptors(&error) && !found.members.is_empty() => {
                    break;
                }
                opened => opened?,
            };
            match opened {
                Some((member, seen)) if seen.started == it.starttime => {
                    // One that has left the session is no member any more.
                    if seen.session == session {
                        found.members.push(member);
                    }
                }
                _ => found.missed.push(*it),
            }
        }
        Ok(found)
    }

    /// Whether papad is to be asked again before what was found can be believed.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.missed.is_empty()
    }

    /// What was found, now that papad has been asked again.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsUnix`]: what was missed is there still, and has another pid here.
    pub(crate) fn confirm(self, listed: &[Listed]) -> Result<Vec<Member>> {
        if self.missed.iter().any(|missed| listed.contains(missed)) {
            let what = "papad's processes have other pids here, so their descendants cannot be \
                        signaled; the processes themselves can";
            return Err(Error::new(ErrorKind::NeedsUnix, what));
        }
        Ok(self.members)
    }
}

fn open(listed: Listed) -> Result<Option<(Member, Seen)>> {
    let pidfd = match sys::pidfd_open(listed.pid) {
        Ok(pidfd) => pidfd,
        // Nobody has it, or a thread.
        Err(error)
            if [Errno::ESRCH, Errno::EINVAL, Errno::ENOENT]
                .iter()
                .any(|errno| error.raw_os_error() == Some(*errno as i32)) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Error::io("no descriptor of the process", error)),
    };
    let seen = Seen::look(listed.pid);
    Ok(seen.map(|seen| (Member { listed, pidfd, is_stopped: seen.is_stopped }, seen)))
}

fn is_for_want_of_descriptors(error: &Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    let errno = cause.and_then(std::io::Error::raw_os_error);
    [Errno::EMFILE, Errno::ENFILE].iter().any(|it| errno == Some(*it as i32))
}

/// Signals all of them; returns how many there were. One that has ended meanwhile is fine.
pub(crate) fn signal_all(members: &[Member], signal: Signal) -> Result<usize> {
    let mut count = 0;
    for member in members {
        match member.signal(signal) {
            Err(error) if error.kind() == ErrorKind::Ended => {}
            sent => {
                sent?;
                count += 1;
            }
        }
    }
    Ok(count)
}
