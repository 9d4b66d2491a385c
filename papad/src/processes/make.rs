//! Making a process: its place in the table, its pipes and ring, its child.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, fchown, pipe2};

use papa_protocol::exact::{Code, Failure};
use papa_protocol::frame::Stream;
use papa_protocol::options::{Replace, Stderr};

use super::buffers::Share;
use super::output::{Output, Pipes};
use super::process::Process;
use super::spawn::{Passed, Program};
use super::spec::Spec;
use super::table::{Processes, shown};
use super::{Identity, now};
use crate::bounds::Bound;
use crate::journal::Change;
use crate::link::Held;
use crate::ring::Ring;
use crate::sockets::Sockets;
use crate::{limit, log, sys};

/// What comes of a request for a process.
enum Listed {
    /// It is in the table, to be started. It has a part of what all rings may hold, if it needs
    /// one, and the place of this other.
    New(Arc<Process>, Option<Share>, Option<Arc<Process>>),
    /// It is there already.
    Same(Arc<Process>),
    /// There would be room without this one, which has ended: one that was replaced, or the one
    /// that is to be.
    NoRoom { oldest: Arc<Process>, is_replaced: bool },
}

impl Processes {
    /// Makes a process, or finds the one of this name if it was made of the same specification.
    /// One that `replace` names is not found: the new one takes its place, and what there is of it
    /// stays as that of its predecessor.
    ///
    /// # Errors
    /// One sentence, of a bound that is met for instance. No process is left behind, and one that
    /// was to be replaced has its name still, until another takes its place or it is removed.
    pub(crate) fn make(
        &self,
        name: &[u8],
        spec: &Spec,
        mut replace: Option<Replace>,
        identity: &Identity,
        sockets: &Sockets,
    ) -> Result<Arc<Process>, Failure> {
        let (process, share, replaced) = loop {
            match self.list(name, spec, replace)? {
                Listed::New(process, share, replaced) => break (process, share, replaced),
                Listed::Same(process) => return Ok(process),
                Listed::NoRoom { oldest, is_replaced } => {
                    let name = shown(&oldest);
                    log::warn!("server", "{name}: no room to keep the output of the previous one");
                    self.remove(&oldest).map_err(|error| {
                        let what = format!("The process before it cannot be removed - {error}");
                        Failure::new(limit::code_of(&error), what)
                    })?;
                    // It has ended for good, so whatever has the name later is not hit.
                    replace = replace.filter(|_| !is_replaced);
                }
            }
        };
        let change = self.journal.change();
        // While these are open, the pipes do not end.
        let mut child_ends = Pipes::default();
        let started = self.start(&process, share, identity, sockets, &change, &mut child_ends);
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
            if let Some(replaced) = &replaced {
                let record = table.step_back(replaced);
                if let Some(Err(error)) = record.map(|record| change.append(record)) {
                    log::error!("server", "a kill would not keep {}: {error}", shown(replaced));
                }
            }
        }
        drop(table);
        drop(change);
        self.settled.notify_all();
        started?;
        self.tell_subscribers();
        if let Some(replaced) = &replaced {
            self.follow(replaced, replaced.give_way());
        }
        for surplus in self.surplus_of(name) {
            if let Err(error) = self.remove(&surplus) {
                log::error!("server", "{} stays listed: {error}", shown(&surplus));
            }
        }
        Ok(process)
    }

    /// Puts a new process into the table, if there is none of its name and there is room for it.
    fn list(&self, name: &[u8], spec: &Spec, replace: Option<Replace>) -> Result<Listed, Failure> {
        let mut table = self.lock();
        let mut replaced = None;
        while let Some(existing) = table.by_name.get(name) {
            if table.is_starting(existing) {
                table = self.settled.wait(table).unwrap_or_else(PoisonError::into_inner);
            } else if replace.is_some_and(|replace| existing.gives_way_to(replace)) {
                replaced = Some(Arc::clone(existing));
                break;
            } else if existing.spec == *spec {
                return Ok(Listed::Same(Arc::clone(existing)));
            } else {
                let name = papa_protocol::text::shown(name);
                let line = existing.line();
                let line = String::from_utf8_lossy(&line);
                let what = format!("Process for {name} has already been created - {line}");
                return Err(Failure::new(Code::Exists, what));
            }
        }
        self.bounds.check(Bound::Name, name.len())?;
        self.bounds.check(Bound::Args, spec.bytes())?;
        let share = match self.make_room(table.count(), spec) {
            Ok(share) => share,
            Err(refusal) => {
                let unwatched = table.previous.oldest_unwatched();
                let is_replaced = unwatched.is_none();
                let oldest = unwatched.or(replaced).ok_or(refusal)?;
                return Ok(Listed::NoRoom { oldest, is_replaced });
            }
        };
        if let Some(replaced) = &replaced {
            table.step_aside(replaced);
        }
        table.last_id += 1;
        let process = Arc::new(Process::new(table.last_id, name.to_vec(), spec.clone(), now()));
        table.by_name.insert(name.to_vec(), Arc::clone(&process));
        table.starting.push(Arc::clone(&process));
        Ok(Listed::New(process, share, replaced))
    }

    /// Room for one more than there are.
    fn make_room(&self, count: usize, spec: &Spec) -> Result<Option<Share>, Failure> {
        self.bounds.check(Bound::Processes, count + 1)?;
        let has_ring = spec.keeps_stdout() || spec.keeps_stderr();
        has_ring.then(|| self.buffers.promise(spec.bufsize)).transpose()
    }

    /// Starts the program of a process that is in the table already.
    fn start(
        &self,
        process: &Arc<Process>,
        share: Option<Share>,
        identity: &Identity,
        sockets: &Sockets,
        change: &Change,
        child_ends: &mut Pipes,
    ) -> Result<(), Failure> {
        let cannot = |error: io::Error| {
            Failure::new(limit::code_of(&error), format!("Cannot prepare the process - {error}"))
        };
        let referred = sockets.refer(&process.name, process.spec.references(), change)?;
        process.given.get_or_init(|| referred.given);
        let null = File::options().read(true).write(true).open("/dev/null").map_err(cannot)?;
        *child_ends = self.prepare_output(process, share).map_err(cannot)?;
        give_to(child_ends, identity);
        // A process whose output cannot be read is not to run: it would stop when its pipes are full.
        self.capture.watch(process).map_err(cannot)?;
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
        if identity.is_other_user() {
            self.capture.see_to_start(process);
        }
        program.start(&self.defaults, change, &process.pid)
    }

    /// Forgets what was prepared for a process that did not start.
    fn abandon(&self, process: &Arc<Process>, change: &Change) {
        // If this is not written, the process is found to have ended by its pid.
        let _ = change.append(process.record("failed"));
        self.capture.abandon(process);
        let id = process.id;
        self.link.drop_held(vec![Held::Ring(id), Held::Out(id), Held::Err(id)]);
        process.set_output(Output::none());
    }

    /// Makes ring and pipes as the process needs them, held by the keeper. Returns the child's
    /// ends.
    fn prepare_output(&self, process: &Process, share: Option<Share>) -> io::Result<Pipes> {
        let (spec, id) = (&process.spec, process.id);
        let pipe = |wanted: bool| -> io::Result<(Option<OwnedFd>, Option<OwnedFd>)> {
            let ends = wanted.then(|| pipe2(OFlag::O_CLOEXEC)).transpose()?;
            Ok(ends.map(|(reader, writer)| (sys::keep(reader), writer)).unzip())
        };
        let (out, childs_out) = pipe(spec.keeps_stdout())?;
        let (err, childs_err) = pipe(spec.keeps_stderr())?;
        let pipes = Pipes { out, err };
        let ring = match share {
            Some(share) => Some((Ring::create(spec.bufsize)?, share)),
            None => None,
        };
        let fds = [
            (Held::Ring(id), ring.as_ref().map(|(ring, _)| ring.as_file())),
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
}

/// Gives pipes to the user whose process writes to them: it could not open them by name otherwise, as
/// `/dev/stdout`. Where papad may not, they stay its own.
fn give_to(pipes: &Pipes, identity: &Identity) {
    let (uid, gid) = (identity.uid.map(Uid::from_raw), identity.gid.map(Gid::from_raw));
    for pipe in [&pipes.out, &pipes.err].into_iter().flatten() {
        let _ = fchown(pipe, uid, gid);
    }
}
