//! How much all rings together may come to hold. A ring takes memory only as it fills, so this
//! counts what was promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papa_protocol::exact::Failure;

use crate::bounds::{Bound, Bounds};

/// Bytes promised to all rings.
pub(crate) struct Buffers {
    bounds: Arc<Bounds>,
    promised: Arc<AtomicU64>,
}

/// What is promised to one ring, until this is dropped.
pub(crate) struct Share {
    bytes: u64,
    promised: Arc<AtomicU64>,
}

impl Buffers {
    pub(super) fn new(bounds: Arc<Bounds>) -> Buffers {
        Buffers { bounds, promised: Arc::default() }
    }

    /// Promises this to a new ring.
    ///
    /// # Errors
    /// All together would have more than they may.
    pub(super) fn promise(&self, bytes: u64) -> Result<Share, Failure> {
        let share = self.promise_again(bytes);
        // Whoever asks at the same time may be refused, too, though one of them would fit.
        self.bounds.check_bytes(Bound::Buffers, self.promised()).map(|()| share)
    }

    /// What a ring has that is there already, whatever the bound says.
    pub(super) fn promise_again(&self, bytes: u64) -> Share {
        self.promised.fetch_add(bytes, Ordering::SeqCst);
        Share { bytes, promised: Arc::clone(&self.promised) }
    }

    /// Bytes.
    pub(crate) fn promised(&self) -> u64 {
        self.promised.load(Ordering::SeqCst)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.promised.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Allowed;

    #[test]
    fn what_is_not_needed_any_more_may_be_promised_again() {
        let mut allowed = Allowed::default();
        allowed.set(Bound::Buffers, 100);
        let buffers = Buffers::new(Arc::new(Bounds::new(allowed)));
        let share = buffers.promise(60).ok();
        assert!(buffers.promise(41).is_err());
        assert_eq!(buffers.promised(), 60);
        let other = buffers.promise(40).ok();
        assert!(other.is_some());
        drop(share);
        assert_eq!(buffers.promised(), 40);
        // One that is there already is never refused.
        let _recovered = buffers.promise_again(1000);
        assert!(buffers.promise(1).is_err());
        assert_eq!(buffers.promised(), 1040);
    }
}
