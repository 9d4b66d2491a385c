//! Waiting for something to read, as long as it is wanted: until Ctrl-C, and until whoever reads
//! standard output has gone.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use signal_hook::consts::SIGINT;
use signal_hook::{flag, low_level};

use crate::failure::{Failure, Result};

/// What a signal does for a shell: 128 and its number.
const INTERRUPTED: i32 = 128 + SIGINT;

/// Why the waiting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read.
    Ready,
    /// The user has pressed Ctrl-C.
    Interrupted,
}

/// Catches Ctrl-C. A second one ends papactl at once.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Becomes readable by Ctrl-C.
    signals: UnixStream,
    is_interrupted: Arc<AtomicBool>,
}

impl Waiter {
    pub(crate) fn new() -> Result<Self> {
        Self::catching().map_err(|error| Failure::io("Ctrl-C cannot be caught", &error))
    }

    fn catching() -> io::Result<Self> {
        let (signals, sender) = UnixStream::pair()?;
        let is_interrupted = Arc::new(AtomicBool::new(false));
        // In this order: the first one finds the flag unset.
        flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&is_interrupted))?;
        flag::register(SIGINT, Arc::clone(&is_interrupted))?;
        low_level::pipe::register(SIGINT, sender)?;
        Ok(Self { signals, is_interrupted })
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::Relaxed)
    }

    /// Waits until this can be read.
    ///
    /// # Errors
    /// [`Failure::NobodyReads`], as soon as that is so.
    pub(crate) fn wait(&self, source: &impl AsFd) -> Result<Woken> {
        let stdout = io::stdout();
        loop {
            let mut waiting = [
                PollFd::new(source.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
                // Of a pipe whose reader has gone an error is told without being asked for.
                PollFd::new(stdout.as_fd(), PollFlags::empty()),
            ];
            match poll(&mut waiting, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Failure::io("papad cannot be waited for", &errno.into())),
            }
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
        }
    }
}
