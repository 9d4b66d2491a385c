//! A lock that comes back by itself when papad's server was killed.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::loss::{LockLost, Next};
use super::{FIRST_PAUSE, LONGEST_PAUSE, Lock, TIME_TO_ASK};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::name::Name;
use crate::papa::Papa;
use crate::sys;

/// A lock that is kept: a thread takes it again when papad's server was killed, and reports when it
/// is really lost, which is when somebody else has taken it or has removed its value.
///
/// Between the end of papad's server and the moment when the lock is taken again, some milliseconds,
/// nobody holds it. If somebody else takes it then, this one is lost, and two have believed to hold
/// it for that long. That somebody has removed the value is found out within a second or so.
///
/// Its descriptor becomes readable, for good, when the lock is lost. It is released when it is
/// dropped, and when this program ends, however it ends.
///
/// ```
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
/// # let _papad = doc::Papad::start();
/// use papa_client::{Endpoint, Lock};
///
/// let endpoint = Endpoint::from_env()?;
/// let lock = Lock::try_acquire(&endpoint, "manager")?.expect("another manager is at work");
/// // Two managers would do harm, so this one is not to go on, whatever it is doing.
/// let lock = lock.keep(|lost| {
///     eprintln!("manager: {lost}");
///     std::process::exit(1);
/// })?;
/// assert!(lock.lost().is_none());
/// lock.release()?;
/// # Ok::<(), papa_client::Error>(())
/// ```
#[must_use = "a lock is released when it is dropped"]
pub struct KeptLock {
    name: Name,
    shared: Arc<Shared>,
    /// Returns the lock if it is held when the thread is stopped.
    keeper: Option<JoinHandle<Option<Lock>>>,
}

struct Shared {
    why: OnceLock<LockLost>,
    /// Readable when the lock is lost.
    lost: EventFd,
    /// Readable when the thread is to stop.
    stop: EventFd,
}

impl Lock {
    /// Has a thread of its own keep the lock. `on_lost` is called on that thread, once, if the lock
    /// is really lost.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if there is no thread or descriptor for it; the lock is released
    /// then.
    pub fn keep(self, on_lost: impl FnOnce(&LockLost) + Send + 'static) -> Result<KeptLock> {
        let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let events = event().and_then(|lost| Ok((lost, event()?)));
        let (lost, stop) =
            events.map_err(|errno| Error::io("no descriptor to keep a lock with", errno))?;
        let shared = Arc::new(Shared { why: OnceLock::new(), lost, stop });
        let (name, theirs) = (self.claim.name.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("papa-lock".to_owned());
        let keeper = thread.spawn(move || {
            let kept = theirs.keep(self);
            if let Err(why) = kept {
                let why = theirs.why.get_or_init(|| why);
                signal(&theirs.lost);
                on_lost(why);
                return None;
            }
            kept.ok()
        });
        let keeper = keeper.map_err(|error| Error::io("no thread to keep a lock with", error))?;
        Ok(KeptLock { name, shared, keeper: Some(keeper) })
    }
}

impl KeptLock {
    /// Why it was lost, if it was. Nobody is asked for that.
    #[must_use]
    pub fn lost(&self) -> Option<&LockLost> {
        self.shared.why.get()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Gives it back: when this returns somebody else may take it. False if it was lost before.
    ///
    /// # Errors
    /// As [`Lock::release`].
    pub fn release(mut self) -> Result<bool> {
        signal(&self.shared.stop);
        // A panic in there is the caller's own, in `on_lost`.
        let kept = self.keeper.take().and_then(|keeper| keeper.join().ok().flatten());
        kept.map_or(Ok(false), Lock::release)
    }
}

impl Drop for KeptLock {
    fn drop(&mut self) {
        // The thread drops the lock. It may just be waiting for a papad that does not answer, and
        // is not waited for.
        signal(&self.shared.stop);
    }
}

/// Becomes readable, for good, when the lock is lost.
impl AsFd for KeptLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.lost.as_fd()
    }
}

impl fmt::Debug for KeptLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeptLock").field(&self.name).finish()
    }
}

impl Shared {
    /// Keeps the lock until it is told to stop, and returns it then.
    fn keep(&self, mut lock: Lock) -> Result<Lock, LockLost> {
        while !self.is_stopped_within(TIME_TO_ASK, Some(&lock)) {
            match lock.claim.on_value(lock.papa.get(&lock.claim.name)) {
                Next::Wait => {}
                Next::Stop(why) => return Err(why),
                Next::TakeAgain => match self.take_again(&lock)? {
                    Some(taken) => lock = taken,
                    None => return Ok(lock),
                },
            }
        }
        Ok(lock)
    }

    /// Takes a lock again whose session has ended; `None` if it is told to stop before.
    fn take_again(&self, lock: &Lock) -> Result<Option<Lock>, LockLost> {
        let mut pause = FIRST_PAUSE;
        loop {
            match lock.try_again() {
                Ok(taken) => return Ok(Some(taken)),
                Err(Next::Stop(why)) => return Err(why),
                Err(Next::Wait | Next::TakeAgain) => {}
            }
            if self.is_stopped_within(pause, None) {
                return Ok(None);
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Waits for so long, or until the lock's session has ended. Returns whether to stop.
    fn is_stopped_within(&self, time: Duration, lock: Option<&Lock>) -> bool {
        let fds: Vec<BorrowedFd<'_>> =
            [self.stop.as_fd()].into_iter().chain(lock.map(AsFd::as_fd)).collect();
        let Ok(readable) = sys::wait_any_readable(&fds, Deadline::after(time)) else {
            // Without memory to wait with, the lock is looked at all the same.
            thread::sleep(FIRST_PAUSE);
            return false;
        };
        readable.first() == Some(&true)
    }
}

impl Lock {
    /// Tries once to take the lock over another session, with the same claim.
    fn try_again(&self) -> Result<Self, Next> {
        let Self { claim, papa: before, .. } = self;
        let try_it = || -> Result<Result<Self, Papa>> {
            let papa = Papa::connect(before.endpoint())?;
            let descriptor = papa.duplicate_fd()?;
            let is_held = papa.call(claim.acquire()?)?;
            let claim = claim.clone();
            Ok(if is_held { Ok(Self { papa, claim, descriptor }) } else { Err(papa) })
        };
        match try_it() {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(papa)) => Err(claim.on_refusal(papa.get(&claim.name))),
            Err(error) => Err(claim.on_error(error)),
        }
    }
}

fn signal(event: &EventFd) {
    // Apart from a signal, it fails only when the counter is full: then it is readable.
    while event.write(1) == Err(Errno::EINTR) {}
}
