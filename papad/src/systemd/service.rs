//! The service that papad is to systemd: what systemd is told of it, and keeps for it.
//!
//! What is held goes into carriers, which systemd stores. Nothing here waits: while systemd takes no
//! messages, they stay here, and there are no more of them than carriers, and a few.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use super::carriers::{self, Carried, Carriers, Request, Trouble};
use super::notifier::Notifier;
use super::obstacle::Obstacle;
use crate::link::Held;
use crate::{log, sys};

/// The number of descriptors that the store has room for, which systemd tells from version 254 on.
pub(super) const STORE_SIZE: &str = "FDSTORE";

/// How long those who asked for it wait until something is stored or closed, if that cannot be done;
/// and until systemd is tried again, if it cannot be reached.
const PATIENCE: Duration = Duration::from_secs(1);

/// State that systemd was not told yet is forgotten beyond this many messages, the oldest first.
const MOST_STATES: usize = 16;

/// What somebody waits for.
#[derive(Clone, Copy)]
enum Ask {
    /// What is held outlives the keeper.
    Stored,
    /// What was dropped is closed.
    Closed,
}

#[derive(Clone, Copy)]
struct Block {
    until: Instant,
    obstacle: Obstacle,
}

/// What the keeper is to wait for, beside everything else.
pub(crate) struct Blocked<'a> {
    /// Until this can be written to.
    pub(crate) socket: Option<BorrowedFd<'a>>,
    /// Or this time has come.
    pub(crate) until: Option<Instant>,
}

/// papad as systemd knows it. Without systemd, everything here does nothing.
pub(crate) struct Service {
    notifier: Option<Notifier>,
    carriers: Carriers,
    /// What systemd is to be told, before anything else.
    states: VecDeque<String>,
    requests: VecDeque<Request>,
    /// Names in the store that are none of papad's.
    unknown: VecDeque<String>,
    /// What an earlier version has stored under its own name. It goes when carriers have it.
    single: BTreeSet<Held>,
    /// papad answers, so that what takes long may be done.
    is_ready: bool,
    waiting: Vec<(OwnedFd, Ask)>,
    block: Option<Block>,
    /// The time of a block is up: nobody waits until it is over.
    gave_up: Option<Obstacle>,
}

impl Service {
    /// Speaks with systemd if that has started papad.
    pub(crate) fn from_environment() -> Service {
        let notifier = Notifier::from_environment().and_then(|connected| {
            connected.inspect_err(|error| log::error!("keeper", "no word to systemd: {error}")).ok()
        });
        let store_size = env::var(STORE_SIZE).ok().and_then(|size| size.parse().ok());
        Service {
            notifier,
            carriers: Carriers::new(store_size.unwrap_or(usize::MAX)),
            states: VecDeque::new(),
            requests: VecDeque::new(),
            unknown: VecDeque::new(),
            single: BTreeSet::new(),
            is_ready: false,
            waiting: Vec::new(),
            block: None,
            gave_up: None,
        }
    }

    /// Whether there is a systemd to speak with.
    pub(crate) fn is_there(&self) -> bool {
        self.notifier.is_some()
    }

    /// papad answers; also the end of `reloading`.
    pub(crate) fn ready(&mut self) {
        self.is_ready = true;
        self.tell(format!("READY=1\nMAINPID={}", std::process::id()));
    }

