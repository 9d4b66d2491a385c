//! All hosted processes, by name and by pid.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papa_protocol::frame::Stream;

use super::buffers::Buffers;
use super::capture::{Capture, Events};
use super::ending::Ending;
use super::orphans::Orphans;
use super::output::Pipes;
use super::previous::Previous;
use super::process::{Exit, Life, Next, Process};
use super::spawn::Defaults;
use super::unpinned::Unpinned;
use super::waker::Waker;
use super::{now, since_boot};
use crate::bounds::Bounds;
use crate::gate::Gate;
use crate::journal::{Journal, Record};
use crate::link::{Held, Link, ToKeeper};
use crate::memory::HighWater;
use crate::{limit, log, sys};

/// The table, and all that moves with it.
pub(crate) struct Processes {
    pub(super) journal: Arc<Journal>,
    pub(super) link: Arc<Link>,
    pub(super) capture: Capture,
    pub(super) orphans: Orphans,
    pub(super) unpinned: Unpinned,
    pub(super) bounds: Arc<Bounds>,
    pub(crate) buffers: Buffers,
    pub(super) defaults: Defaults,
    pub(super) table: Mutex<Table>,
    /// A process that was being made is made, or has failed.
    pub(super) settled: Condvar,
    /// Who is to know of every new process.
    subscribers: Mutex<Vec<Weak<Waker>>>,
    /// How many were ever put on the list.
    pub(super) listings: AtomicU64,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) by_name: BTreeMap<Vec<u8>, Arc<Process>>,
    /// Those whose names others have now.
    pub(super) previous: Previous,
    /// Those that have one. A pid is used again only when its first owner's end is recorded.
    pub(super) by_pid: HashMap<i32, Arc<Process>>,
    /// Those whose child may be there before its pid is in `by_pid`.
    pub(super) starting: Vec<Arc<Process>>,
    /// Off the list, while descendants hold their pipes.
    pub(super) draining: Vec<u64>,
    most: HighWater,
    pub(super) last_id: u64,
}

impl Table {
    /// Those on the list, those that were replaced, and those whose descendants hold their pipes.
    pub(super) fn count(&self) -> usize {
        self.by_name.len() + self.previous.count() + self.draining.len()
    }

    /// All that something is kept of.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.by_name.values().chain(self.previous.iter())
    }

    /// Whether the request for it is not answered yet, whatever has become of its child.
    pub(super) fn is_starting(&self, process: &Process) -> bool {
        self.starting.iter().any(|starting| starting.id == process.id)
    }
}

