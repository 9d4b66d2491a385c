//! Processes that others of the same name have replaced. What they wrote and how they ended stays
//! until somebody has taken it, or room is needed.
//!
//! The journal says nothing of this: of several processes of one name the youngest has it, and the
//! others are its predecessors.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use papa_protocol::name::{Pattern, Patterns};

use super::process::{Life, Process};
use super::table::{Processes, Table};
use crate::journal::Record;

/// The most predecessors of one name. More than one is kept only while others are watched.
const MAX_PER_NAME: usize = 8;

/// All of them.
#[derive(Default)]
pub(super) struct Previous {
    /// By name and number.
    all: BTreeMap<(Vec<u8>, u64), Arc<Process>>,
}

impl Previous {
    pub(super) fn add(&mut self, process: Arc<Process>) {
        self.all.insert((process.name.clone(), process.id), process);
    }

    /// False if it is none of them.
    pub(super) fn remove(&mut self, process: &Process) -> bool {
        self.all.remove(&(process.name.clone(), process.id)).is_some()
    }

    pub(super) fn contains(&self, process: &Process) -> bool {
        self.all.contains_key(&(process.name.clone(), process.id))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.all.values()
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Those of this name, the oldest first.
    fn of(&self, name: &[u8]) -> Vec<&Arc<Process>> {
        let range = (name.to_vec(), 0)..=(name.to_vec(), u64::MAX);
        self.all.range(range).map(|(_, process)| process).collect()
    }

    /// Those of this name that are kept no longer, now that there is one more.
    fn surplus(&self, name: &[u8]) -> Vec<Arc<Process>> {
        let all = self.of(name);
        let older = all.len().saturating_sub(1);
        let beyond = all.len().saturating_sub(MAX_PER_NAME);
        let is_surplus = |&(at, process): &(usize, &&Arc<Process>)| {
            at < beyond || (at < older && !process.is_watched())
        };
        let surplus = all.iter().enumerate().filter(is_surplus);
        surplus.map(|(_, process)| Arc::clone(process)).collect()
    }

    /// The one that is dropped first where there is no room.
    pub(super) fn oldest_unwatched(&self) -> Option<Arc<Process>> {
        let unwatched = self.all.values().filter(|process| !process.is_watched());
        unwatched.min_by_key(|process| process.id).map(Arc::clone)
    }
}

impl Table {
    /// Frees the name of a process that has ended for the next one.
    pub(super) fn step_aside(&mut self, process: &Arc<Process>) {
        self.by_name.remove(&process.name);
        self.forget_pid(process);
        self.previous.add(Arc::clone(process));
    }

    /// Gives a process its name back, if nothing has come of the next one, and keeps it until
    /// another has taken its place. Returns what is to be recorded of that.
    pub(super) fn step_back(&mut self, process: &Arc<Process>) -> Option<Record> {
        if self.by_name.contains_key(&process.name) || !self.previous.remove(process) {
            return None;
        }
        self.by_name.insert(process.name.clone(), Arc::clone(process));
        self.by_pid.entry(process.pid()).or_insert_with(|| Arc::clone(process));
        process.keep()
    }

    /// Gives a process its name and its pid as they were recovered, one after the other by number:
    /// of several of one name the youngest has it, and of several of one pid, which the others had
    /// before they ended.
    pub(super) fn list_recovered(&mut self, process: &Arc<Process>) {
        self.by_pid.insert(process.pid(), Arc::clone(process));
        let older = self.by_name.insert(process.name.clone(), Arc::clone(process));
        let Some(older) = older else { return };
        if matches!(older.life(), Life::Exited(_)) {
            self.forget_pid(&older);
        }
        // What follows from that is found when all are resumed.
        older.give_way();
        self.previous.add(older);
    }

    pub(super) fn forget_pid(&mut self, process: &Process) {
        if self.by_pid.get(&process.pid()).is_some_and(|listed| listed.id == process.id) {
            self.by_pid.remove(&process.pid());
        }
    }
}

impl Processes {
    /// Those of the names that the patterns match, the oldest of each name first.
    pub(crate) fn find_previous(&self, patterns: &Patterns) -> Vec<Arc<Process>> {
        let matches = |name: &[u8]| {
            patterns.iter().any(|pattern| match pattern {
                Pattern::All => true,
                Pattern::Prefix(prefix) => name.starts_with(prefix),
                Pattern::Exact(exact) => name == exact,
            })
        };
        let table = self.lock();
        table.previous.iter().filter(|it| matches(&it.name)).map(Arc::clone).collect()
    }

    /// The process of this name and number, whether it has the name still or another does.
    pub(crate) fn get_by_id(&self, name: &[u8], id: u64) -> Option<Arc<Process>> {
        let current = self.get(name).filter(|process| process.id == id);
        current.or_else(|| self.lock().previous.all.get(&(name.to_vec(), id)).map(Arc::clone))
    }

    /// Those of this name that are to be removed, now that there is one more.
    pub(super) fn surplus_of(&self, name: &[u8]) -> Vec<Arc<Process>> {
        self.lock().previous.surplus(name)
    }

    /// Stops recording the output of a process; it leaves the list when it exits. Those that it has
    /// replaced go with it.
    pub(crate) fn remove(&self, process: &Arc<Process>) -> io::Result<()> {
        for predecessor in self.predecessors(process) {
            self.remove_one(&predecessor)?;
        }
        self.remove_one(process)
    }

    /// Those of this process's name that it, or one after it, has replaced.
    fn predecessors(&self, process: &Process) -> Vec<Arc<Process>> {
        let table = self.lock();
        let older = table.previous.of(&process.name).into_iter().filter(|it| it.id < process.id);
        older.map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::process::Exit;
    use super::super::reader::Wants;
    use super::super::spec::Spec;
    use super::super::waker::Waker;
    use super::*;
    use crate::processes::{Ending, now};

    fn ended(id: u64) -> Arc<Process> {
        let life = Life::Exited(Exit { ending: Ending::Exited(0), time: now() });
        Arc::new(Process::recovered(id, b"web".to_vec(), Spec::default(), now(), 1, life))
    }

    fn watch(process: &Process) {
        let waker = Arc::new(Waker::new().unwrap());
        assert!(process.attach(waker, Wants::ALL).is_ok());
    }

    fn ids(processes: &[Arc<Process>]) -> Vec<u64> {
        processes.iter().map(|process| process.id).collect()
    }

    #[test]
    fn one_predecessor_is_kept_and_others_only_while_watched() {
        let mut previous = Previous::default();
        let all: Vec<_> = (1..=3).map(ended).collect();
        for process in &all {
            previous.add(Arc::clone(process));
        }
        assert_eq!(ids(&previous.surplus(b"web")), [1, 2]);
        assert_eq!(ids(&previous.surplus(b"we")), [0; 0]);
        watch(&all[1]);
        assert_eq!(ids(&previous.surplus(b"web")), [1]);
        assert_eq!(previous.oldest_unwatched().map(|process| process.id), Some(1));
    }

    #[test]
    fn watched_predecessors_are_bounded() {
        let mut previous = Previous::default();
        for process in (1..=MAX_PER_NAME as u64 + 2).map(ended) {
            watch(&process);
            previous.add(process);
        }
        assert_eq!(ids(&previous.surplus(b"web")), [1, 2]);
        assert!(previous.oldest_unwatched().is_none());
    }
}
