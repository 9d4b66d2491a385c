//! A lock that comes back by itself when papad's server was killed.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Lock, Papa};
use crate::error::Result;
use crate::lock::{Claim, FIRST_PAUSE, LONGEST_PAUSE, LockLost, Next, TIME_TO_ASK};
use crate::name::Name;
use crate::papa::lock as locked;

/// A lock that is kept: [`papa_client::KeptLock`](crate::KeptLock) with a task instead of a thread.
#[must_use = "a lock is released when it is dropped"]
pub struct KeptLock {
    name: Name,
    held: Held,
    keeper: JoinHandle<()>,
    lost: watch::Receiver<Option<Arc<LockLost>>>,
}

/// The session that holds the lock; `None` when it is lost.
type Held = Arc<Mutex<Option<(Papa, Claim)>>>;

impl Lock {
    /// Has a task keep the lock: it takes it again when papad's server was killed, and reports when
    /// it is really lost. This must be called in a runtime.
    pub fn keep(self) -> KeptLock {
        let name = self.claim.name.clone();
        let held: Held = Arc::new(Mutex::new(Some((self.papa.clone(), self.claim.clone()))));
        let (tell, lost) = watch::channel(None);
        let theirs = Arc::clone(&held);
        let keeper = tokio::spawn(async move {
            let why = keep(self, &theirs).await;
            *locked(&theirs) = None;
            tell.send_replace(Some(Arc::new(why)));
        });
        KeptLock { name, held, keeper, lost }
    }
}

impl KeptLock {
    /// Waits until the lock is really lost, and returns why. Any number of tasks may wait.
    pub async fn lost(&self) -> Arc<LockLost> {
        let mut lost = self.lost.clone();
        if let Ok(why) = lost.wait_for(Option::is_some).await
            && let Some(why) = why.as_ref()
        {
            return Arc::clone(why);
        }
        // The runtime shuts down, and this task with it.
        pending().await
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Gives it back: when this returns somebody else may take it. False if it was lost before.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`](crate::ErrorKind::Disconnected) if it was lost with its session.
    pub async fn release(mut self) -> Result<bool> {
        self.keeper.abort();
        // It was stopped just now, or before.
        let _ = (&mut self.keeper).await;
        let held = locked(&self.held).take();
        match held {
            Some((papa, claim)) => papa.call(claim.release()?).await,
            None => Ok(false),
        }
    }
}

impl Drop for KeptLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl fmt::Debug for KeptLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeptLock").field(&self.name).finish()
    }
}

/// Keeps the lock until it is lost.
async fn keep(mut lock: Lock, held: &Held) -> LockLost {
    loop {
        if let Ok(Err(error)) = timeout(TIME_TO_ASK, lock.waiter.readable()).await
            && let Next::Stop(why) = lock.claim.on_error(error)
        {
            return why;
        }
        match lock.claim.on_value(lock.papa.get(&lock.claim.name).await) {
            Next::Wait => {}
            Next::Stop(why) => return why,
            Next::TakeAgain => match take_again(&lock).await {
                Ok(taken) => {
                    *locked(held) = Some((taken.papa.clone(), taken.claim.clone()));
                    lock = taken;
                }
                Err(why) => return why,
            },
        }
    }
}

/// Takes a lock again whose session has ended.
async fn take_again(lock: &Lock) -> Result<Lock, LockLost> {
    let claim = &lock.claim;
    let mut pause = FIRST_PAUSE;
    loop {
        let next = match Papa::connect(lock.papa.endpoint()).await {
            Ok(papa) => match Lock::claim(&papa, claim).await {
                Ok(Some(taken)) => return Ok(taken),
                Ok(None) => claim.on_refusal(papa.get(&claim.name).await),
                Err(error) => claim.on_error(error),
            },
            Err(error) => claim.on_error(error),
        };
        if let Next::Stop(why) = next {
            return Err(why);
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
