//! A process to signal and to wait for.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use crate::calls;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::papa::Papa;
use crate::process::{End, ProcessId, ProcessInfo, Signal, pidfd};
use crate::sys;

/// How long to wait before papad is asked again how a process has ended.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);

/// What papad is given at least to answer, however short a time something is waited for.
const LEAST_TIME: Duration = Duration::from_millis(100);

/// One process that papad hosts: this very one, and no other that gets its name or its pid later.
///
/// Signals go through a pidfd (`pidfd_open(2)`), fetched from papad when it is first needed; so
/// does waiting. A clone stands for the same process.
#[derive(Clone)]
pub struct Process {
    papa: Papa,
    info: ProcessInfo,
    pidfd: Arc<OnceLock<OwnedFd>>,
}

impl Process {
    pub(crate) fn new(papa: Papa, info: ProcessInfo) -> Self {
        Self { papa, info, pidfd: Arc::default() }
    }

    pub(crate) fn papa(&self) -> &Papa {
        &self.papa
    }

    /// What papad told of it when this was made.
    #[must_use]
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.info.name
    }

    /// Which process of that name it is.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.info.id
    }

    /// What papad tells of it now; `None` if it is not on the list any more.
    pub fn reload(&self) -> Result<Option<ProcessInfo>> {
        self.reload_within(self.papa.deadline())
    }

    fn reload_within(&self, time: Duration) -> Result<Option<ProcessInfo>> {
        let info = self.papa.call_within(calls::process(&self.info.name), time)?;
        Ok(info.filter(|info| info.id == self.info.id))
    }

    /// A descriptor that becomes readable when the process has ended, to poll beside others.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] if it has ended.
    pub fn pidfd(&self) -> Result<BorrowedFd<'_>> {
        self.pidfd_within(self.papa.deadline())
    }

    fn pidfd_within(&self, time: Duration) -> Result<BorrowedFd<'_>> {
        if let Some(pidfd) = self.pidfd.get() {
            return Ok(pidfd.as_fd());
        }
        let pidfd = self.open(time)?;
        Ok(self.pidfd.get_or_init(|| pidfd).as_fd())
    }

    fn open(&self, time: Duration) -> Result<OwnedFd> {
        let ended = || pidfd::ended(&self.info);
        if !self.info.is_running() {
            return Err(ended());
        }
        if self.papa.endpoint().is_unix() {
            return self.papa.call_within(calls::fetch_pidfd(&self.info), time)?.ok_or_else(ended);
        }
        let guessed = pidfd::guess(&self.info)?.ok_or_else(ended)?;
        let of_process = self.papa.call_within(calls::trait_of_running(&self.info), time)?;
        guessed.confirm(of_process.ok_or_else(ended)?)
    }

    /// Sends it a signal: this one process, and not its children or its group. A shell that waits for
    /// its command, say, ends without that; [`ProcessBuilder::shell`](crate::ProcessBuilder::shell)
    /// lines therefore better begin with `exec`.
    ///
    /// # Errors
    /// [`ErrorKind::Ended`] if it has ended. Without a Unix socket [`ErrorKind::NeedsUnix`], where
    /// papad runs in another pid namespace.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pidfd = self.pidfd()?;
        send(&self.info, pidfd, signal)
    }

    /// Sends a signal to the process group that it leads: to it, to its children and to theirs, but
    /// for those that have made themselves a group or a session of their own. Every process of
    /// papad's leads a group.
    ///
    /// Before Linux 6.9 a group is signaled by its number, after the pidfd has told that the process
    /// has not ended: one that ends at that very moment, and all of its group, and whose pid is
    /// given to another group's leader then, is taken for that.
    ///
    /// # Errors
    /// As [`Process::signal`]: what is left of the group of a process that has ended is not signaled.
    pub fn signal_group(&self, signal: Signal) -> Result<()> {
        let pidfd = self.pidfd()?;
        send_to_group(&self.info, pidfd, signal)
    }

    /// Sends it [`Signal::KILL`]. When this returns it may still be ending: [`Process::wait`].
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits until it has ended, however long that takes.
    ///
    /// [`End::Unknown`] if papad does not know either, or if a watcher took it off papad's list
    /// first, and the kernel (before Linux 6.15) does not tell.
    pub fn wait(&self) -> Result<End> {
        loop {
            if let Some(end) = self.wait_until(Deadline::NEVER)? {
                return Ok(end);
            }
        }
    }

    /// Waits until it has ended, for so long; `None` if it then still runs, or papad has not told
    /// how it ended. Where papad must be asked it gets a tenth of a second at least.
    pub fn wait_timeout(&self, time: Duration) -> Result<Option<End>> {
        self.wait_until(Deadline::after(time))
    }

    /// How long papad may take to answer.
    fn time_to_answer(&self, deadline: Deadline) -> Duration {
        let most = self.papa.deadline();
        deadline.left_of(most).max(LEAST_TIME.min(most))
    }

    fn wait_until(&self, deadline: Deadline) -> Result<Option<End>> {
        match self.pidfd_within(self.time_to_answer(deadline)) {
            Ok(pidfd) => {
                let has_ended = sys::wait_readable(pidfd, deadline)
                    .map_err(|error| Error::io("the process cannot be waited for", error))?;
                if !has_ended {
                    return Ok(None);
                }
            }
            Err(error) if error.kind() == ErrorKind::Ended => {}
            Err(error) if is_over(deadline, &error) => return Ok(None),
            Err(error) => return Err(error),
        }
        self.end(deadline)
    }

    /// Asks it to end ([`Signal::TERM`]), and kills it if it still runs after the time of grace.
    /// Returns how it ended.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it has not ended within the deadline after it was killed.
    pub fn stop(&self, grace: Duration) -> Result<End> {
        for (signal, time) in [(Signal::TERM, grace), (Signal::KILL, self.papa.deadline())] {
            match self.signal(signal) {
                Err(error) if error.kind() == ErrorKind::Ended => return self.wait(),
                result => result?,
            }
            if let Some(end) = self.wait_timeout(time)? {
                return Ok(end);
            }
        }
        Err(Error::new(ErrorKind::Timeout, format!("the process {} does not end", self.name())))
    }

    /// How it ended, now that it has. papad may be told of it a moment later than everybody else.
    fn end(&self, deadline: Deadline) -> Result<Option<End>> {
        let recorded_by = Deadline::after(self.papa.deadline());
        loop {
            if let Some(end) = self.info.end().or_else(|| kernels_word(self.pidfd.get())) {
                return Ok(Some(end));
            }
            let listed = match self.reload_within(self.time_to_answer(deadline)) {
                Err(error) if is_over(deadline, &error) => return Ok(None),
                listed => listed?,
            };
            if let Some(end) = papads_word(listed.as_ref(), self.pidfd.get()) {
                return Ok(Some(end));
            }
            if deadline.has_passed() {
                return Ok(None);
            }
            if recorded_by.has_passed() {
                return Err(unrecorded(&self.info));
            }
            thread::sleep(deadline.left_of(PAUSE));
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.info).finish()
    }
}

