//! What the server does when the keeper does not respond.
//!
//! A stopped keeper takes no messages, and the queue to it becomes full. Nothing waits for it for
//! long then: what needs the keeper is refused, and what it is to drop is noted and sent later.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use super::{Held, crowded};
use crate::{log, sys};

/// How long to wait for the keeper to receive some of what was sent, where no more may be in flight.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is known of the other side, and what it was not told yet.
#[derive(Default)]
pub(super) struct Delivery {
    /// It has not taken a message in time. Until it takes one, nobody waits for it.
    is_stalled: AtomicBool,
    /// The keeper is to drop these. No name has another descriptor later, but for those that are
    /// taken out when they are held again.
    undropped: Mutex<BTreeSet<Held>>,
}

impl Delivery {
    /// Sends to the keeper, and waits no longer than the socket's timeout.
    ///
    /// # Errors
    /// `TimedOut` if the keeper does not respond; otherwise what sendmsg(2) says.
    pub(super) fn send(&self, to: BorrowedFd, text: &str, fds: &[BorrowedFd]) -> io::Result<()> {
        let sent = if self.is_stalled.load(Ordering::Relaxed) {
            let sent = sys::send_now(to, text.as_bytes(), fds);
            sent.and_then(|is_sent| if is_sent { Ok(()) } else { Err(Errno::EAGAIN.into()) })
        } else {
            // A keeper that has just been started is sent all there is, and receives none of it yet.
            crowded(PATIENCE, || sys::send(to, text.as_bytes(), fds))
        };
        self.note(sent)
    }

    /// As [`Delivery::send`], but waits for as long as it takes.
    pub(super) fn send_in_the_end(&self, to: BorrowedFd, text: &str) -> io::Result<()> {
        loop {
            // Each waits for the socket's timeout.
            let sent = self.note(sys::send(to, text.as_bytes(), &[]));
            if !sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut) {
                return sent;
            }
        }
    }

    /// Notes what became of a message, and logs that the keeper does not respond, or does again.
    fn note(&self, sent: io::Result<()>) -> io::Result<()> {
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !self.is_stalled.swap(true, Ordering::Relaxed) {
                    log::error!("server", "{UNRESPONSIVE}; what needs it is refused meanwhile");
                }
                Err(unresponsive())
            }
            sent => {
                if sent.is_ok() && self.is_stalled.swap(false, Ordering::Relaxed) {
                    log::info!("server", "the keeper responds again");
                }
                sent
            }
        }
    }

    /// The keeper is to drop these as soon as it can be told.
    pub(super) fn drop_later(&self, names: &[Held]) {
        self.lock().extend(names);
    }

    /// These are held again.
    pub(super) fn keep(&self, names: impl Iterator<Item = Held>) {
        let mut undropped = self.lock();
        if !undropped.is_empty() {
            for name in names {
                undropped.remove(&name);
            }
        }
    }

    /// What the keeper is to drop and was not told of, if it takes messages.
    pub(super) fn take_undropped(&self) -> Vec<Held> {
        if self.is_stalled.load(Ordering::Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }

    /// There is another keeper, which is handed all there is.
    pub(super) fn start_over(&self) {
        self.is_stalled.store(false, Ordering::Relaxed);
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<Held>> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.undropped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const UNRESPONSIVE: &str = "the keeper does not respond";

/// Why a request fails that needs the keeper.
pub(super) fn unresponsive() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, UNRESPONSIVE)
}