impl Processes {
    pub(crate) fn new(
        journal: Arc<Journal>,
        link: Arc<Link>,
        gate: Arc<Gate>,
        bounds: Arc<Bounds>,
        defaults: Defaults,
    ) -> io::Result<Processes> {
        let (capture, orphans) = (Capture::new(gate)?, Orphans::new()?);
        Ok(Processes {
            journal,
            link,
            buffers: Buffers::new(Arc::clone(&bounds), capture.waker()),
            capture,
            orphans,
            unpinned: Unpinned::default(),
            bounds,
            defaults,
            table: Mutex::default(),
            settled: Condvar::new(),
            subscribers: Mutex::default(),
            listings: AtomicU64::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many processes were ever put on the list. A process's own `listing` says which it was.
    pub(crate) fn listings(&self) -> u64 {
        self.listings.load(SeqCst)
    }

    /// Wakes this whenever a process is made, for as long as it lives.
    pub(crate) fn subscribe(&self, waker: &Arc<Waker>) {
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        subscribers.push(Arc::downgrade(waker));
    }

    pub(super) fn tell_subscribers(&self) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.iter().filter_map(Weak::upgrade).for_each(|waker| waker.wake());
    }

    /// The process of this very name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<Process>> {
        let table = self.lock();
        table.by_name.get(name).filter(|process| !table.is_starting(process)).map(Arc::clone)
    }

    /// Has the keeper hold what belongs to processes, one that has just been started.
    pub(crate) fn hold_all(&self) -> io::Result<()> {
        let listed: Vec<Arc<Process>> = self.lock().all().map(Arc::clone).collect();
        for process in listed.iter().chain(&self.capture.processes()) {
            let held = process.duplicates()?;
            let held: Vec<_> = held.iter().map(|(name, fd)| (*name, fd.as_fd())).collect();
            self.link.hold(&held)?;
        }
        Ok(())
    }

    /// All processes by their numbers.
    pub(crate) fn by_id(&self) -> HashMap<u64, Arc<Process>> {
        let table = self.lock();
        table.all().map(|process| (process.id, Arc::clone(process))).collect()
    }

    pub(super) fn watch_pipes(&self, process: &Arc<Process>) {
        if let Err(error) = self.capture.watch(process) {
            log::error!("server", "the output of {} is not read: {error}", shown(process));
        }
    }

    /// A child of the keeper has ended. Returns once that is recorded, if it is one of ours.
    ///
    /// # Errors
    /// The journal takes no more. Nothing has changed, and the child waits as a zombie.
    pub(crate) fn exited(&self, pid: Pid, code: i32) -> io::Result<()> {
        let pid = pid.as_raw();
        let process = {
            let table = self.lock();
            let starting = table.starting.iter().find(|process| process.pid() == pid);
            starting.or_else(|| table.by_pid.get(&pid)).map(Arc::clone)
        };
        // One that is recorded already was told again: the keeper did not hear that it is. An
        // orphan has the pid no more if a child of the keeper has it.
        if let Some(process) = process
            && !matches!(process.life(), Life::Exited(_))
            && process.orphaned.get().is_none()
        {
            // It is a zombie, whose pid nobody else gets before its end is recorded.
            process.session_seen.fetch_max(since_boot(), SeqCst);
            self.ended(&process, Ending::of_code(code))?;
        }
        // Fails only if the keeper is gone, which ends the server elsewhere.
        let _ = self.link.tell_keeper(&ToKeeper::Recorded(Pid::from_raw(pid)));
        Ok(())
    }

    /// A process has ended of which the keeper does not tell. Returns once that is recorded.
    pub(super) fn see_to_end(&self, process: &Arc<Process>, ending: Ending) {
        let what = || format!("the end of {} is not recorded yet", shown(process));
        limit::insist(|| self.ended(process, ending), what);
    }

    fn ended(&self, process: &Arc<Process>, ending: Ending) -> io::Result<()> {
        let exit = Exit { ending, time: now() };
        let change = self.journal.change();
        change.append(process.exited_record(exit))?;
        sys::kill_point("exit-journaled");
        let next = process.set_exited(exit);
        drop(change);
        self.follow(process, next);
        Ok(())
    }

    /// Does what has to be done after something happened to a process.
    pub(crate) fn follow(&self, process: &Arc<Process>, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Linger => self.capture.linger(process),
            Next::Unstick => self.watch_pipes(process),
            Next::Retire => self.retire(process),
        }
    }

    /// Takes a process off the list: nobody needs it any more.
    fn retire(&self, process: &Arc<Process>) {
        let change = self.journal.change();
        let mut table = self.lock();
        // Several sessions may find out at the same time that it is over.
        let has_name =
            table.by_name.get(&process.name).is_some_and(|listed| listed.id == process.id);
        let is_listed = has_name || table.previous.contains(process);
        // Its successor may just have failed to start.
        if !is_listed || process.is_kept() {
            return;
        }
        if let Err(error) = change.append(process.record("gone")) {
            log::error!("server", "{} stays listed: {error}", shown(process));
            return;
        }
        if has_name {
            table.by_name.remove(&process.name);
        } else {
            table.previous.remove(process);
        }
        table.forget_pid(process);
        if !process.with_pipes(Pipes::all_ended) {
            table.draining.push(process.id);
        }
        let left = table.by_name.len();
        table.most.removed(left);
        drop(table);
        drop(change);
        let (_, _, lost) = process.extent();
        if lost > 0 {
            log::info!(
                "server",
                "{}: {lost} bytes of output were pushed out unread",
                shown(process)
            );
        }
        self.link.drop_held(vec![Held::Ring(process.id)]);
        process.remove();
        if process.take_unstuck() {
            self.watch_pipes(process);
        }
    }

