//! A new keeper when the old one is gone.
//!
//! The server has everything that the keeper held. It starts another keeper, has that hold it all,
//! and lets a server take over that is the new keeper's child, as in an upgrade: what is spawned by
//! that one has a keeper for its parent again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use super::Server;
use super::upgrade::PARTING_TIME;
use crate::link::{Held, Link, ToKeeper};
use crate::{keeper, launch, limit, log, sys};

/// If it fails, it is tried again after a pause, which doubles from the first of these to the last.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long sessions may take to stop at first, and how often they are given only so long: a
/// request that takes longer holds nobody up, and is not given up at once.
const SHORT_PARTING_TIME: Duration = Duration::from_millis(200);
const PATIENT_TRIES: u32 = 12;

impl Server {
    /// Starts a new keeper, and ends this server when another has taken over.
    pub(super) fn revive_keeper(&self) -> ! {
        log::error!("server", "the keeper is gone; starting another");
        let (mut pause, mut tries) = (SHORTEST_PAUSE, 0);
        loop {
            self.gate.close();
            let reserve = keeper::Reserve::take();
            let is_last_try = tries >= PATIENT_TRIES;
            let patience = if is_last_try { PARTING_TIME } else { SHORT_PARTING_TIME };
            // Whoever is still busy at the last try is lost, as if this server had been killed.
            if self.wait_for_all(Instant::now() + patience) || is_last_try {
                match self.hand_over_to_keeper() {
                    Ok(true) => log::exit(0),
                    Ok(false) => log::error!("server", "no server of the new keeper takes over"),
                    Err(error) => log::error!("server", "a keeper cannot be started: {error}"),
                }
            }
            drop(reserve);
            self.gate.open();
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
            tries += 1;
        }
    }

    /// Starts a keeper, with a link to it in place of the one that is broken, and hands it everything;
    /// false if nobody takes over from this server.
    fn hand_over_to_keeper(&self) -> io::Result<bool> {
        let (keepers, ours) = Link::pair()?;
        let left = keeper::leave_link(&self.life.start, self.life.skipped, &keepers)?;
        let mut keeper = launch::start_keeper(left.into())?;
        // This end is the keeper's alone: when that is gone, so is the link.
        drop(keepers);
        let handed = self.link.replace(&ours).and_then(|()| {
            self.hold_everything()?;
            self.hand_over(&ToKeeper::Succeed)
        });
        let is_taken = handed.and_then(super::upgrade::wait_for);
        if !matches!(is_taken, Ok(true)) {
            // Left to itself it would take this server for dead, and start one of its own.
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
        is_taken
    }

    /// Has the keeper hold everything, since it could not take a message with descriptors.
    pub(super) fn hold_again(&self) {
        // It may be at its limit: this is not to be all that it does.
        thread::sleep(SHORTEST_PAUSE);
        // What was being made when the message was sent is in the tables after this.
        while self.journal.hold_still().is_none() {
            thread::sleep(SHORTEST_PAUSE);
        }
        limit::insist(|| self.hold_everything(), || "the keeper does not hold all".to_owned());
        log::warn!("server", "what is held was handed to the keeper again");
    }

    fn hold_everything(&self) -> io::Result<()> {
        let control: Vec<(Held, BorrowedFd)> =
            self.control.iter().map(|(name, fd)| (*name, fd.as_fd())).collect();
        self.link.hold(&control)?;
        self.journal.hold(|number, file| self.link.hold(&[(Held::Journal(number), file)]))?;
        self.values.hold_lock(|lock| self.link.hold(&[(Held::StateLock, lock)]))?;
        self.sockets.hold_all()?;
        self.processes.hold_all()
    }
}

/// Duplicates of papad's own sockets, to be held by another keeper.
pub(super) fn duplicates(control: &[(Held, OwnedFd)]) -> io::Result<Vec<(Held, OwnedFd)>> {
    control.iter().map(|(name, fd)| Ok((*name, sys::keep(fd.try_clone()?)))).collect()
}
