//! The key/value store: an ordered table, so that names with a prefix are found by range.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papa_protocol::name::{Pattern, Patterns};

use crate::journal::{Fields, Journal, Record};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// All values.
pub(crate) struct Values {
    journal: Arc<Journal>,
    table: Mutex<Table>,
}

/// What the journal says of values.
#[derive(Default)]
pub(crate) struct Replayed(Table);

impl Replayed {
    /// Takes one record; `None` if it is none of these or cannot be read.
    pub(crate) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        let name = fields.word()?;
        match verb {
            b"set" => drop(self.0.insert(name, fields.word()?)),
            b"unset" => drop(self.0.remove(&name)),
            _ => return None,
        }
        Some(())
    }
}

impl Values {
    pub(crate) fn new(journal: Arc<Journal>, replayed: Replayed) -> Values {
        Values { journal, table: Mutex::new(replayed.0) }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a value.
    pub(crate) fn set(&self, name: Vec<u8>, value: Vec<u8>) -> io::Result<()> {
        let record = Record::new("set").word(&name).word(&value);
        let change = self.journal.change();
        let mut table = self.lock();
        change.append(record)?;
        table.insert(name, value);
        Ok(())
    }

    /// Removes a value, if it is there.
    pub(crate) fn unset(&self, name: &[u8]) -> io::Result<()> {
        let change = self.journal.change();
        let mut table = self.lock();
        if table.contains_key(name) {
            change.append(Record::new("unset").word(name))?;
            table.remove(name);
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().get(name).cloned()
    }

    /// `NAME VALUE` of each value that the patterns name, in the order of their names.
    pub(crate) fn lines(&self, patterns: &Patterns) -> Vec<Vec<u8>> {
        let table = self.lock();
        let names = names(&table, patterns);
        names.into_iter().map(|name| [name, &b" "[..], &table[name]].concat()).collect()
    }

    /// Removes the values that the patterns name.
    pub(crate) fn remove(&self, patterns: &Patterns) -> io::Result<()> {
        let found: Vec<Vec<u8>> =
            names(&self.lock(), patterns).into_iter().map(<[u8]>::to_vec).collect();
        found.iter().try_for_each(|name| self.unset(name))
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Writes the records of everything here.
    pub(crate) fn write_records(
        &self,
        write: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let table = self.lock();
        table.iter().try_for_each(|(name, value)| write(Record::new("set").word(name).word(value)))
    }
}

fn names<'a>(table: &'a Table, patterns: &Patterns) -> BTreeSet<&'a [u8]> {
    let mut names = BTreeSet::new();
    for pattern in patterns.iter() {
        match pattern {
            Pattern::All => names.extend(table.keys().map(Vec::as_slice)),
            Pattern::Prefix(prefix) => {
                let from = table.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
                let found = from.take_while(|(name, _)| name.starts_with(prefix));
                names.extend(found.map(|(name, _)| name.as_slice()));
            }
            Pattern::Exact(name) => {
                names.extend(table.get_key_value(name).map(|(name, _)| name.as_slice()));
            }
        }
    }
    names
}
