//! All hosted processes, by name and by pid.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Pid, pipe2};

use papa_protocol::exact::{Code, Failure};
use papa_protocol::frame::Stream;
use papa_protocol::name::{Pattern, Patterns};
use papa_protocol::options::Stderr;

use super::capture::{Capture, Events};
use super::output::{Output, Pipes};
use super::process::{Exit, Life, Next, Process};
use super::spawn::{Defaults, Passed, Program};
use super::spec::Spec;
use super::waker::Waker;
use super::{Identity, now};
use crate::journal::{Change, Journal, Record, parse_number};
use crate::link::{Held, Link, ToKeeper};
use crate::ring::Ring;
use crate::sockets::Sockets;
use crate::{log, sys};

/// The table, and all that moves with it.
pub(crate) struct Processes {
    pub(super) journal: Arc<Journal>,
    pub(super) link: Arc<Link>,
    pub(super) capture: Capture,
    defaults: Defaults,
    pub(super) table: Mutex<Table>,
    /// A process that was being made is made, or has failed.
    settled: Condvar,
    /// Who is to know of every new process.
    subscribers: Mutex<Vec<Weak<Waker>>>,
    /// How many were ever put on the list.
    listings: AtomicU64,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) by_name: BTreeMap<Vec<u8>, Arc<Process>>,
    /// Those that have one. A pid is used again only when its first owner's end is recorded.
    pub(super) by_pid: HashMap<i32, Arc<Process>>,
    /// Those whose child may be there before its pid is in `by_pid`.
    starting: Vec<Arc<Process>>,
    /// Off the list, while descendants hold their pipes.
    pub(super) draining: Vec<u64>,
    pub(super) last_id: u64,
}

impl Table {
    /// Whether the request for it is not answered yet, whatever has become of its child.
    fn is_starting(&self, process: &Process) -> bool {
        self.starting.iter().any(|starting| starting.id == process.id)
    }
}

