//! Watching, by calls that block or do not wait at all.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::papa::{Papa, own};
use crate::sys;
use crate::watch::batch::{Batch, Contents};
use crate::watch::builder::{Plan, WatchBuilder};
use crate::watch::machine::Machine;

/// Reads what processes write, and how they end, in [batches](Batch): see
/// [`Papa::watch`](crate::Papa::watch).
///
/// It is a session of its own. When that ends, because papad's server was killed or upgraded, it
/// connects again and goes on where it was: each byte comes once and none is missing, and the same
/// holds for ends. A batch that is held meanwhile is still good, and is acknowledged on the new
/// connection. If papad does not answer for as long as a call may take (the deadline of the
/// [`Papa`](crate::Papa) it was made from), that is an error; the next call tries again.
///
/// One watcher is for any number of processes, by patterns. It costs five descriptors here, a
/// session and its thread in papad, and from a quarter of a MiB of memory to one and a half, so it
/// is not to be had for each process.
///
/// As an iterator it waits for the next batch, for as long as that takes, and ends when nothing is
/// left to watch. For a poll(2) loop it is a descriptor, the same one through all connections: when
/// that is readable, [`Watcher::try_next`] is to be called until it has nothing.
pub struct Watcher {
    shared: Arc<Shared>,
    /// A duplicate of what the watch waits for.
    descriptor: OwnedFd,
    patience: Duration,
}

/// What a watcher shares with its batches.
pub(crate) struct Shared(Mutex<Machine>);

impl Shared {
    pub(crate) fn new(machine: Machine) -> Arc<Self> {
        Arc::new(Self(Mutex::new(machine)))
    }

    /// The batch that there is.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Batch> {
        let (number, contents) = self.lock().take()?;
        Some(Batch::new(Arc::clone(self), number, contents))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        // Nothing in there panics; a poisoned lock is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn acknowledge(&self, number: u64) {
        self.lock().acknowledge(number);
    }

    pub(crate) fn put_back(&self, number: u64, contents: Contents) {
        self.lock().put_back(number, contents);
    }

    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        self.lock().give_back(buffer);
    }
}

impl WatchBuilder<Papa> {
    /// Begins to watch.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if a pattern without a `*` names no process, and
    /// [`Conflict`](crate::ErrorKind::Conflict) if one has not written as much as it is to be
    /// resumed from.
    pub fn start(self) -> Result<Watcher> {
        let (papa, plan) = self.into_parts()?;
        Watcher::start(papa.endpoint(), plan, papa.deadline())
    }
}

impl Watcher {
    fn start(endpoint: &Endpoint, plan: Plan, patience: Duration) -> Result<Self> {
        let shared = Shared::new(Machine::new(endpoint, plan, patience)?);
        let descriptor = own(&*shared.lock())?;
        let watcher = Self { shared, descriptor, patience };
        // The machine itself gives up in time.
        watcher.drive(Deadline::NEVER, Machine::poll_started)?;
        Ok(watcher)
    }

    /// Goes on with the machine until it is ready; false if it is not by the deadline.
    fn drive(
        &self,
        deadline: Deadline,
        step: impl Fn(&mut Machine) -> Poll<Result<()>>,
    ) -> Result<bool> {
        loop {
            if let Poll::Ready(result) = step(&mut self.shared.lock()) {
                return result.map(|()| true);
            }
            let is_in_time = sys::wait_readable(&self.descriptor, deadline)
                .map_err(|error| Error::io("the watch cannot be waited for", error))?;
            if !is_in_time {
                return Ok(false);
            }
        }
    }

    /// The next batch if there is one now; `None` if there is none yet, or never will be:
    /// [`Watcher::is_finished`] tells which.
    pub fn try_next(&mut self) -> Result<Option<Batch>> {
        let polled = self.shared.lock().poll();
        match polled {
            Poll::Pending => Ok(None),
            Poll::Ready(result) => result.map(|()| self.shared.take()),
        }
    }

    /// The next batch if there is one within this time; `None` as for [`Watcher::try_next`].
    pub fn next_timeout(&mut self, time: Duration) -> Result<Option<Batch>> {
        let is_ready = self.drive(Deadline::after(time), Machine::poll)?;
        Ok(is_ready.then(|| self.shared.take()).flatten())
    }

    /// Whether nothing is left to watch and every batch was given.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.lock().is_finished()
    }

    /// Ends the watch in an orderly way: when this returns, papad has heard every acknowledgement.
    /// What was not acknowledged stays with papad for whoever watches next.
    ///
    /// # Errors
    /// [`Disconnected`](crate::ErrorKind::Disconnected) or
    /// [`Timeout`](crate::ErrorKind::Timeout): papad may not have heard the last ones.
    pub fn stop(self) -> Result<()> {
        if self.drive(Deadline::after(self.patience), Machine::poll_stopped)? {
            return Ok(());
        }
        let what = format!("papad has not ended the watch within {:?}", self.patience);
        Err(Error::new(ErrorKind::Timeout, what))
    }
}

/// Waits for the next batch. Ends when nothing is left to watch; after an error it may go on.
impl Iterator for Watcher {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        match self.drive(Deadline::NEVER, Machine::poll) {
            Ok(_) => self.shared.take().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Becomes readable when [`Watcher::try_next`] is to be called.
impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// What was acknowledged papad may not have heard; what was not comes to whoever watches next.
/// Batches that are still held are acknowledged in vain.
impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.lock().close();
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}
