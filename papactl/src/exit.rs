//! How papactl ends. Scripts decide by these: they are in the manual page, and never change.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use papa_client::{End, ErrorKind};
use serde::Serialize;

/// An exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Exit(u8);

impl Exit {
    /// It is done.
    pub(crate) const DONE: Self = Self(0);
    /// papad or the system would not do it; for `status` and `doctor`: not all is well.
    pub(crate) const FAILED: Self = Self(1);
    /// The command line makes no sense.
    pub(crate) const USAGE: Self = Self(2);
    /// There is no such process, socket or value, or the process has ended.
    pub(crate) const NOT_FOUND: Self = Self(3);
    /// No papad runs there.
    pub(crate) const NOT_RUNNING: Self = Self(4);
    /// papad belongs to somebody else, or does not let this user in.
    pub(crate) const NOT_ALLOWED: Self = Self(5);
    /// It has not happened in time.
    pub(crate) const TOO_LATE: Self = Self(6);
    /// The name is taken, or a condition does not hold.
    pub(crate) const CONFLICT: Self = Self(7);
    /// The trouble of papactl itself, in a command that otherwise ends as a process did.
    pub(crate) const OWN_TROUBLE: Self = Self(125);

    /// The command is there and cannot be run: what shells say then.
    pub(crate) const CANNOT_RUN: Self = Self(126);
    /// There is no such command: what shells say then.
    pub(crate) const NO_COMMAND: Self = Self(127);

    /// What the shell says of what a signal ended: 128 and the signal.
    const SIGNALED: i32 = 128;

    /// Ctrl-C.
    pub(crate) const INTERRUPTED: Self = Self(130);

    /// The status of a process that has ended; `None` if nobody knows it.
    pub(crate) fn of_process(end: End) -> Option<Self> {
        let status = end.code().or_else(|| Some(Self::SIGNALED + end.signal()?.number()))?;
        u8::try_from(status).ok().map(Self)
    }

    /// The status of a child of papactl's own.
    pub(crate) fn of_child(status: ExitStatus) -> Self {
        let code = status.code().or_else(|| Some(Self::SIGNALED + status.signal()?));
        // Only a child that is reaped has either, and nothing else is asked for.
        code.and_then(|code| u8::try_from(code).ok()).map_or(Self::OWN_TROUBLE, Self)
    }

    pub(crate) fn of_error(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Usage => Self::USAGE,
            ErrorKind::NotFound | ErrorKind::Gone | ErrorKind::Ended => Self::NOT_FOUND,
            ErrorKind::NotRunning => Self::NOT_RUNNING,
            ErrorKind::NotYours | ErrorKind::Denied => Self::NOT_ALLOWED,
            ErrorKind::Timeout => Self::TOO_LATE,
            ErrorKind::Exists | ErrorKind::Conflict => Self::CONFLICT,
            _ => Self::FAILED,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// What the manual page says of exit statuses.
pub(crate) const HELP: &str = "\
Exit status:
  0    it is done
  1    papad or the system would not do it; of status and doctor: not all is well
  2    the command line makes no sense
  3    there is no such process, socket or value, or the process has ended
  4    no papad runs there
  5    papad belongs to another user, or does not let you in
  6    it did not happen in time
  7    the name is taken, or a condition does not hold
  125  in run --attach, wait and lock, which otherwise end as the process did: any of these but 2
  126  in lock: the command cannot be run
  127  in lock: there is no such command
  130  interrupted by Ctrl-C; run --attach and logs -f by SIGTERM and SIGHUP, too
A process that was ended by signal N counts as 128 and N.";
