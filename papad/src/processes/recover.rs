//! Processes as the journal and the keeper have them after a server has died.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use papa_protocol::frame::Time;
use papa_protocol::options::Overflow;

use super::output::{Output, Pipes};
use super::process::{Exit, Life, Process};
use super::spec::Spec;
use super::table::Processes;
use crate::journal::{Fields, Record};
use crate::link::Held;
use crate::log;
use crate::ring::Ring;

/// What the journal says of processes.
#[derive(Default)]
pub(crate) struct Replayed {
    processes: BTreeMap<u64, Entry>,
    /// Off the list, but their pipes may still be held.
    gone: Vec<u64>,
    last_id: u64,
}

struct Entry {
    name: Vec<u8>,
    started: Time,
    spec: Spec,
    pid: Option<i32>,
    exit: Option<Exit>,
    removed: bool,
}

impl Replayed {
    /// Takes one record; `None` if it is none of these or cannot be read.
    pub(crate) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        let id = fields.number()?;
        self.last_id = self.last_id.max(id);
        match verb {
            b"process" => {
                let (started, name) = (Time(fields.number()?), fields.word()?);
                let spec = Spec::read(fields)?;
                let entry = Entry { name, started, spec, pid: None, exit: None, removed: false };
                self.processes.insert(id, entry);
            }
            b"started" => self.processes.get_mut(&id)?.pid = Some(fields.number()?),
            b"failed" => {
                self.processes.remove(&id);
            }
            b"exited" => {
                let exit = Exit { code: fields.number()?, time: Time(fields.number()?) };
                // A child that failed before exec is recorded as failed first.
                if let Some(entry) = self.processes.get_mut(&id) {
                    entry.exit = Some(exit);
                }
            }
            b"removing" => {
                // It may have left the list at the same time.
                if let Some(entry) = self.processes.get_mut(&id) {
                    entry.removed = true;
                }
            }
            b"gone" => {
                self.processes.remove(&id);
                self.gone.push(id);
            }
            b"last" => {}
            _ => return None,
        }
        Some(())
    }
}

impl Processes {
    /// Puts everything back as it was. What belongs to processes is taken out of `held`.
    pub(crate) fn recover(&self, replayed: Replayed, held: &mut HashMap<Held, OwnedFd>) {
        let mut processes = Vec::new();
        for (id, entry) in replayed.processes {
            let Some(pid) = entry.pid else {
                // The child was never made, or was killed before it had done anything.
                log::debug!("server", "process {id} was not started");
                let _ = self.journal.change().append(Record::new("failed").number(id));
                continue;
            };
            let Entry { name, started, spec, exit, removed, .. } = entry;
            let life = exit.map_or(Life::Running, Life::Exited);
            let process = Process::recovered(id, name, spec, started, pid, life);
            let output = recover_output(id, process.spec.overflow, held);
            process.set_output(output);
            if removed {
                process.remove();
            }
            processes.push(Arc::new(process));
        }
        // Their descendants write to these pipes: without a reader that would kill them.
        for id in replayed.gone {
            let pipes = take_pipes(id, held);
            if !pipes.all_ended() {
                let process = Process::draining(id, Output::new(pipes, None, Overflow::Drop));
                self.lock().draining.push(id);
                self.watch_pipes(&Arc::new(process));
            }
        }
        let mut table = self.lock();
        table.last_id = replayed.last_id;
        for process in &processes {
            // The pid of one that ended may be another's by now; the younger one has it.
            table.by_pid.insert(process.pid(), Arc::clone(process));
            table.by_name.insert(process.name.clone(), Arc::clone(process));
        }
        drop(table);
        for process in &processes {
            self.watch_pipes(process);
            let next = process.resume();
            self.follow(process, next);
        }
        if processes.iter().any(|process| process.is_waiting()) {
            self.capture.wait_for_takers();
        }
    }
}

fn recover_output(id: u64, overflow: Overflow, held: &mut HashMap<Held, OwnedFd>) -> Output {
    let pipes = take_pipes(id, held);
    let ring = held.remove(&Held::Ring(id)).and_then(|fd| {
        let ring = Ring::recover(File::from(fd));
        ring.inspect_err(|error| {
            log::error!("server", "the output of process {id} is lost: {error}");
        })
        .ok()
    });
    Output::new(pipes, ring, overflow)
}

fn take_pipes(id: u64, held: &mut HashMap<Held, OwnedFd>) -> Pipes {
    Pipes { out: held.remove(&Held::Out(id)), err: held.remove(&Held::Err(id)) }
}
