//! Processes of one name in one watch: each comes after all of the one that it has replaced.
//!
//! Frames and acknowledgements name a process by its name alone. So of several processes of one
//! name the oldest is spoken of until it has left the watch, and nothing is said of the others
//! before. Each is read from all the same: what it writes is kept for the watch.

use std::collections::HashMap;
use std::sync::Arc;

use papa_protocol::exact::{Code, Failure, From, Watch};
use papa_protocol::name::Patterns;
use papa_protocol::text::shown;

use super::{Watched, Watching, joined};
use crate::processes::{Numbers, Process};

impl Watching {
    /// The processes that a request names.
    pub(super) fn find(
        &self,
        request: &Watch,
        patterns: &Patterns,
    ) -> Result<Vec<Arc<Process>>, Failure> {
        let processes = &self.server.processes;
        if let (Some(id), [name]) = (request.id, &request.names[..]) {
            let process = processes.get_by_id(name, id).map(|process| vec![process]);
            return process.ok_or_else(|| {
                let what = format!("there is no process {} of the id {id}", shown(name));
                Failure::new(Code::NotFound, what)
            });
        }
        let found = processes.find(patterns, Numbers::AreNames);
        if let Some(name) = found.missing {
            let what = format!("there is no process of the name {}", shown(&name));
            return Err(Failure::new(Code::NotFound, what));
        }
        Ok(found.into_processes().collect())
    }

    /// Whether a process of this name is in the watch.
    pub(super) fn has_name(&self, name: &[u8]) -> bool {
        self.watched.iter().any(|watched| watched.process.name == name)
    }

    /// Whether what a request names can be told from what is watched already.
    pub(super) fn check_order(&self, request: &Watch, new: &[Arc<Process>]) -> Result<(), Failure> {
        let is_one_process = request.id.is_some() || matches!(request.from, From::Position(_));
        let clashing = new.iter().find(|process| self.has_name(&process.name));
        match clashing.filter(|_| is_one_process) {
            None => Ok(()),
            Some(process) => {
                let name = shown(&process.name);
                let what = format!("another process of the name {name} is being watched still");
                Err(Failure::new(Code::Conflict, what))
            }
        }
    }

    /// Processes whose predecessors have left the watch join it; returns whether any did.
    pub(super) fn join_successors(&mut self, out: &mut Vec<u8>) -> bool {
        let mut has_joined = false;
        for at in 0..self.watched.len() {
            if self.watched[at].is_held_back && !has_older(&self.watched, at) {
                self.watched[at].is_held_back = false;
                joined(&self.watched[at].process).write(out);
                has_joined = true;
            }
        }
        has_joined
    }

    /// Finds out anew which are held back, as it was on another server.
    pub(super) fn hold_back(&mut self) {
        let mut oldest: HashMap<Vec<u8>, u64> = HashMap::new();
        for Watched { process, .. } in &self.watched {
            let id = oldest.entry(process.name.clone()).or_insert(process.id);
            *id = process.id.min(*id);
        }
        for watched in &mut self.watched {
            watched.is_held_back = oldest.get(&watched.process.name) != Some(&watched.process.id);
        }
    }
}

/// Whether an older process of the same name is among those that are watched.
fn has_older(watched: &[Watched], at: usize) -> bool {
    let process = &watched[at].process;
    watched.iter().any(|it| it.process.name == process.name && it.process.id < process.id)
}