    /// papad is being upgraded; `ready` says that it is over.
    pub(crate) fn reloading(&mut self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        self.tell(format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// papad is about to end.
    pub(crate) fn stopping(&mut self) {
        self.tell("STOPPING=1".to_owned());
    }

    /// One line for a person who asks systemd how papad is.
    pub(crate) fn status(&mut self, line: &str) {
        self.tell(format!("STATUS={}", line.replace(char::is_control, " ")));
    }

    fn tell(&mut self, state: String) {
        if self.is_there() {
            if self.states.len() >= MOST_STATES {
                self.states.pop_front();
            }
            self.states.push_back(state);
        }
    }

    /// Takes over a carrier that systemd has passed, and returns what is in it.
    ///
    /// # Errors
    /// Not everything in it can be had. It stays as it was.
    pub(crate) fn adopt(&mut self, number: u64, receiver: OwnedFd) -> io::Result<Vec<Carried>> {
        self.carriers.adopt(number, receiver)
    }

    /// Takes over a carrier of the keeper before, where everything in it is held.
    ///
    /// # Errors
    /// It cannot be looked into. It stays as it was.
    pub(crate) fn adopt_held(&mut self, number: u64, receiver: OwnedFd) -> io::Result<()> {
        self.carriers.adopt_held(number, receiver)
    }

    /// Whatever of the carriers is not held is not needed any more.
    pub(crate) fn keep_only(&mut self, held: &BTreeMap<Held, OwnedFd>) {
        let names = self.carriers.packing().names();
        let unneeded: Vec<Held> = names.filter(|name| !held.contains_key(name)).collect();
        for name in unneeded {
            self.carriers.dropped(name, Instant::now());
        }
    }

    /// Every carrier, by its number.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.carriers.receivers()
    }

    /// An earlier version has stored this under its own name.
    pub(crate) fn is_single(&mut self, name: Held) {
        if self.is_there() {
            self.single.insert(name);
            self.carriers.held(name);
        }
    }

    /// What the store has under names of its own.
    pub(crate) fn single(&self) -> &BTreeSet<Held> {
        &self.single
    }

    /// Whether this is held for long and is not to be stored: systemd has it elsewhere.
    pub(crate) fn is_elsewhere(&self, name: Held) -> bool {
        let is_to_be_stored = self.carriers.packing().knows(name) || self.single.contains(&name);
        self.is_there() && name.is_stored() && !is_to_be_stored
    }

    /// systemd's store has something under a name that papad does not know.
    pub(crate) fn remove_unknown(&mut self, name: String) {
        if self.is_there() {
            self.unknown.push_back(name);
        }
    }

    /// Something else is held under this name than before.
    pub(crate) fn held(&mut self, name: Held) {
        if self.is_there() && name.is_stored() {
            self.carriers.held(name);
        }
    }

    /// Nothing is held under this name any more.
    pub(crate) fn dropped(&mut self, name: Held) {
        self.carriers.dropped(name, Instant::now());
    }

    /// Says in `done`, and closes it, when everything that was held until now is stored. Without a
    /// word it is closed if the keeper is killed before.
    pub(crate) fn when_stored(&mut self, done: Option<OwnedFd>) {
        self.waiting.extend(done.map(|done| (done, Ask::Stored)));
    }

    /// Says in `done`, and closes it, when everything that was dropped until now is closed.
    pub(crate) fn when_closed(&mut self, done: Option<OwnedFd>) {
        if done.is_some() {
            self.carriers.tidy();
        }
        self.waiting.extend(done.map(|done| (done, Ask::Closed)));
    }

    /// What to wait for before `flush` is of use again; `None` if nothing is left to do.
    pub(crate) fn blocked(&self) -> Option<Blocked<'_>> {
        let tidy_at = self.carriers.packing().until();
        let Some(Block { until, obstacle }) = self.block else {
            return tidy_at.map(|until| Blocked { socket: None, until: Some(until) });
        };
        let socket = self.notifier.as_ref().filter(|_| obstacle == Obstacle::QueueFull);
        // What ends by itself is waited for, and nothing is tried in vain.
        let is_tried_again = matches!(obstacle, Obstacle::Unreachable | Obstacle::Refused(_));
        let until = (is_tried_again || self.gave_up.is_none()).then_some(until);
        let until = until.into_iter().chain(tidy_at).min();
        Some(Blocked { socket: socket.map(AsFd::as_fd), until })
    }

