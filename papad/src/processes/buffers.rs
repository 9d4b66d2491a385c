//! How much all rings together may come to hold, and how much they do. A ring takes memory only as
//! it fills: one is what was promised, the other what is in memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use papa_protocol::exact::Failure;

use super::eviction::Eviction;
use super::process::Process;
use super::waker::Waker;
use crate::bounds::{Bound, Bounds};

/// What all rings have.
pub(crate) struct Buffers {
    bounds: Arc<Bounds>,
    shared: Arc<Shared>,
    pub(super) eviction: Eviction,
}

struct Shared {
    /// Bytes promised to all rings.
    promised: AtomicU64,
    memory: Memory,
}

/// What all rings hold in memory.
pub(crate) struct Memory {
    /// Bytes that they may hold.
    allowed: u64,
    held: AtomicU64,
    /// Bytes of output that were dropped to make room, since this server started.
    evicted: AtomicU64,
    /// Processes whose pipes are left to fill until there is room.
    waiting: Mutex<Vec<Weak<Process>>>,
    has_waiting: AtomicBool,
    /// Wakes whoever has those go on.
    waker: Arc<Waker>,
}

/// What one ring has, until this is dropped.
pub(crate) struct Share {
    promised: u64,
    held: u64,
    shared: Arc<Shared>,
}

impl Buffers {
    pub(super) fn new(bounds: Arc<Bounds>, waker: Arc<Waker>) -> Buffers {
        let memory = Memory {
            allowed: bounds.allowed(Bound::OutputMemory),
            held: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            waiting: Mutex::default(),
            has_waiting: AtomicBool::new(false),
            waker,
        };
        let shared = Arc::new(Shared { promised: AtomicU64::new(0), memory });
        Buffers { bounds, shared, eviction: Eviction::default() }
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
        self.shared.promised.fetch_add(bytes, Ordering::SeqCst);
        Share { promised: bytes, held: 0, shared: Arc::clone(&self.shared) }
    }

    /// Bytes.
    pub(crate) fn promised(&self) -> u64 {
        self.shared.promised.load(Ordering::SeqCst)
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.shared.memory
    }
}

impl Memory {
    /// Bytes that all rings hold.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    /// Bytes of output that were dropped to make room, since this server started.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::SeqCst)
    }

    pub(super) fn note_evicted(&self, bytes: u64) {
        self.evicted.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Bytes that all rings may hold.
    pub(super) fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Bytes that all may hold when one whose output may not be dropped takes more: the last quarter
    /// is for others.
    pub(super) fn allowed_to_blocking(&self) -> u64 {
        self.allowed - self.allowed / 4
    }

    /// Bytes by which there is to be less than is allowed after room was made, so that it need not
    /// be made for every write.
    pub(super) fn headroom(&self) -> u64 {
        self.allowed / 64
    }

    /// How many processes wait for room.
    pub(crate) fn waiting(&self) -> usize {
        let waiting = self.lock_waiting().clone();
        waiting.iter().filter_map(Weak::upgrade).filter(|process| process.is_stuck()).count()
    }

    /// Has a process go on when there is room.
    pub(super) fn wait_for_room(&self, process: &Arc<Process>) {
        let mut waiting = self.lock_waiting();
        let new = Arc::downgrade(process);
        // One that could go on for a moment, since some of it was read, is there already.
        if !waiting.iter().any(|old| old.ptr_eq(&new)) {
            waiting.push(new);
        }
        drop(waiting);
        self.has_waiting.store(true, Ordering::SeqCst);
        // There may have come to be some meanwhile.
        self.wake_waiting();
    }

    /// Those that can go on, if there is room.
    pub(super) fn take_waiting(&self) -> Vec<Arc<Process>> {
        if !self.has_waiting.load(Ordering::SeqCst) || !self.has_room_for_waiting() {
            return Vec::new();
        }
        self.has_waiting.store(false, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.lock_waiting());
        waiting.iter().filter_map(Weak::upgrade).collect()
    }

    fn has_room_for_waiting(&self) -> bool {
        self.held() <= self.allowed_to_blocking() - self.headroom()
    }

    fn wake_waiting(&self) {
        if self.has_waiting.load(Ordering::SeqCst) && self.has_room_for_waiting() {
            self.waker.wake();
        }
    }

    fn lock_waiting(&self) -> MutexGuard<'_, Vec<Weak<Process>>> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Bytes that the ring holds.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// The ring holds so much now.
    pub(super) fn set_held(&mut self, bytes: u64) {
        let memory = &self.shared.memory;
        let before = std::mem::replace(&mut self.held, bytes);
        if bytes > before {
            memory.held.fetch_add(bytes - before, Ordering::SeqCst);
        } else if bytes < before {
            memory.held.fetch_sub(before - bytes, Ordering::SeqCst);
            memory.wake_waiting();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set_held(0);
        self.shared.promised.fetch_sub(self.promised, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::Allowed;

    fn buffers(bound: Bound, allowed_bytes: u64) -> Buffers {
        let mut allowed = Allowed::default();
        allowed.set(bound, allowed_bytes);
        Buffers::new(Arc::new(Bounds::new(allowed)), Arc::new(Waker::new().unwrap()))
    }

    #[test]
    fn what_is_not_needed_any_more_may_be_promised_again() {
        let buffers = buffers(Bound::Buffers, 100);
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

    #[test]
    fn what_all_hold_is_the_sum_of_what_each_does() {
        let buffers = buffers(Bound::OutputMemory, 1 << 20);
        let (mut one, mut other) = (buffers.promise_again(0), buffers.promise_again(0));
        one.set_held(60);
        other.set_held(50);
        one.set_held(10);
        assert_eq!((buffers.memory().held(), one.held(), other.held()), (60, 10, 50));
        drop(other);
        assert_eq!(buffers.memory().held(), 10);
    }

    #[test]
    fn who_waits_goes_on_when_there_is_room_and_not_before() {
        let buffers = buffers(Bound::OutputMemory, 1 << 20);
        let process = Arc::new(Process::new(
            1,
            b"a".to_vec(),
            super::super::Spec::default(),
            super::super::now(),
        ));
        let mut share = buffers.promise_again(0);
        share.set_held(1 << 20);
        let memory = buffers.memory();
        process.wait_for_room();
        memory.wait_for_room(&process);
        assert!(memory.take_waiting().is_empty());
        assert_eq!(memory.waiting(), 1);
        share.set_held(1 << 19);
        assert_eq!(memory.take_waiting().len(), 1);
        assert_eq!(memory.waiting(), 0);
    }
}