    /// Stops recording the output of a process; it leaves the list when it exits.
    pub(super) fn remove_one(&self, process: &Arc<Process>) -> io::Result<()> {
        let change = self.journal.change();
        change.append(process.record("removing"))?;
        let next = process.remove();
        drop(change);
        self.link.drop_held(vec![Held::Ring(process.id)]);
        self.follow(process, next);
        Ok(())
    }

    /// A descriptor that stands for a process; `None` if it has ended.
    pub(crate) fn pidfd(&self, process: &Process) -> io::Result<Option<OwnedFd>> {
        if self.unpinned.contains(process) {
            return self.unpinned.pidfd(process);
        }
        if process.orphaned.get().is_some() {
            return self.orphans.pidfd(process);
        }
        let pidfd = sys::pidfd(process.pid());
        // A child's pid stays its own until its end is recorded, so looking after is enough.
        if process.life() == Life::Running { pidfd.map(Some) } else { Ok(None) }
    }

    /// How many there are on the list, replaced ones, and others whose descendants hold their pipes.
    pub(crate) fn count(&self) -> usize {
        self.lock().count()
    }

    /// Whether there is no process, and nothing kept of one that was replaced.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().all().next().is_none()
    }

    /// Captures output for as long as papad lives.
    pub(crate) fn run_capture(&self) -> io::Result<()> {
        self.capture.wait_for(self.orphans.as_fd())?;
        self.capture.run(self)
    }

    /// Writes the records of everything here.
    pub(crate) fn write_records(
        &self,
        write: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let table = self.lock();
        for process in table.all() {
            process.records().into_iter().try_for_each(&mut *write)?;
        }
        for id in &table.draining {
            write(Record::new("gone").number(id))?;
        }
        write(Record::new("last").number(table.last_id))
    }
}

impl Events for Processes {
    fn look_at_orphans(&self) -> io::Result<()> {
        for (process, ending) in self.orphans.take_ended()? {
            self.see_to_end(&process, ending);
            self.link.drop_held(vec![Held::Pidfd(process.id)]);
        }
        Ok(())
    }

    fn look_at_unpinned(&self) -> bool {
        self.look_at_unpinned_now()
    }

    fn grace_is_over(&self) {
        let processes: Vec<_> = self.lock().all().map(Arc::clone).collect();
        for process in processes.into_iter().filter(|process| process.is_waiting()) {
            match process.stop_waiting() {
                Ok(next) => self.follow(&process, next),
                Err(error) => {
                    log::error!("server", "the output of {} is kept: {error}", shown(&process));
                }
            }
        }
    }

    fn nudge(&self, process: &Process) -> bool {
        let is_starting = self.lock().is_starting(process);
        let pid = process.pid();
        if is_starting && pid > 0 {
            // It may have come to run just now, or to end, which is as good.
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
        is_starting
    }

    fn pipes_ended(&self, pipes: &[(Arc<Process>, Stream)]) {
        let name = |(process, stream): &(Arc<Process>, Stream)| match stream {
            Stream::Out => Held::Out(process.id),
            Stream::Err => Held::Err(process.id),
        };
        self.link.drop_held(pipes.iter().map(name).collect());
        let mut table = self.lock();
        if !table.draining.is_empty() {
            let done = |id| pipes.iter().any(|(p, _)| p.id == id && p.with_pipes(Pipes::all_ended));
            table.draining.retain(|&id| !done(id));
        }
    }
}

pub(super) fn shown(process: &Process) -> String {
    papa_protocol::text::shown(&process.name)
}
