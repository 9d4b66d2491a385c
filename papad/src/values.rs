//! The key/value store: an ordered table, so that names with a prefix are found by range.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papa_protocol::name::{Pattern, Patterns};

use crate::journal::{Fields, Journal, Record};

type Table = BTreeMap<Vec<u8>, Value>;

/// A session, for as long as a server lives.
pub(crate) type SessionId = u64;

/// A value, and the session it ends with, if it does.
struct Value {
    text: Vec<u8>,
    session: Option<SessionId>,
}

/// What must be so for a value to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Any,
    Absent,
    Is(Vec<u8>),
}

/// Why a value was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// There is no value of this name.
    Absent,
    /// There is one, and the condition wants another, or none.
    Other,
}

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
            b"set" => {
                let text = fields.word()?;
                // A version that did not number sessions ended them all with itself.
                let session = fields.word().map(|_| fields.number().unwrap_or(0));
                self.0.insert(name, Value { text, session });
            }
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

    /// Stores a value if the condition holds; with a session, until that ends.
    pub(crate) fn set(
        &self,
        name: Vec<u8>,
        text: Vec<u8>,
        condition: &Condition,
        session: Option<SessionId>,
    ) -> io::Result<Result<(), Unchanged>> {
        let record = set_record(&name, &text, session);
        let change = self.journal.change();
        let mut table = self.lock();
        if let Err(unchanged) = condition.check(table.get(&name)) {
            return Ok(Err(unchanged));
        }
        change.append(record)?;
        table.insert(name, Value { text, session });
        Ok(Ok(()))
    }

    /// Removes a value if the condition holds.
    pub(crate) fn unset(
        &self,
        name: &[u8],
        condition: &Condition,
    ) -> io::Result<Result<(), Unchanged>> {
        let change = self.journal.change();
        let mut table = self.lock();
        let value = table.get(name);
        if let Err(unchanged) = condition.check(value) {
            return Ok(Err(unchanged));
        }
        if value.is_none() {
            return Ok(Err(Unchanged::Absent));
        }
        change.append(Record::new("unset").word(name))?;
        table.remove(name);
        Ok(Ok(()))
    }

    /// Removes the values of a session that has ended.
    pub(crate) fn end_session(&self, session: SessionId) -> io::Result<()> {
        self.keep_sessions(|id| id != session)
    }

    /// Removes the values of all sessions but these.
    pub(crate) fn keep_sessions(&self, is_kept: impl Fn(SessionId) -> bool) -> io::Result<()> {
        let change = self.journal.change();
        let mut table = self.lock();
        let is_its = |value: &Value| value.session.is_some_and(|id| !is_kept(id));
        let names: Vec<Vec<u8>> =
            table.iter().filter(|(_, value)| is_its(value)).map(|(name, _)| name.clone()).collect();
        for name in names {
            change.append(Record::new("unset").word(&name))?;
            table.remove(&name);
        }
        Ok(())
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().get(name).map(|value| value.text.clone())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Name and text of each value that the patterns name, in the order of their names, and
    /// whether it ends with a session.
    pub(crate) fn find(&self, patterns: &Patterns) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        let table = self.lock();
        let found = names(&table, patterns).into_iter();
        found
            .map(|name| (name.to_vec(), table[name].text.clone(), table[name].session.is_some()))
            .collect()
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
        let mut records =
            table.iter().map(|(name, Value { text, session })| set_record(name, text, *session));
        records.try_for_each(write)
    }
}

impl Condition {
    fn check(&self, value: Option<&Value>) -> Result<(), Unchanged> {
        match (self, value) {
            (Condition::Any, _) | (Condition::Absent, None) => Ok(()),
            (Condition::Is(text), Some(value)) if *text == value.text => Ok(()),
            (_, None) => Err(Unchanged::Absent),
            (_, Some(_)) => Err(Unchanged::Other),
        }
    }
}

fn set_record(name: &[u8], text: &[u8], session: Option<SessionId>) -> Record {
    let record = Record::new("set").word(name).word(text);
    match session {
        Some(session) => record.word("session").number(session),
        None => record,
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