impl Processes {
    pub(crate) fn new(
        journal: Arc<Journal>,
        link: Arc<Link>,
        defaults: Defaults,
    ) -> io::Result<Processes> {
        let capture = Capture::new()?;
        Ok(Processes {
            journal,
            link,
            capture,
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

    /// Makes a process, or finds the one of this name if it was made of the same specification.
    ///
    /// # Errors
    /// One sentence; no process is left behind.
    pub(crate) fn make(
        &self,
        name: &[u8],
        spec: Spec,
        identity: &Identity,
        sockets: &Sockets,
    ) -> Result<Arc<Process>, Failure> {
        let process = {
            let mut table = self.lock();
            while let Some(existing) = table.by_name.get(name) {
                if table.is_starting(existing) {
                    table = self.settled.wait(table).unwrap_or_else(PoisonError::into_inner);
                } else if existing.spec == spec {
                    return Ok(Arc::clone(existing));
                } else {
                    let name = papa_protocol::text::shown(name);
                    let line = existing.line();
                    let line = String::from_utf8_lossy(&line);
                    let what = format!("Process for {name} has already been created - {line}");
                    return Err(Failure::new(Code::Exists, what));
                }
            }
            table.last_id += 1;
            let process = Arc::new(Process::new(table.last_id, name.to_vec(), spec, now()));
            table.by_name.insert(name.to_vec(), Arc::clone(&process));
            table.starting.push(Arc::clone(&process));
            process
        };
        let change = self.journal.change();
        let started = self.start(&process, identity, sockets, &change);
        if started.is_err() {
            self.abandon(&process, &change);
        }
        let mut table = self.lock();
        table.starting.retain(|starting| starting.id != process.id);
        if started.is_ok() {
            process.set_running();
            table.by_pid.insert(process.pid(), Arc::clone(&process));
            process.listing.store(self.listings.fetch_add(1, SeqCst) + 1, SeqCst);
        } else if table.by_name.get(name).is_some_and(|listed| listed.id == process.id) {
            table.by_name.remove(name);
        }
        drop(table);
        drop(change);
        self.settled.notify_all();
        started?;
        self.watch_pipes(&process);
        self.tell_subscribers();
        Ok(process)
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

    fn tell_subscribers(&self) {
        let subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.iter().filter_map(Weak::upgrade).for_each(|waker| waker.wake());
    }

    /// The process of this very name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<Arc<Process>> {
        let table = self.lock();
        table.by_name.get(name).filter(|process| !table.is_starting(process)).map(Arc::clone)
    }

    pub(super) fn watch_pipes(&self, process: &Arc<Process>) {
        if let Err(error) = self.capture.watch(process) {
            log::error!("server", "the output of {} is not read: {error}", shown(process));
        }
    }

    /// Starts the program of a process that is in the table already.
    fn start(
        &self,
        process: &Process,
        identity: &Identity,
        sockets: &Sockets,
        change: &Change,
    ) -> Result<(), Failure> {
        let cannot = |error: io::Error| {
            let is_full = matches!(
                error.raw_os_error().map(Errno::from_raw),
                Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOSPC)
            );
            let code = if is_full { Code::Limit } else { Code::Internal };
            Failure::new(code, format!("Cannot prepare the process - {error}"))
        };
        let referred = sockets.refer(&process.name, process.spec.references())?;
        let null = File::options().read(true).write(true).open("/dev/null").map_err(cannot)?;
        let child_ends = self.prepare_output(process).map_err(cannot)?;
        change.append(process.made_record()).map_err(cannot)?;
        sys::kill_point("journaled");

        let out = child_ends.out.as_ref().map_or(null.as_fd(), AsFd::as_fd);
        let err = match process.spec.stderr {
            Stderr::Merge => out,
            Stderr::Keep | Stderr::Null => {
                child_ends.err.as_ref().map_or(null.as_fd(), AsFd::as_fd)
            }
        };
        let stdio = (0..).zip([null.as_fd(), out, err]);
        let sockets = referred.sockets.iter().map(|(number, fd)| (*number, fd.as_fd()));
        let program = Program {
            id: process.id,
            spec: &process.spec,
            args: referred.args,
            env: referred.env,
            identity,
            descriptors: stdio.chain(sockets).map(|(number, fd)| Passed { fd, number }).collect(),
        };
        let started = program.start(&self.defaults, change, &process.pid);
        started.map_err(|what| Failure::new(Code::Spawn, what))
    }

    /// Forgets what was prepared for a process that did not start.
    fn abandon(&self, process: &Process, change: &Change) {
        // If this is not written, the process is found to have ended by its pid.
        let _ = change.append(process.record("failed"));
        let id = process.id;
        self.link.drop_held(vec![Held::Ring(id), Held::Out(id), Held::Err(id)]);
        process.set_output(Output::none());
    }

    /// Makes ring and pipes as the process needs them, held by the keeper. Returns the child's
    /// ends.
    fn prepare_output(&self, process: &Process) -> io::Result<Pipes> {
        let (spec, id) = (&process.spec, process.id);
        let pipe = |wanted: bool| -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
            let ends = wanted.then(|| pipe2(OFlag::O_CLOEXEC)).transpose()?;
            Ok(ends.map(|(reader, writer)| (sys::keep(reader), writer)).unzip())
        };
        let (out, childs_out) = pipe(spec.keeps_stdout())?;
        let (err, childs_err) = pipe(spec.keeps_stderr())?;
        let pipes = Pipes { out, err };
        let ring = (!pipes.all_ended()).then(|| Ring::create(spec.bufsize)).transpose()?;
        let fds = [
            (Held::Ring(id), ring.as_ref().map(Ring::as_file)),
            (Held::Out(id), pipes.get(Stream::Out)),
            (Held::Err(id), pipes.get(Stream::Err)),
        ];
        let fds: Vec<(Held, BorrowedFd)> =
            fds.into_iter().filter_map(|(name, fd)| Some((name, fd?))).collect();
        if !fds.is_empty() {
            self.link.hold(&fds)?;
        }
        sys::kill_point("held");
        process.set_output(Output::new(pipes, ring, spec.overflow));
        Ok(Pipes { out: childs_out, err: childs_err })
    }

    /// A child of the keeper has ended. Returns once that is recorded, if it is one of ours.
    pub(crate) fn exited(&self, pid: Pid, code: i32) {
        let pid = pid.as_raw();
        let process = {
            let table = self.lock();
            let starting = table.starting.iter().find(|process| process.pid() == pid);
            starting.or_else(|| table.by_pid.get(&pid)).map(Arc::clone)
        };
        // One that is recorded already was told again: the keeper did not hear that it is.
        if let Some(process) = process.filter(|p| !matches!(p.life(), Life::Exited(_))) {
            let exit = Exit { code, time: now() };
            let change = self.journal.change();
            if let Err(error) = change.append(process.exited_record(exit)) {
                // The next server is told again.
                log::error!("server", "the end of {} is not recorded: {error}", shown(&process));
                std::process::exit(1);
            }
            sys::kill_point("exit-journaled");
            let next = process.set_exited(exit);
            drop(change);
            self.follow(&process, next);
        }
        // Fails only if the keeper is gone, which ends the server elsewhere.
        let _ = self.link.tell_keeper(&ToKeeper::Recorded(Pid::from_raw(pid)));
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
        if table.by_name.get(&process.name).is_none_or(|listed| listed.id != process.id) {
            return;
        }
        if let Err(error) = change.append(process.record("gone")) {
            log::error!("server", "{} stays listed: {error}", shown(process));
            return;
        }
        table.by_name.remove(&process.name);
        if table.by_pid.get(&process.pid()).is_some_and(|listed| listed.id == process.id) {
            table.by_pid.remove(&process.pid());
        }
        if !process.with_pipes(Pipes::all_ended) {
            table.draining.push(process.id);
        }
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

    /// The processes that the patterns name, in the order of their names. In papa 1.0 digits name a
    /// process by its pid if none has them for a name.
    pub(crate) fn find(&self, patterns: &Patterns, numbers: Numbers) -> Found {
        let table = self.lock();
        let mut found = Found::default();
        for pattern in patterns.iter() {
            match pattern {
                Pattern::All => found.add(&table, &mut table.by_name.values()),
                Pattern::Prefix(prefix) => {
                    let from = (Bound::Included(prefix), Bound::Unbounded);
                    let range = table.by_name.range::<[u8], _>(from);
                    found.add(
                        &table,
                        &mut range
                            .take_while(|(name, _)| name.starts_with(prefix))
                            .map(|(_, process)| process),
                    );
                }
                Pattern::Exact(name) => {
                    let by_pid = || match numbers {
                        Numbers::Count => table.by_pid.get(&parse_number::<i32>(name)?),
                        Numbers::AreNames => None,
                    };
                    match table.by_name.get(name).or_else(by_pid) {
                        Some(process) => found.add(&table, &mut std::iter::once(process)),
                        None => found.missing = found.missing.or(Some(name.to_vec())),
                    }
                }
            }
        }
        found
    }

    /// Stops recording the output of a process; it leaves the list when it exits.
    pub(crate) fn remove(&self, process: &Arc<Process>) -> io::Result<()> {
        let change = self.journal.change();
        change.append(process.record("removing"))?;
        let next = process.remove();
        drop(change);
        self.link.drop_held(vec![Held::Ring(process.id)]);
        self.follow(process, next);
        Ok(())
    }

    /// Whether there is no process.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_name.is_empty()
    }

    /// Captures output for as long as papad lives.
    pub(crate) fn run_capture(&self) -> io::Result<()> {
        self.capture.run(self)
    }

    /// Writes the records of everything here.
    pub(crate) fn write_records(
        &self,
        write: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let table = self.lock();
        for process in table.by_name.values() {
            process.records().into_iter().try_for_each(&mut *write)?;
        }
        for id in &table.draining {
            write(Record::new("gone").number(id))?;
        }
        write(Record::new("last").number(table.last_id))
    }
}

impl Events for Processes {
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

/// Whether a number may stand for what has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// As papa 1.0's help promises for pids and file numbers.
    Count,
    AreNames,
}

/// What patterns name.
#[derive(Default)]
pub(crate) struct Found {
    processes: BTreeMap<Vec<u8>, Arc<Process>>,
    /// The first name without a wildcard that is not there.
    pub(crate) missing: Option<Vec<u8>>,
}

impl Found {
    fn add(&mut self, table: &Table, processes: &mut dyn Iterator<Item = &Arc<Process>>) {
        let listed = processes.filter(|process| !table.is_starting(process));
        self.processes.extend(listed.map(|p| (p.name.clone(), Arc::clone(p))));
    }

    pub(crate) fn into_processes(self) -> impl Iterator<Item = Arc<Process>> {
        self.processes.into_values()
    }
}

fn shown(process: &Process) -> String {
    papa_protocol::text::shown(&process.name)
}