    /// Stores what is held, closes what was dropped, and tells systemd, as far as that can be done
    /// at once.
    pub(crate) fn flush(&mut self, held: &BTreeMap<Held, OwnedFd>) {
        let now = Instant::now();
        match if self.is_there() { self.work(held, now) } else { Ok(()) } {
            Ok(()) => {
                self.block = None;
                if let Some(obstacle) = self.gave_up.take() {
                    log::info!("keeper", "{}", obstacle.is_gone());
                }
            }
            Err(obstacle) => {
                let until = self.block.map_or(now + PATIENCE, |block| block.until);
                if until <= now && self.gave_up.is_none() {
                    self.gave_up = Some(obstacle);
                    log::error!(
                        "keeper",
                        "{}",
                        obstacle.what_it_means(self.carriers.packing().is_safe())
                    );
                }
                let until = if until <= now { now + PATIENCE } else { until };
                self.block = Some(Block { until, obstacle });
            }
        }
        let packing = self.carriers.packing();
        let (is_safe, is_tidy) = (packing.is_safe(), packing.is_tidy());
        let gave_up = self.gave_up.is_some();
        self.waiting.retain(|(done, ask)| {
            let is_done = match ask {
                Ask::Stored => is_safe,
                Ask::Closed => is_tidy,
            };
            let is_over = is_done || gave_up;
            if is_over {
                say_done(done);
            }
            !is_over
        });
    }

    /// Does what can be done, and says what is in the way of the rest.
    fn work(&mut self, held: &BTreeMap<Held, OwnedFd>, now: Instant) -> Result<(), Obstacle> {
        let packed = loop {
            let advanced = self.carriers.advance(held, now, &mut self.requests, self.single.len());
            let asked = self.requests.len();
            self.send_all()?;
            let removed = if self.is_ready { self.remove_single(held)? } else { 0 };
            // Where the store was full, there is room for a carrier after this.
            if asked == 0 && removed == 0 {
                break advanced;
            }
        };
        packed.map_err(|trouble| match trouble {
            Trouble::NoRoom => Obstacle::NoRoom,
            Trouble::Refused(error) => {
                Obstacle::Refused(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
            }
        })
    }

    /// Tells systemd everything that there is to tell, states first.
    fn send_all(&mut self) -> Result<(), Obstacle> {
        while let Some(state) = self.states.front().cloned() {
            self.send(&state, None)?;
            self.states.pop_front();
        }
        while let Some(name) = self.unknown.front().cloned() {
            self.send(&removal(name), None)?;
            self.unknown.pop_front();
        }
        while let Some(request) = self.requests.front() {
            match *request {
                Request::Store(number) => {
                    // systemd is not to remove it because nobody has the other end.
                    let name = carriers::name_of(number);
                    self.send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), Some(number))?;
                    self.carriers.stored(number);
                    sys::kill_point("carrier-stored");
                }
                Request::Remove(number) => {
                    self.send(&removal(carriers::name_of(number)), None)?;
                    sys::kill_point("carrier-removed");
                }
            }
            self.requests.pop_front();
        }
        Ok(())
    }

    /// Removes what carriers have, too, and what is not held any more; returns how many that were.
    fn remove_single(&mut self, held: &BTreeMap<Held, OwnedFd>) -> Result<usize, Obstacle> {
        let packing = self.carriers.packing();
        let unneeded = |name: &&Held| packing.has_safe(**name) || !held.contains_key(name);
        let unneeded: Vec<Held> = self.single.iter().filter(unneeded).copied().collect();
        for name in &unneeded {
            self.send(&removal(name), None)?;
            self.single.remove(name);
        }
        Ok(unneeded.len())
    }

    fn send(&mut self, text: &str, carrier: Option<u64>) -> Result<(), Obstacle> {
        let Some(notifier) = &mut self.notifier else { return Ok(()) };
        let fds: Vec<BorrowedFd> =
            carrier.into_iter().filter_map(|number| self.carriers.receiver(number)).collect();
        if carrier.is_some() && fds.is_empty() {
            // It was not needed for long.
            return Ok(());
        }
        match notifier.send(text, &fds) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Obstacle::QueueFull),
            Err(error) => {
                log::debug!("keeper", "systemd was not told: {error}");
                Err(Obstacle::Unreachable)
            }
        }
    }
}

/// Lets whoever waits go on.
fn say_done(done: &OwnedFd) {
    // Nobody may wait any more.
    let _ = nix::unistd::write(done, b".");
}

fn removal(name: impl std::fmt::Display) -> String {
    format!("FDSTOREREMOVE=1\nFDNAME={name}")
}
