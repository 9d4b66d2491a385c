//! Orphans without a pidfd that waits for their end: descriptors are few, and sessions need some. They
//! are looked at by their pids, some at a time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ending::Ending;
use super::orphans::{self, Found, Parentless, Started};
use super::process::Process;
use super::table::{Processes, shown};
use crate::keeper::lasting_descriptor_limit;
use crate::link::Held;
use crate::{log, sys};

/// Descriptors that the pidfds of orphans leave to sessions.
const LEFT_TO_SESSIONS: usize = 64;

/// Where few are allowed, no more than one in so many is left to sessions.
const LEFT_ONE_IN: usize = 4;

/// How long after a look the next one comes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The most that are looked at in one look, so that many cost no more than a few.
const AT_ONCE: usize = 256;

/// All of them.
#[derive(Default)]
pub(super) struct Unpinned {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: BTreeMap<u64, Arc<Process>>,
    /// The one that was looked at last.
    last: u64,
    /// The keeper under which they were found. Once it is killed this server's parent is another.
    keeper: i32,
}

impl Unpinned {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, process: Arc<Process>, keeper: i32) {
        let mut state = self.lock();
        state.keeper = keeper;
        state.all.insert(process.id, process);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().all.len()
    }

    pub(super) fn contains(&self, process: &Process) -> bool {
        self.lock().all.contains_key(&process.id)
    }

    fn remove(&self, process: &Process) {
        self.lock().all.remove(&process.id);
    }

    /// Those whose turn it is.
    fn next(&self) -> Vec<Arc<Process>> {
        let mut state = self.lock();
        let after = state.all.range((Excluded(state.last), Unbounded)).take(AT_ONCE);
        let next: Vec<_> = after.map(|(_, process)| Arc::clone(process)).collect();
        // From the beginning, when the end was reached.
        state.last = next.last().filter(|_| next.len() == AT_ONCE).map_or(0, |process| process.id);
        next
    }

    fn find(&self, process: &Process) -> io::Result<Found> {
        let keeper = self.lock().keeper;
        let found = orphans::find(process.pid(), Started::of(process), keeper)?;
        Ok(match found {
            Found::Orphan(handle) if !handle.is(process) => Found::Other,
            found => found,
        })
    }

    /// A pidfd of one of them; `None` if it has ended.
    pub(super) fn pidfd(&self, process: &Process) -> io::Result<Option<OwnedFd>> {
        Ok(match self.find(process)? {
            Found::Orphan(Parentless { pidfd, .. }) => Some(pidfd),
            // Its pid is its own until its end is recorded.
            Found::Child => Some(sys::pidfd(process.pid())?),
            Found::Other => None,
        })
    }
}

/// How many pidfds of orphans there is room for beside what sessions need.
pub(super) fn room() -> usize {
    let allowed = usize::try_from(lasting_descriptor_limit()).unwrap_or(usize::MAX);
    let Ok(used) = fs::read_dir("/proc/self/fd").map(Iterator::count) else { return 0 };
    allowed.saturating_sub(used).saturating_sub(LEFT_TO_SESSIONS.min(allowed / LEFT_ONE_IN))
}

impl Processes {
    /// Whether the keeper may not be the parent of this process.
    pub(super) fn may_be_orphan(&self, process: &Process) -> bool {
        process.orphaned.get().is_some() || self.unpinned.contains(process)
    }

    /// Begins to look at those that there was no room for.
    pub(super) fn look_at_unpinned_later(&self) {
        let count = self.unpinned.count();
        if count > 0 {
            log::warn!(
                "server",
                "descriptors are few: the ends of {count} processes of a keeper that was killed are \
                 looked for every {LOOK_AGAIN:?}, {AT_ONCE} at a time, and may be unknown"
            );
            self.capture.look_again();
        }
    }

    /// Looks at some of them, and returns whether there are any still.
    pub(super) fn look_at_unpinned_now(&self) -> bool {
        let mut room = room();
        for process in self.unpinned.next() {
            match self.unpinned.find(&process) {
                Ok(Found::Orphan(handle)) => {
                    if let Some(ending) = handle.ending_if_ended(process.pid()) {
                        self.see_to_end(&process, ending);
                        self.let_go(&process);
                    } else if room > 0 && self.pin(&process, handle).is_ok() {
                        room -= 1;
                    }
                }
                Ok(Found::Child) => self.unpinned.remove(&process),
                Ok(Found::Other) => {
                    self.ended_unseen(&process);
                    self.let_go(&process);
                }
                // There may be a descriptor the next time.
                Err(error) => log::debug!("server", "{} is not seen: {error}", shown(&process)),
            }
        }
        self.unpinned.count() > 0
    }

    /// Waits for the end of one, now that there is room.
    fn pin(&self, process: &Arc<Process>, handle: Parentless) -> io::Result<()> {
        self.link.hold(&[(Held::Pidfd(process.id), handle.pidfd.as_fd())])?;
        self.orphans.add(Arc::clone(process), handle)?;
        self.unpinned.remove(process);
        Ok(())
    }

    /// A process has ended, and nobody can tell how.
    pub(super) fn ended_unseen(&self, process: &Arc<Process>) {
        log::warn!("server", "{} ended while nobody could see how", shown(process));
        self.see_to_end(process, Ending::Unknown);
    }

    /// The end of this one is recorded.
    fn let_go(&self, process: &Process) {
        self.unpinned.remove(process);
        // The keeper may hold one that could not be waited for.
        self.link.drop_held(vec![Held::Pidfd(process.id)]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::Life;
    use super::super::spec::Spec;
    use super::*;
    use crate::processes::now;

    fn process(id: u64) -> Arc<Process> {
        let (name, spec) = (b"a".to_vec(), Spec::default());
        Arc::new(Process::recovered(id, name, spec, now(), i32::MAX, Life::Running))
    }

    fn next(unpinned: &Unpinned) -> Vec<u64> {
        unpinned.next().iter().map(|process| process.id).collect()
    }

    #[test]
    fn each_has_its_turn_to_be_looked_at() {
        let unpinned = Unpinned::default();
        let most = AT_ONCE as u64;
        (1..=most + 2).for_each(|id| unpinned.add(process(id), 1));
        assert_eq!(next(&unpinned), (1..=most).collect::<Vec<_>>());
        unpinned.remove(&process(most));
        assert_eq!(next(&unpinned), [most + 1, most + 2]);
        assert_eq!(next(&unpinned)[0], 1);
    }

    #[test]
    fn one_whose_pid_nobody_has_has_no_pidfd() {
        let unpinned = Unpinned::default();
        let process = process(1);
        unpinned.add(Arc::clone(&process), 1);
        assert!(unpinned.contains(&process));
        assert!(unpinned.pidfd(&process).unwrap().is_none());
    }

    #[test]
    fn some_descriptors_are_left_to_sessions() {
        let allowed = lasting_descriptor_limit() as usize;
        assert!(room() + LEFT_TO_SESSIONS.min(allowed / LEFT_ONE_IN) < allowed);
    }
}
