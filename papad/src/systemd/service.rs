//! The service that papad is to systemd: what systemd is told of it, and keeps for it.
//!
//! systemd's store is brought in step with what the keeper holds, name by name, so that it does not
//! matter how often a name has changed since. Nothing here waits: while systemd takes no messages,
//! they stay here, and there is no more of them than names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::env;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use super::notifier::Notifier;
use crate::link::Held;
use crate::log;

/// The number of descriptors that the store has room for, which systemd tells from version 254 on.
pub(super) const STORE_SIZE: &str = "FDSTORE";

/// The most bytes that the stored names may have together, each with a colon: systemd passes them
/// back in one variable, and no program can be started with one of more than 128 KiB (execve(2)).
/// What is left is for the names of socket units.
const MOST_NAME_BYTES: usize = 120 * 1024;

/// So many of them are for sockets and the journal, however many processes there are.
const RESERVED_NAME_BYTES: usize = 16 * 1024;

/// As `RESERVED_NAME_BYTES`, in descriptors, where the store has room for few.
const RESERVED_DESCRIPTORS: usize = 16;

/// How long those who asked for it wait until something is stored or removed, if systemd takes no
/// messages; and until systemd is tried again, if it cannot be reached.
const PATIENCE: Duration = Duration::from_secs(1);

/// State that systemd was not told yet is forgotten beyond this many messages, the oldest first.
const MOST_STATES: usize = 16;

/// What to tell systemd.
enum Step {
    /// What is to be stored under this name, or that nothing is.
    Name(Held),
    /// To remove a name that is none of papad's.
    Remove(String),
    /// Everything before this is done: whoever has the other end of this is to know.
    Done(OwnedFd, Ask),
    /// An assignment such as `READY=1`.
    State(String),
}

/// What somebody waits for.
#[derive(Clone, Copy)]
enum Ask {
    /// systemd has the descriptors, if only in its queue: they outlive papad.
    Stored,
    /// systemd has closed its copies.
    Closed,
}

/// What systemd has under a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Current,
    /// What had the name before.
    Outdated,
}

