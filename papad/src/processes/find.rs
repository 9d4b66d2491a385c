//! Which processes a client means.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use papa_protocol::name::{Pattern, Patterns};

use super::process::Process;
use super::table::{Processes, Table};
use crate::journal::parse_number;

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

impl Processes {
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
}
