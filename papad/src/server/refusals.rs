//! What the log says of who was not let in, at a bounded rate: whoever may connect could fill the
//! disk with it otherwise.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log;
use crate::processes::Waker;

/// So many refusals are told of within [`PERIOD`]; the others are counted.
const MOST_TOLD: u32 = 20;

/// Counted from the first refusal on.
const PERIOD: Duration = Duration::from_secs(10);

/// Refusals of the period that has begun, if one has.
pub(super) struct Refusals {
    period: Mutex<Option<Period>>,
    /// There is something to be said when the period is over.
    waker: Waker,
}

struct Period {
    began: Instant,
    told: u32,
    untold: u64,
}

impl Refusals {
    pub(super) fn new() -> io::Result<Refusals> {
        Ok(Refusals { period: Mutex::new(None), waker: Waker::new()? })
    }

    /// Says who is refused and why, or counts it.
    pub(super) fn tell(&self, what: fmt::Arguments) {
        self.settle();
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let period =
            period.get_or_insert_with(|| Period { began: Instant::now(), told: 0, untold: 0 });
        if period.told < MOST_TOLD {
            period.told += 1;
            log::warn!("server", "{what}");
        } else {
            period.untold += 1;
            self.waker.wake();
        }
    }

    /// Says how many were only counted, if their period is over. Returns how long it is until then,
    /// if there are any.
    pub(super) fn settle(&self) -> Option<Duration> {
        self.waker.rearm();
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let Period { began, untold, .. } = period.as_ref()?;
        let left = PERIOD.saturating_sub(began.elapsed());
        if left.is_zero() {
            if *untold > 0 {
                let seconds = PERIOD.as_secs();
                log::warn!("server", "refused {untold} more within {seconds} seconds");
            }
            *period = None;
            return None;
        }
        (*untold > 0).then_some(left)
    }
}

/// Readable when [`Refusals::settle`] may have something to say.
impl AsFd for Refusals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}
