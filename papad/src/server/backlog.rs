//! What sessions keep in memory for clients that do not read, or do not finish a line: one bound for
//! all of it together, since what each may have adds up.
//!
//! Each session has a little of its own, so that it can always ask and be answered. What is beyond
//! comes from a pool: one for root and papad's own user, one for everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use papa_protocol::exact::Failure;

use super::places::Owner;
use crate::bounds::{Bound, Bounds};

/// Bytes that a session may keep in each direction without taking any from the pool.
pub(super) const OWN: u64 = 64 * 1024;

/// What all sessions keep beyond what is their own.
pub(super) struct Backlog {
    bounds: Arc<Bounds>,
    /// Bytes: of root and papad's own user, and of others.
    taken: [AtomicU64; 2],
}

/// What one session keeps in one direction, until this is dropped.
pub(super) struct Part {
    backlog: Arc<Backlog>,
    pool: usize,
    bytes: u64,
}

impl Backlog {
    pub(super) fn new(bounds: Arc<Bounds>) -> Backlog {
        Backlog { bounds, taken: Default::default() }
    }

    /// The part of a session of this owner.
    pub(super) fn part(self: &Arc<Backlog>, owner: Owner) -> Part {
        Part { backlog: Arc::clone(self), pool: usize::from(owner == Owner::Other), bytes: 0 }
    }

    /// Bytes that the users have who share the fuller pool.
    pub(super) fn taken(&self) -> u64 {
        let taken = self.taken.iter().map(|taken| taken.load(Ordering::SeqCst));
        taken.max().unwrap_or_default()
    }
}

impl Part {
    /// Keeps so many bytes more.
    ///
    /// # Errors
    /// All together would keep more than they may.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), Failure> {
        self.set(self.bytes + bytes as u64)
    }

    /// Keeps so many bytes from now on.
    ///
    /// # Errors
    /// As [`Part::add`].
    pub(super) fn set(&mut self, bytes: u64) -> Result<(), Failure> {
        let taken = &self.backlog.taken[self.pool];
        let (before, now) = (self.bytes.saturating_sub(OWN), bytes.saturating_sub(OWN));
        if now > before {
            let more = now - before;
            let allowed = self.backlog.bounds.allowed(Bound::Backlog);
            if taken.fetch_add(more, Ordering::SeqCst) + more > allowed {
                taken.fetch_sub(more, Ordering::SeqCst);
                return Err(self.backlog.bounds.refusal(Bound::Backlog));
            }
        } else {
            taken.fetch_sub(before - now, Ordering::SeqCst);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Keeps what there is already, whatever the bound says.
    pub(super) fn set_again(&mut self, bytes: u64) {
        self.clear();
        self.backlog.taken[self.pool].fetch_add(bytes.saturating_sub(OWN), Ordering::SeqCst);
        self.bytes = bytes;
    }

    /// Keeps nothing any more.
    pub(super) fn clear(&mut self) {
        let before = std::mem::take(&mut self.bytes).saturating_sub(OWN);
        self.backlog.taken[self.pool].fetch_sub(before, Ordering::SeqCst);
    }

    /// Adds so many bytes for a batch of output, or fewer if there is no room; returns how many.
    pub(super) fn add_batch(&mut self, wanted: u64) -> u64 {
        match self.add(wanted as usize) {
            Ok(()) => wanted,
            Err(_) => wanted.min(OWN / 2),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Allowed;

    fn backlog(bytes: u64) -> Arc<Backlog> {
        let mut allowed = Allowed::default();
        allowed.set(Bound::Backlog, bytes);
        Arc::new(Backlog::new(Arc::new(Bounds::new(allowed))))
    }

    #[test]
    fn all_parts_together_are_no_more_than_there_may_be() {
        let backlog = backlog(1000);
        let (mut one, mut other) = (backlog.part(Owner::Root), backlog.part(Owner::Own));
        one.add((OWN + 600) as usize).unwrap();
        assert!(other.add((OWN + 401) as usize).is_err());
        other.add(OWN as usize).unwrap();
        other.add(400).unwrap();
        assert_eq!(backlog.taken(), 1000);
        assert!(one.add(1).is_err());
        one.set(OWN + 599).unwrap();
        other.add(1).unwrap();
        drop(other);
        assert_eq!(backlog.taken(), 599);
        one.clear();
        assert_eq!(backlog.taken(), 0);
    }

    #[test]
    fn others_have_a_pool_of_their_own() {
        let backlog = backlog(1000);
        let mut other = backlog.part(Owner::Other);
        other.set(OWN + 1000).unwrap();
        assert!(backlog.part(Owner::Other).set(OWN + 1).is_err());
        assert!(backlog.part(Owner::Root).set(OWN + 1000).is_ok());
    }

    #[test]
    fn a_batch_is_small_where_there_is_no_room_for_a_large_one() {
        let backlog = backlog(1000);
        let mut part = backlog.part(Owner::Root);
        assert_eq!(part.add_batch(OWN + 1000), OWN + 1000);
        assert_eq!(part.add_batch(1 << 20), OWN / 2);
        part.set_again(1 << 30);
        assert!(part.add(1).is_err());
    }
}
