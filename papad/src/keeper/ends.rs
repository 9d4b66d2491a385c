//! Which hosted process has ended, found without looking at all of them each time.
//!
//! To find any child that has ended, the kernel walks along all children: with ten thousand, that
//! takes longer than to start one. So the child that a signal names is looked at by itself, and at
//! once. But one signal may stand for several ends, and for those all are looked at, a little later
//! and once for many signals.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::sys::{self, Ended};

/// How much later at least, and at most.
const SOONEST: Duration = Duration::from_millis(20);
const LATEST: Duration = Duration::from_millis(500);

/// How much longer than a look at all the time until the next one is.
const REST: u32 = 50;

/// Children that signals have named and that wait to be looked at. Those beyond are found by the
/// look at all.
const MOST_NAMED: usize = 64;

/// Where to look next.
pub(super) struct Ends {
    /// The hosted process whose end the server was told and has not recorded yet. One at a time:
    /// the others wait as zombies, which is the safest place.
    told: Option<Pid>,
    named: VecDeque<Pid>,
    /// When all are to be looked at.
    sweep: Option<Instant>,
    /// How much later than a signal, by how long the last look took.
    later: Duration,
}

impl Ends {
    /// Nothing is known yet: children may have ended long ago.
    pub(super) fn new() -> Ends {
        Ends { told: None, named: VecDeque::new(), sweep: Some(Instant::now()), later: SOONEST }
    }

    /// There is another server, which was told nothing.
    pub(super) fn start_over(&mut self) {
        *self = Ends::new();
    }

    /// A signal came that names this child.
    pub(super) fn heard(&mut self, child: Pid) {
        if self.named.len() < MOST_NAMED {
            self.named.push_back(child);
        }
        self.sweep.get_or_insert_with(|| Instant::now() + self.later);
    }

    /// The server has recorded the end of this one.
    pub(super) fn recorded(&mut self, child: Pid) {
        self.told = self.told.filter(|&told| told != child);
    }

    /// The next to tell the server of, if it is time for one and one is found: it has ended, and is
    /// not reaped. papad's own processes are none.
    pub(super) fn next(&mut self, own: &[Option<Pid>]) -> io::Result<Option<Ended>> {
        if self.told.is_some() {
            return Ok(None);
        }
        let is_hosted = |ended: &Ended| !own.contains(&Some(ended.pid));
        while let Some(child) = self.named.pop_front() {
            if let Some(ended) = sys::look_at_child(child)?.filter(is_hosted) {
                self.told = Some(ended.pid);
                return Ok(Some(ended));
            }
        }
        if self.sweep.is_none_or(|at| Instant::now() < at) {
            return Ok(None);
        }
        // If this fails, or finds one of papad's own that is not reaped yet and may hide others.
        let began = Instant::now();
        self.sweep = Some(began + self.later);
        let found = sys::look_at_ended()?;
        self.later = (began.elapsed() * REST).clamp(SOONEST, LATEST);
        if found.is_none() {
            self.sweep = None;
        }
        let ended = found.filter(is_hosted);
        if let Some(ended) = &ended {
            self.told = Some(ended.pid);
            // There may be more of them.
            self.sweep = Some(Instant::now());
        }
        Ok(ended)
    }

    /// When to look again though nothing happens.
    pub(super) fn until(&self) -> Option<Instant> {
        self.sweep.filter(|_| self.told.is_none())
    }
}
