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
use crate::{keeper, launch, log, sys};

/// If it fails, it is tried again after a pause, which doubles from the first of these to the last.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Server {
    /// Starts a new keeper, and ends this server when another has taken over.
    pub(super) fn revive_keeper(&self) -> ! {
        log::error!("server", "the keeper is gone; starting another");
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.gate.close();
            let reserve = keeper::Reserve::take();
            // Whoever is still busy by then is lost, as if this server had been killed.
            self.wait_for_all(Instant::now() + PARTING_TIME);
            let parted = self.start_keeper().and_then(|()| {
                self.hold_everything()?;
                self.hand_over(&ToKeeper::Succeed)
            });
            match parted.and_then(super::upgrade::wait_for) {
                Ok(true) => std::process::exit(0),
                Ok(false) => log::error!("server", "no server of the new keeper takes over"),
                Err(error) => log::error!("server", "a keeper cannot be started: {error}"),
            }
            drop(reserve);
            self.gate.open();
            thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Starts a keeper, and puts a link to it in place of the one that is broken.
    fn start_keeper(&self) -> io::Result<()> {
        let (keepers, ours) = Link::pair()?;
        let left = keeper::leave_link(&self.life.start, self.life.skipped, &keepers)?;
        launch::start_keeper(&self.options, left.into())?;
        self.link.replace(&ours)
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
