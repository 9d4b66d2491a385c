//! Waiting for something to read, as long as it is wanted: until Ctrl-C, and until whoever reads
//! standard output has gone.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;

/// Why the waiting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read.
    Ready,
    /// The time is over.
    Late,
    /// The user has pressed Ctrl-C.
    Interrupted,
}

/// Waits, and knows of Ctrl-C.
#[derive(Debug)]
pub(crate) struct Waiter(Interrupts);

impl Waiter {
    pub(crate) fn new() -> Result<Self> {
        let interrupts = Interrupts::begin();
        interrupts.map(Self).map_err(|error| Failure::io("Ctrl-C cannot be caught", &error))
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.0.has_come()
    }

    /// Waits until this can be read, as long as that takes.
    ///
    /// # Errors
    /// [`Failure::NobodyReads`], as soon as that is so.
    pub(crate) fn wait(&self, source: &impl AsFd) -> Result<Woken> {
        loop {
            // So often it is looked anyway, which does no harm.
            match self.wait_for(source, Duration::from_secs(3600))? {
                Woken::Late => {}
                woken => return Ok(woken),
            }
        }
    }

    /// Waits for so long.
    pub(crate) fn pause(&self, time: Duration) -> Result<Woken> {
        // Nothing is ever to be read where Ctrl-C is waited for alone.
        self.wait_for(&self.0, time)
    }

    /// Waits until this can be read, but only for so long.
    pub(crate) fn wait_for(&self, source: &impl AsFd, time: Duration) -> Result<Woken> {
        let stdout = io::stdout();
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [
                PollFd::new(source.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
                // Of a pipe whose reader has gone an error is told without being asked for.
                PollFd::new(stdout.as_fd(), PollFlags::empty()),
            ];
            let count = match poll(&mut waiting, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 1,
                Err(errno) => return Err(Failure::io("papad cannot be waited for", &errno.into())),
            };
            let [source, _, stdout] = waiting.map(|it| it.revents().unwrap_or(PollFlags::empty()));
            if self.is_interrupted() {
                return Ok(Woken::Interrupted);
            }
            if stdout.contains(PollFlags::POLLERR) {
                return Err(Failure::NobodyReads);
            }
            if !source.is_empty() {
                return Ok(Woken::Ready);
            }
            if count == 0 {
                return Ok(Woken::Late);
            }
        }
    }
}
