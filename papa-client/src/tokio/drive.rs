//! Waiting, without blocking a thread, for what the rest of the crate polls.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::sys;

/// A descriptor that is waited for until it is readable.
#[derive(Debug)]
pub(super) struct Waiter(AsyncFd<OwnedFd>);

impl Waiter {
    pub(super) fn new(descriptor: OwnedFd) -> Result<Self> {
        // Without a runtime the registration would panic.
        Handle::try_current()
            .map_err(|error| Error::usage("this must be called in a runtime").because(error))?;
        sys::register(descriptor).map(Self).map_err(cannot_wait)
    }

    /// Tries a step until it is ready; waits in between.
    ///
    /// The runtime tells only when the descriptor *becomes* readable. So that is forgotten before a
    /// step is tried, never after.
    pub(super) fn poll_step<T>(
        &self,
        context: &mut Context<'_>,
        mut step: impl FnMut() -> Poll<Result<T>>,
    ) -> Poll<Result<T>> {
        loop {
            if let Poll::Ready(result) = step() {
                return Poll::Ready(result);
            }
            let readable = ready!(self.0.poll_read_ready(context));
            readable.map_err(cannot_wait)?.clear_ready();
        }
    }

    /// The same, to await. Only the task that has asked last is woken.
    pub(super) async fn step<T>(&self, mut step: impl FnMut() -> Poll<Result<T>>) -> Result<T> {
        poll_fn(|context| self.poll_step(context, &mut step)).await
    }

    /// Waits until the descriptor is readable. Unlike [`Self::step`] any number of tasks may do so.
    pub(super) async fn readable(&self) -> Result<()> {
        loop {
            let mut told = self.0.readable().await.map_err(cannot_wait)?;
            let now = Deadline::after(Duration::ZERO);
            if sys::wait_readable(self.0.get_ref(), now).map_err(cannot_wait)? {
                return Ok(());
            }
            // What the runtime was told since it told this task stays.
            told.clear_ready();
        }
    }
}

fn cannot_wait(error: io::Error) -> Error {
    Error::io("the runtime cannot wait for a descriptor", error)
}