/// Why steps are left over.
#[derive(Clone, Copy)]
struct Block {
    until: Instant,
    /// systemd's queue is full: its socket tells when it is not.
    is_full: bool,
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
    steps: VecDeque<Step>,
    /// The names in `steps`.
    changed: BTreeSet<Held>,
    stored: BTreeMap<Held, Stored>,
    /// Bytes of the names in `stored`, each with a colon.
    name_bytes: usize,
    /// Descriptors that the store has room for.
    store_size: usize,
    /// What there was no room for.
    left_out: BTreeSet<Held>,
    block: Option<Block>,
    /// The time of the block is up: nobody waits for systemd until it takes messages again.
    gave_up: bool,
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
            steps: VecDeque::new(),
            changed: BTreeSet::new(),
            stored: BTreeMap::new(),
            name_bytes: 0,
            store_size: store_size.unwrap_or(usize::MAX),
            left_out: BTreeSet::new(),
            block: None,
            gave_up: false,
        }
    }

    /// Whether there is a systemd to speak with.
    pub(crate) fn is_there(&self) -> bool {
        self.notifier.is_some()
    }

    /// papad answers; also the end of `reloading`.
    pub(crate) fn ready(&mut self) {
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
            let is_state = |step: &Step| matches!(step, Step::State(_));
            if self.steps.iter().filter(|step| is_state(step)).count() >= MOST_STATES {
                self.steps.iter().position(is_state).map(|oldest| self.steps.remove(oldest));
            }
            self.steps.push_back(Step::State(state));
        }
    }

    /// What systemd has passed under this name is in its store, too.
    pub(crate) fn is_stored(&mut self, name: Held) {
        if self.is_there() && self.stored.insert(name, Stored::Current).is_none() {
            self.name_bytes += bytes_of(name);
        }
    }

    /// Whether systemd's store has what is held under this name, if it is to have it.
    pub(crate) fn is_current(&self, name: Held) -> bool {
        let is_current = self.stored.get(&name) == Some(&Stored::Current);
        is_current || !self.is_there() || !name.is_stored()
    }

    /// Names under which systemd's store has something else than is held, or more.
    pub(crate) fn outdated(&self) -> impl Iterator<Item = Held> {
        let outdated = self.stored.iter().filter(|(_, stored)| **stored == Stored::Outdated);
        outdated.map(|(name, _)| *name)
    }

    /// systemd's store has something under a name that papad does not know.
    pub(crate) fn remove_unknown(&mut self, name: String) {
        if self.is_there() {
            self.steps.push_back(Step::Remove(name));
        }
    }

    /// Something else is held under this name than before, or nothing.
    pub(crate) fn changed(&mut self, name: Held) {
        if self.is_there() && name.is_stored() {
            self.stored.entry(name).and_modify(|stored| *stored = Stored::Outdated);
            if self.changed.insert(name) {
                self.steps.push_back(Step::Name(name));
            }
        }
    }

    /// Says in `done`, and closes it, when everything that was held until now is stored. Without a
    /// word it is closed if the keeper is killed before.
    pub(crate) fn when_stored(&mut self, done: Option<OwnedFd>) {
        self.when(Ask::Stored, done);
    }

    /// Closes `done` when everything that was dropped until now is closed in systemd, too.
    pub(crate) fn when_closed(&mut self, done: Option<OwnedFd>) {
        self.when(Ask::Closed, done);
    }

    fn when(&mut self, ask: Ask, done: Option<OwnedFd>) {
        let Some(done) = done else { return };
        if self.is_there() && !self.gave_up {
            self.steps.push_back(Step::Done(done, ask));
        } else {
            say_done(&done);
        }
    }

    /// What to wait for before `flush` is of use again; `None` if nothing is left to do.
    pub(crate) fn blocked(&self) -> Option<Blocked<'_>> {
        let Block { until, is_full } = self.block?;
        let socket = self.notifier.as_ref().filter(|_| is_full).map(AsFd::as_fd);
        let until = (!is_full || !self.gave_up).then_some(until);
        Some(Blocked { socket, until })
    }

    /// Tells systemd as much as it takes at once.
    pub(crate) fn flush(&mut self, held: &BTreeMap<Held, OwnedFd>) {
        let now = Instant::now();
        if let Some(Block { until, is_full }) = self.block
            && now >= until
            && !self.gave_up
        {
            let why = if is_full { "takes no messages" } else { "cannot be reached" };
            log::error!("keeper", "systemd {why}; what is held is not safe in its store");
            self.gave_up = true;
            self.steps.retain(|step| {
                let Step::Done(done, _) = step else { return true };
                say_done(done);
                false
            });
        }
        while let Some(step) = self.steps.pop_front() {
            match self.take(&step, held) {
                Ok(true) => {
                    if let Step::Name(name) = step {
                        self.changed.remove(&name);
                    }
                }
                Ok(false) => {
                    self.steps.push_front(step);
                    let until = self.block.map_or(now + PATIENCE, |block| block.until);
                    self.block = Some(Block { until, is_full: true });
                    return;
                }
                Err(error) => {
                    log::debug!("keeper", "systemd was not told: {error}");
                    self.steps.push_front(step);
                    let until = self.block.map(|block| block.until).filter(|&until| until > now);
                    let until = until.unwrap_or(now + PATIENCE);
                    self.block = Some(Block { until, is_full: false });
                    return;
                }
            }
        }
        self.block = None;
        if self.gave_up {
            log::info!("keeper", "systemd takes messages again; its store is in step");
            self.gave_up = false;
        }
    }

    /// Takes one step; false if it has to wait.
    fn take(&mut self, step: &Step, held: &BTreeMap<Held, OwnedFd>) -> io::Result<bool> {
        match step {
            Step::Name(name) => self.bring_in_step(*name, held.get(name)),
            Step::Remove(name) => self.send(&removal(name), &[]),
            Step::State(state) => self.send(state, &[]),
            Step::Done(done, Ask::Stored) => {
                say_done(done);
                Ok(true)
            }
            Step::Done(done, Ask::Closed) => self.send("BARRIER=1", &[done.as_fd()]),
        }
    }

    fn bring_in_step(&mut self, name: Held, held: Option<&OwnedFd>) -> io::Result<bool> {
        let stored = self.stored.get(&name).copied();
        if stored.is_some_and(|stored| held.is_none() || stored == Stored::Outdated) {
            if !self.send(&removal(name), &[])? {
                return Ok(false);
            }
            self.stored.remove(&name);
            self.name_bytes -= bytes_of(name);
            if let Some(other) = self.left_out.pop_first() {
                self.changed(other);
            }
        }
        let Some(held) = held.filter(|_| !self.stored.contains_key(&name)) else {
            self.left_out.remove(&name);
            return Ok(true);
        };
        if !self.has_room(name) {
            if self.left_out.is_empty() {
                log::error!(
                    "keeper",
                    "systemd's store is full; what is held beyond it is not safe"
                );
            }
            self.left_out.insert(name);
            return Ok(true);
        }
        // systemd is not to remove it when it hangs up: a pipe without a writer may still be full.
        let text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        let sent = self.send(&text, &[held.as_fd()])?;
        if sent {
            self.stored.insert(name, Stored::Current);
            self.name_bytes += bytes_of(name);
        }
        Ok(sent)
    }

    fn has_room(&self, name: Held) -> bool {
        let (bytes, descriptors) = match name {
            Held::Journal(_)
            | Held::StateLock
            | Held::Mark
            | Held::Handover
            | Held::Passed(_)
            | Held::Baton => (0, 0),
            Held::Control(_) | Held::Server(_) | Held::Socket(_) => (0, 1),
            Held::Ring(_) | Held::Out(_) | Held::Err(_) | Held::Pidfd(_) => {
                (RESERVED_NAME_BYTES, RESERVED_DESCRIPTORS)
            }
        };
        self.name_bytes + bytes_of(name) + bytes <= MOST_NAME_BYTES
            && self.stored.len().saturating_add(descriptors) < self.store_size
    }

    fn send(&mut self, text: &str, fds: &[BorrowedFd]) -> io::Result<bool> {
        self.notifier.as_mut().map_or(Ok(true), |notifier| notifier.send(text, fds))
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

fn bytes_of(name: Held) -> usize {
    name.to_string().len() + 1
}
