//! A lock that keeps a second process manager out.

use std::fmt;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Papa;
use super::drive::Waiter;
use crate::endpoint::Endpoint;
use crate::error::{ErrorKind, Result};
use crate::lock::{Claim, FIRST_PAUSE, LONGEST_PAUSE, TIME_TO_ASK};
use crate::name::Name;

/// A lock that is held: [`papa_client::Lock`](crate::Lock) with calls to await.
#[must_use = "a lock is released when it is dropped"]
pub struct Lock {
    pub(super) papa: Papa,
    pub(super) claim: Claim,
    pub(super) waiter: Waiter,
}

impl Lock {
    /// Takes the lock if nobody holds it; `None` if somebody does.
    ///
    /// # Errors
    /// As [`Papa::connect`].
    pub async fn try_acquire(endpoint: &Endpoint, name: impl AsRef<[u8]>) -> Result<Option<Self>> {
        let claim = Claim::new(name.as_ref())?;
        let papa = Papa::connect(endpoint).await?;
        Self::claim(&papa, &claim).await
    }

    /// Takes the lock as soon as nobody holds it, or gives up after some time. It is tried again
    /// and again, about four times a second; who waits longest is not served first.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if somebody else has held it all the time, or papad does not answer.
    pub async fn acquire(
        endpoint: &Endpoint,
        name: impl AsRef<[u8]>,
        patience: Duration,
    ) -> Result<Self> {
        let claim = Claim::new(name.as_ref())?;
        let acquired = timeout(patience, Self::try_until_acquired(endpoint, &claim)).await;
        acquired.unwrap_or_else(|_| Err(claim.too_late()))
    }

    async fn try_until_acquired(endpoint: &Endpoint, claim: &Claim) -> Result<Self> {
        let mut pause = FIRST_PAUSE;
        let mut papa = Papa::connect(endpoint).await?;
        loop {
            match Self::claim(&papa, claim).await {
                Ok(Some(lock)) => return Ok(lock),
                Ok(None) => {}
                // Whatever was done for that session is undone.
                Err(error) if error.kind() == ErrorKind::Disconnected => {
                    papa = Papa::connect(endpoint).await?;
                }
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    pub(super) async fn claim(papa: &Papa, claim: &Claim) -> Result<Option<Self>> {
        let waiter = Waiter::new(papa.duplicate_fd().await?)?;
        let is_held = papa.call(claim.acquire()?).await?;
        let (papa, claim) = (papa.clone(), claim.clone());
        Ok(is_held.then_some(Self { papa, claim, waiter }))
    }

    /// Whether it is held still. papad is asked: false, too, when it does not answer.
    pub async fn is_held(&self) -> bool {
        let value = self.papa.get(&self.claim.name).await;
        value.is_ok_and(|value| value.as_ref() == Some(&self.claim.token))
    }

    /// Waits until the lock is lost: with its session at once, and if somebody has removed papad's
    /// value within a second or so. Any number of tasks may wait. When papad does not answer in
    /// time, it counts as lost.
    pub async fn lost(&self) {
        loop {
            // An answer to somebody who asks whether it is held makes it readable, too.
            let readable = timeout(TIME_TO_ASK, self.waiter.readable()).await;
            if matches!(readable, Ok(Err(_))) || !self.is_held().await {
                return;
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.claim.name
    }

    /// Gives it back: when this returns somebody else may take it. False if it was lost before.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] if it was lost with its session.
    pub async fn release(self) -> Result<bool> {
        self.papa.call(self.claim.release()?).await
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lock").field(&self.claim.name).finish()
    }
}
