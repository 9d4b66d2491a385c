//! A lock that keeps a second process manager out.

mod kept;
mod loss;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::calls;
use crate::client::Call;
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::papa::Papa;

pub use kept::KeptLock;
pub use loss::LockLost;
#[cfg(feature = "tokio")]
pub(crate) use loss::Next;

/// How long to believe that a lock is held, unless its session ends.
pub(crate) const TIME_TO_ASK: Duration = Duration::from_secs(1);

/// How long to wait before a lock is tried the second time, and at most before a later time.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(5);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A lock that is held: papad's value of this name, which is there for as long as this session is.
///
/// Locks and values share their names: a lock is taken away, too, by whoever removes or sets the
/// value of its name. Its descriptor does not tell that; [`Lock::is_held`] does.
///
/// It is released when it is dropped, when this program ends, however it ends, and when papad's
/// server does: papad then starts another server, but the session is over. A program that is to go
/// on then has the lock [kept](Lock::keep): it comes back by itself, and the program learns when it
/// is really lost. Otherwise whoever relies on the lock asks [`Lock::is_held`] before each thing that
/// two must not do at the same time, or polls its descriptor.
///
/// ```
/// # mod doc { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs")); }
/// # let _papad = doc::Papad::start();
/// use papa_client::{Endpoint, Lock};
///
/// let endpoint = Endpoint::from_env()?;
/// let Some(lock) = Lock::try_acquire(&endpoint, "manager")? else {
///     panic!("another manager is at work");
/// };
/// assert!(lock.is_held());
/// assert!(Lock::try_acquire(&endpoint, "manager")?.is_none());
/// lock.release()?;
/// # Ok::<(), papa_client::Error>(())
/// ```
#[must_use = "a lock is released when it is dropped"]
pub struct Lock {
    papa: Papa,
    claim: Claim,
    /// A duplicate of what the session waits for.
    descriptor: OwnedFd,
}

/// What one try to get a lock asks for.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) name: Name,
    /// The value: nobody else has ever set the same.
    pub(crate) token: Vec<u8>,
}

impl Claim {
    pub(crate) fn new(name: &[u8]) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The pid is for people who look at the value.
        let token = format!("pid-{}.{time}.{count}", process::id()).into_bytes();
        Ok(Self { name: Name::new(name)?, token })
    }

    /// The call that gets the lock, if it is free.
    pub(crate) fn acquire(&self) -> Result<Call<bool>> {
        calls::compare_and_set(self.name.as_bytes(), None, &self.token, true)
    }

    /// The call that gives it back, if it is held.
    pub(crate) fn release(&self) -> Result<Call<bool>> {
        calls::unset(self.name.as_bytes(), Some(&self.token))
    }

    pub(crate) fn too_late(&self) -> Error {
        let what = format!("the lock {} was not to be had in time", self.name);
        Error::new(ErrorKind::Timeout, what)
    }
}

impl Lock {
    /// Takes the lock if nobody holds it; `None` if somebody does.
    ///
    /// # Errors
    /// As [`Papa::connect`].
    pub fn try_acquire(endpoint: &Endpoint, name: impl AsRef<[u8]>) -> Result<Option<Self>> {
        let claim = Claim::new(name.as_ref())?;
        let papa = Papa::connect(endpoint)?;
        let descriptor = papa.duplicate_fd()?;
        let is_held = papa.call(claim.acquire()?)?;
        Ok(is_held.then_some(Self { papa, claim, descriptor }))
    }

    /// Takes the lock as soon as nobody holds it, or gives up after some time. It is tried again
    /// and again, about four times a second; who waits longest is not served first.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if somebody else has held it all the time, or papad does not answer.
    pub fn acquire(
        endpoint: &Endpoint,
        name: impl AsRef<[u8]>,
        patience: Duration,
    ) -> Result<Self> {
        let claim = Claim::new(name.as_ref())?;
        let deadline = Deadline::after(patience);
        let left = || deadline.left_of(endpoint.deadline);
        let mut pause = FIRST_PAUSE;
        let mut papa = Papa::connect_within(endpoint, left())?;
        loop {
            match papa.call_within(claim.acquire()?, left()) {
                Ok(true) => {
                    let descriptor = papa.duplicate_fd()?;
                    return Ok(Self { papa, claim, descriptor });
                }
                Ok(false) => {}
                // Whatever was done for that session is undone.
                Err(error) if error.kind() == ErrorKind::Disconnected => {
                    papa = Papa::connect_within(endpoint, left())?;
                }
                Err(error) => return Err(error),
            }
            thread::sleep(deadline.left_of(pause));
            if deadline.has_passed() {
                return Err(claim.too_late());
            }
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Whether it is held still. papad is asked: false, too, when it does not answer.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.check().unwrap_or(false)
    }

    /// Whether it is held still, for who has to know a lock that is lost from one of which nothing
    /// is heard. False if its value was removed or set by somebody.
    ///
    /// # Errors
    /// [`ErrorKind::Disconnected`] if it was lost with its session; [`ErrorKind::Timeout`] if papad
    /// does not answer, which says nothing about the lock.
    pub fn check(&self) -> Result<bool> {
        let value = self.papa.get(&self.claim.name)?;
        Ok(value.as_ref() == Some(&self.claim.token))
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
    pub fn release(self) -> Result<bool> {
        self.papa.call(self.claim.release()?)
    }
}

/// Becomes readable when the lock is lost with its session. Whether somebody has removed its value
/// [`Lock::is_held`] tells.
impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lock").field(&self.claim.name).finish()
    }
}
