//! Making room when all rings together hold more than they may: the ones that hold the most lose
//! their oldest output, until they hold no more than the next ones, and so on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use papa_protocol::exact::Failure;
use papa_protocol::options::Overflow;

use super::capture::Room;
use super::process::Process;
use super::table::{Processes, shown};
use crate::bounds::Bound;
use crate::log;

/// Bytes that every ring may hold, whatever the others do.
const LEAST: u64 = 16 * 1024;

/// The log tells of dropped output once in this time, and then of all since.
const PERIOD: Duration = Duration::from_secs(10);

/// When to make room, and what the log was told of it.
#[derive(Default)]
pub(super) struct Eviction(Mutex<State>);

#[derive(Default)]
struct State {
    /// Room could not be made. It is tried again when the rings hold more than this.
    futile_up_to: u64,
    told_of_lost: Told,
    told_of_waiting: Told,
}

/// What the log was told of, and what it was not: so many bytes or times.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    /// Counts so many more; returns how many to tell of, if it is time to.
    fn add(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.untold += count;
        if self.last.is_some_and(|last| now < last + PERIOD) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Eviction {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Output of this process was dropped.
    fn tell_of_lost(&self, name: &str, bytes: u64, why: &Failure) {
        if let Some(bytes) = self.lock().told_of_lost.add(bytes, Instant::now()) {
            let what = &why.what;
            log::warn!(
                "server",
                "dropped {bytes} bytes of the oldest unread output, of {name} last: {what}"
            );
        }
    }

    /// This process waits.
    fn tell_of_waiting(&self, name: &str, why: &Failure) {
        if let Some(times) = self.lock().told_of_waiting.add(1, Instant::now()) {
            let what = &why.what;
            log::warn!(
                "server",
                "{name} has to wait until output is read, as overflow=block wants it ({times} \
                 times such since the last such line): {what}, and three quarters of that are held"
            );
        }
    }
}

/// To what rings that hold so much are to shrink, so that they hold `excess` less together, and none
/// less than `least`. Rings that hold less than the answer stay as they are.
fn level(mut held: Vec<u64>, excess: u64, least: u64) -> u64 {
    held.sort_unstable_by_key(|&bytes| std::cmp::Reverse(bytes));
    let mut sum = 0;
    for (at, &bytes) in held.iter().enumerate() {
        sum += bytes;
        let count = at as u64 + 1;
        let next = held.get(at + 1).copied().unwrap_or_default().max(least);
        // With this many at the level of the next, enough is given back.
        if sum.saturating_sub(next * count) >= excess {
            return (sum - excess) / count;
        }
        if next == least {
            break;
        }
    }
    least
}

impl Room for Processes {
    fn is_there_for(&self, process: &Arc<Process>) -> bool {
        let memory = self.buffers.memory();
        let allowed = memory.allowed_to_blocking();
        if process.spec.overflow == Overflow::Drop || memory.held() <= allowed {
            return true;
        }
        let held = process.held();
        if held <= LEAST {
            return true;
        }
        // Whoever holds more makes room, if it may lose what it has.
        self.evict(allowed - memory.headroom(), held);
        if memory.held() <= allowed {
            return true;
        }
        let why = self.bounds.refusal(Bound::OutputMemory);
        self.buffers.eviction.tell_of_waiting(&shown(process), &why);
        process.wait_for_room();
        memory.wait_for_room(process);
        false
    }

    fn make(&self) {
        let memory = self.buffers.memory();
        let (allowed, held) = (memory.allowed(), memory.held());
        if held <= allowed || held <= self.buffers.eviction.lock().futile_up_to {
            return;
        }
        self.evict(allowed - memory.headroom(), LEAST);
        let held = memory.held();
        // With thousands of rings that hold the least they may, looking again at each write is of
        // no use.
        let futile_up_to = if held > allowed { held + memory.headroom() } else { 0 };
        self.buffers.eviction.lock().futile_up_to = futile_up_to;
    }

    fn use_it(&self) {
        for process in self.buffers.memory().take_waiting() {
            if process.take_unstuck() {
                self.watch_pipes(&process);
            }
        }
    }
}

impl Processes {
    /// Shrinks the largest rings until all hold no more than `target`, and none to less than `least`.
    fn evict(&self, target: u64, least: u64) {
        let memory = self.buffers.memory();
        let processes: Vec<Arc<Process>> = self.lock().all().map(Arc::clone).collect();
        let candidates: Vec<(u64, Arc<Process>)> = processes
            .into_iter()
            .map(|process| (process.held(), process))
            .filter(|(held, _)| *held > least)
            .collect();
        let may_lose = |process: &Process| process.spec.overflow == Overflow::Drop;
        // What is not output any more goes first, and costs nobody anything.
        for (_, process) in candidates.iter().filter(|(_, process)| !may_lose(process)) {
            self.shrink(process, least, false);
        }
        let excess = memory.held().saturating_sub(target);
        if excess == 0 {
            return;
        }
        let droppers: Vec<&(u64, Arc<Process>)> =
            candidates.iter().filter(|(_, process)| may_lose(process)).collect();
        let level = level(droppers.iter().map(|(held, _)| *held).collect(), excess, least);
        for (_, process) in droppers.iter().filter(|(held, _)| *held > level) {
            self.shrink(process, level, true);
        }
    }

    fn shrink(&self, process: &Arc<Process>, most: u64, may_lose: bool) {
        match process.shrink(most, may_lose) {
            Ok(0) => {}
            Ok(lost) => {
                self.buffers.memory().note_evicted(lost);
                let why = self.bounds.refusal(Bound::OutputMemory);
                self.buffers.eviction.tell_of_lost(&shown(process), lost, &why);
            }
            Err(error) => {
                log::error!(
                    "server",
                    "the memory of {} is not given back: {error}",
                    shown(process)
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_shrink_until_they_are_as_the_next() {
        assert_eq!(level(vec![10, 100, 50], 30, 0), 70);
        assert_eq!(level(vec![10, 100, 50], 50, 0), 50);
        assert_eq!(level(vec![10, 100, 50], 60, 0), 45);
        assert_eq!(level(vec![10, 100, 50], 160, 0), 0);
        assert_eq!(level(vec![100; 4], 40, 0), 90);
    }

    #[test]
    fn none_shrinks_to_less_than_the_least() {
        assert_eq!(level(vec![10, 100, 50], 1000, 20), 20);
        assert_eq!(level(vec![10, 100, 50], 100, 20), 25);
        assert_eq!(level(Vec::new(), 5, 20), 20);
    }

    #[test]
    fn the_log_is_told_at_once_and_then_of_all_since() {
        let (mut told, begin) = (Told::default(), Instant::now());
        assert_eq!(told.add(5, begin), Some(5));
        assert_eq!(told.add(6, begin), None);
        assert_eq!(told.add(7, begin + PERIOD / 2), None);
        assert_eq!(told.add(8, begin + PERIOD), Some(21));
        assert_eq!(told.add(9, begin + PERIOD), None);
    }
}
