//! A command that runs as a child, and everything that may happen meanwhile.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papa_client::Lock;
use signal_hook::low_level::pipe;

use crate::failure::{Failure, Result};
use crate::interrupts::is_ignored;
use crate::sys;

/// How often a lock is looked at whose connection stands: its value may have been removed.
const GLANCE_MS: u16 = 1000;

/// Signals that are passed on to the command.
const PASSED_ON: [Signal; 2] = [Signal::SIGTERM, Signal::SIGHUP];

/// What has happened.
pub(super) enum News {
    /// The command has ended.
    Ended(ExitStatus),
    /// The lock may be lost.
    LookAtLock,
}

/// A command that runs.
pub(super) struct Guarded {
    child: Child,
    /// Readable when a child has ended.
    ends: UnixStream,
    /// Readable when the signal has come.
    passed_on: Vec<(Signal, UnixStream)>,
    /// The terminal sends this one to the command as well. Not ignored but heard and passed over:
    /// what is ignored the command would ignore, too.
    _interrupts: Option<UnixStream>,
}

impl Guarded {
    /// Starts a command.
    ///
    /// # Errors
    /// The system's, if it cannot be run.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        // Before there is a child that could end.
        let ends = heard(Signal::SIGCHLD)?;
        // What whoever started papactl wants to be ignored, the command is to ignore: see nohup(1).
        let is_heard = |signal: Signal| !is_ignored(signal as i32);
        let interrupts = is_heard(Signal::SIGINT).then(|| heard(Signal::SIGINT)).transpose()?;
        let passed_on = PASSED_ON.into_iter().filter(|signal| is_heard(*signal));
        let passed_on = passed_on.map(|signal| heard(signal).map(|stream| (signal, stream)));
        let passed_on = passed_on.collect::<io::Result<_>>()?;
        // The lock is free when papactl is killed.
        sys::end_with_papactl(command);
        Ok(Self { child: command.spawn()?, ends, passed_on, _interrupts: interrupts })
    }

    /// Waits until the command has ended or the lock, if there is one still, is to be looked at.
    pub(super) fn wait(&mut self, lock: Option<&Lock>) -> Result<News> {
        let cannot = |error: &io::Error| Failure::io("the command cannot be waited for", error);
        loop {
            let mut fds = vec![PollFd::new(self.ends.as_fd(), PollFlags::POLLIN)];
            let streams = self.passed_on.iter().map(|(_, stream)| stream.as_fd());
            fds.extend(streams.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            fds.extend(lock.map(|lock| PollFd::new(lock.as_fd(), PollFlags::POLLIN)));
            let timeout = if lock.is_some() { GLANCE_MS.into() } else { PollTimeout::NONE };
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(cannot(&errno.into())),
            }
            drop(fds);
            drain(&mut self.ends);
            if let Some(status) = self.child.try_wait().map_err(|error| cannot(&error))? {
                return Ok(News::Ended(status));
            }
            let mut was_signaled = false;
            for (signal, stream) in &mut self.passed_on {
                if drain(stream) {
                    was_signaled = true;
                    send(&self.child, *signal);
                }
            }
            if lock.is_some() && !was_signaled {
                return Ok(News::LookAtLock);
            }
        }
    }

    /// Asks the command to end.
    pub(super) fn terminate(&self) {
        send(&self.child, Signal::SIGTERM);
    }
}

/// Its pid is nobody else's: only `try_wait` reaps it.
fn send(child: &Child, signal: Signal) {
    // One that has ended since needs no signal.
    let _ = kill(Pid::from_raw(child.id() as i32), signal);
}

/// A stream that becomes readable when a signal comes.
fn heard(signal: Signal) -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    pipe::register(signal as i32, writer)?;
    Ok(reader)
}

/// Reads all there is. False if there was nothing.
fn drain(stream: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut was_there = false;
    while matches!(stream.read(&mut buffer), Ok(1..)) {
        was_there = true;
    }
    was_there
}
