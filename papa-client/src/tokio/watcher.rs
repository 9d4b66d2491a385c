//! A watcher as a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::time::timeout;

use super::Papa;
use super::drive::Waiter;
use crate::error::{Error, ErrorKind, Result};
use crate::papa::own;
use crate::watch::{Batch, Machine, Shared, WatchBuilder};

/// Reads what processes write, and how they end: [`papa_client::Watcher`](crate::Watcher) as a
/// [`Stream`].
///
/// [`Watcher::next`] may be dropped before it is done, in a `select!` for instance: nothing is lost
/// by that.
pub struct Watcher {
    shared: Arc<Shared>,
    waiter: Waiter,
    patience: Duration,
}

impl WatchBuilder<Papa> {
    /// Begins to watch.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if a pattern without a `*` names no process, and
    /// [`Conflict`](crate::ErrorKind::Conflict) if one has not written as much as it is to be
    /// resumed from.
    pub async fn start(self) -> Result<Watcher> {
        let (papa, plan) = self.into_parts()?;
        let patience = papa.deadline();
        let shared = Shared::new(Machine::new(papa.endpoint(), plan, patience)?);
        let waiter = Waiter::new(own(&*shared.lock())?)?;
        let watcher = Watcher { shared, waiter, patience };
        // The machine itself gives up in time.
        watcher.waiter.step(|| watcher.shared.lock().poll_started()).await?;
        Ok(watcher)
    }
}

impl Watcher {
    /// The next batch; `None` when nothing is left to watch.
    pub async fn next(&mut self) -> Option<Result<Batch>> {
        poll_fn(|context| self.poll_batch(context)).await
    }

    fn poll_batch(&self, context: &mut Context<'_>) -> Poll<Option<Result<Batch>>> {
        let polled = self.waiter.poll_step(context, || self.shared.lock().poll());
        Poll::Ready(match ready!(polled) {
            Ok(()) => self.shared.take().map(Ok),
            Err(error) => Some(Err(error)),
        })
    }

    /// Whether nothing is left to watch and every batch was given.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.shared.lock().is_finished()
    }

    /// Ends the watch in an orderly way: when this returns, papad has heard every acknowledgement.
    ///
    /// # Errors
    /// [`Disconnected`](crate::ErrorKind::Disconnected) or
    /// [`Timeout`](crate::ErrorKind::Timeout): papad may not have heard the last ones.
    pub async fn stop(self) -> Result<()> {
        let stopped = self.waiter.step(|| self.shared.lock().poll_stopped());
        timeout(self.patience, stopped).await.unwrap_or_else(|_| {
            let what = format!("papad has not ended the watch within {:?}", self.patience);
            Err(Error::new(ErrorKind::Timeout, what))
        })
    }
}

/// Ends when nothing is left to watch; after an error it may go on.
impl Stream for Watcher {
    type Item = Result<Batch>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_batch(context)
    }
}

/// What was acknowledged papad may not have heard; what was not comes to whoever watches next.
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