/// Whether papad has not answered because there was no more time for that.
fn is_over(deadline: Deadline, error: &Error) -> bool {
    error.kind() == ErrorKind::Timeout && deadline.has_passed()
}

pub(crate) fn send(info: &ProcessInfo, pidfd: BorrowedFd<'_>, signal: Signal) -> Result<()> {
    send_by(info, pidfd, || sys::pidfd_send_signal(pidfd, signal.number()))
}

pub(crate) fn send_to_group(
    info: &ProcessInfo,
    pidfd: BorrowedFd<'_>,
    signal: Signal,
) -> Result<()> {
    let number = signal.number();
    send_by(info, pidfd, || match sys::pidfd_send_signal_to_group(pidfd, number) {
        // The kernel does not know how.
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
            sys::kill_group(info.pid, number)
        }
        result => result,
    })
}

fn send_by(
    info: &ProcessInfo,
    pidfd: BorrowedFd<'_>,
    send: impl FnOnce() -> io::Result<()>,
) -> Result<()> {
    // Until papad's keeper has reaped it, a process that has ended takes signals still.
    if sys::wait_readable(pidfd, Deadline::after(Duration::ZERO)).unwrap_or(false) {
        return Err(pidfd::ended(info));
    }
    send().map_err(|error| {
        if error.raw_os_error() == Some(Errno::ESRCH as i32) {
            return pidfd::ended(info);
        }
        Error::io(format!("the process {} cannot be signaled", info.name), error)
    })
}

/// How a process has ended, if the kernel tells: once it is reaped, and to who had its pidfd.
pub(crate) fn kernels_word(pidfd: Option<&OwnedFd>) -> Option<End> {
    Some(End::of_status(sys::pidfd_exit_status(pidfd?.as_fd())?))
}

/// How a process has ended by papad's list; `None` if papad has not recorded it yet. One that is
/// off the list was reaped before: if the kernel does not tell then, nobody does.
pub(crate) fn papads_word(listed: Option<&ProcessInfo>, pidfd: Option<&OwnedFd>) -> Option<End> {
    match listed {
        Some(info) => info.end(),
        None => Some(kernels_word(pidfd).unwrap_or(End::Unknown)),
    }
}

/// The error of a process that has ended, for all one can see, and that papad takes for running.
pub(crate) fn unrecorded(info: &ProcessInfo) -> Error {
    let what = format!("papad has not recorded the end of the process {}", info.name);
    Error::new(ErrorKind::Timeout, what)
}
