//! Where a server's threads stop when it hands over to its successor.
//!
//! A thread stops only where it has nothing half done. When all have, what there is to know of
//! their sessions can be told, and nothing changes any more.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::journal::Record;

/// What is told of one session.
pub(crate) type Parcel = Vec<Record>;

/// A gate that is open as long as the server works.
pub(crate) struct Gate {
    is_closed: AtomicBool,
    /// Readable while it is closed, for those who wait in poll(2).
    notice: EventFd,
    state: Mutex<State>,
    changed: Condvar,
    last_number: AtomicU64,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// How often it was closed: who waits since an earlier time goes on.
    round: u64,
    stopped: usize,
    told: usize,
    parcels: Vec<Parcel>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    Closing,
    /// All have stopped: each says now what there is to say.
    Telling,
}

impl Gate {
    pub(crate) fn new() -> io::Result<Gate> {
        let notice = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Gate {
            is_closed: AtomicBool::new(false),
            notice,
            state: Mutex::default(),
            changed: Condvar::new(),
            last_number: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether threads are to stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// A number for a descriptor that is handed over.
    pub(crate) fn number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Stops here while the gate is closed. When everybody has stopped, `tell` is asked.
    pub(crate) fn stop(&self, tell: impl FnOnce() -> Parcel) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            return;
        }
        let round = state.round;
        state.stopped += 1;
        self.changed.notify_all();
        while state.round == round && state.phase == Phase::Closing {
            state = self.wait(state);
        }
        if state.round == round && state.phase == Phase::Telling {
            drop(state);
            let parcel = tell();
            state = self.lock();
            state.parcels.push(parcel);
            state.told += 1;
            self.changed.notify_all();
        }
        while state.round == round && state.phase != Phase::Open {
            state = self.wait(state);
        }
    }

    /// Closes it. Threads stop at it from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        *state = State { phase: Phase::Closing, round: state.round + 1, ..State::default() };
        self.is_closed.store(true, Ordering::SeqCst);
        // The counter is nowhere near full, so nothing but a signal makes this fail.
        while self.notice.write(1) == Err(Errno::EINTR) {}
    }

    /// Waits until as many threads have stopped as there are; false if that takes too long.
    pub(crate) fn wait_for_all(&self, count: impl Fn() -> usize, until: Instant) -> bool {
        let mut state = self.lock();
        while state.stopped < count() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Looks again whether all have stopped: there is one less to wait for.
    pub(crate) fn one_less(&self) {
        if self.is_closed() {
            // Held so that whoever is about to wait has begun to.
            let _state = self.lock();
            self.changed.notify_all();
        }
    }

    /// What all who have stopped have to tell.
    pub(crate) fn collect(&self) -> Vec<Parcel> {
        let mut state = self.lock();
        state.phase = Phase::Telling;
        self.changed.notify_all();
        while state.told < state.stopped {
            state = self.wait(state);
        }
        std::mem::take(&mut state.parcels)
    }

    /// Opens it again: everybody goes on.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        self.is_closed.store(false, Ordering::SeqCst);
        // Empty if it is open already.
        while self.notice.read() == Err(Errno::EINTR) {}
        state.phase = Phase::Open;
        self.changed.notify_all();
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notice.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn told() -> Parcel {
        vec![Record::new("told")]
    }

    #[test]
    fn all_stop_and_tell_and_go_on_and_stop_again() {
        let gate = Arc::new(Gate::new().unwrap());
        gate.close();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || {
                    gate.stop(told);
                    // The gate is open for a moment, which may be seen or not.
                    while !gate.is_closed() {
                        thread::yield_now();
                    }
                    gate.stop(told);
                })
            })
            .collect();
        assert!(gate.wait_for_all(|| 3, later()));
        assert_eq!(gate.collect().len(), 3);
        gate.open();
        gate.close();
        assert!(gate.wait_for_all(|| 3, later()));
        assert_eq!(gate.collect().len(), 3);
        gate.open();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!gate.is_closed());
    }

    #[test]
    fn who_does_not_stop_is_not_waited_for_for_ever() {
        let gate = Gate::new().unwrap();
        gate.close();
        assert!(!gate.wait_for_all(|| 1, Instant::now()));
        gate.open();
        // An open gate stops nobody.
        gate.stop(told);
    }
}
