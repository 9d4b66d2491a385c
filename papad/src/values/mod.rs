//! The key/value store: an ordered table, so that names with a prefix are found by range.

mod disk;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound::{Included, Unbounded};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papa_protocol::exact::Failure;
use papa_protocol::name::{Pattern, Patterns};

pub(crate) use disk::{Disk, is_lock_of, lock};

use crate::bounds::{Bound, Bounds};
use crate::journal::{Fields, Journal, Record};
use crate::memory::HighWater;
use crate::sys;

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

/// All values by their names.
#[derive(Default)]
struct Table {
    by_name: BTreeMap<Vec<u8>, Value>,
    /// Bytes of all names and texts.
    bytes: u64,
    most: HighWater,
}

impl Table {
    fn insert(&mut self, name: Vec<u8>, value: Value) {
        self.bytes += bytes_of(&name, &value.text);
        let length = name.len();
        if let Some(former) = self.by_name.insert(name, value) {
            self.bytes -= (length + former.text.len()) as u64;
        }
    }

    /// What there is of this name, if the condition holds.
    fn check(&self, name: &[u8], condition: &Condition) -> Result<Option<Had>, Unchanged> {
        let value = self.by_name.get(name);
        condition.check(value)?;
        Ok(value.map(|value| if value.session.is_none() { Had::Kept } else { Had::ForSession }))
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(former) = self.by_name.remove(name) {
            self.bytes -= bytes_of(name, &former.text);
            self.most.removed(self.by_name.len());
        }
    }
}

fn bytes_of(name: &[u8], text: &[u8]) -> u64 {
    (name.len() + text.len()) as u64
}

/// Why a value was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// There is no value of this name.
    Absent,
    /// There is one, and the condition wants another, or none.
    Other,
    /// A bound is met.
    BeyondBound(Failure),
}

/// All values.
pub(crate) struct Values {
    journal: Arc<Journal>,
    bounds: Arc<Bounds>,
    /// Taken for a whole change, so that what a condition wanted is still so when it is made, and
    /// before anything else is: only those who change values wait for the disk.
    disk: Mutex<Option<Disk>>,
    table: Mutex<Table>,
}

/// What the journal, or the disk, says of values.
#[derive(Default)]
pub(crate) struct Replayed(Table);

impl Replayed {
    /// Takes one record; `None` if it is none of these or cannot be read.
    pub(crate) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        let name = fields.word()?;
        sys::kill_point_of("replay", &name);
        match verb {
            b"set" => {
                let text = fields.word()?;
                // A version that did not number sessions ended them all with itself.
                let session = fields.word().map(|_| fields.number().unwrap_or(0));
                self.0.insert(name, Value { text, session });
            }
            b"unset" => self.0.remove(&name),
            _ => return None,
        }
        Some(())
    }

    /// The records that say the same.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        records(&self.0)
    }

    /// Names and texts of those that are on the disk, too.
    fn kept(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        kept(&self.0)
    }

    fn to_file(&self) -> Vec<u8> {
        file_of(&self.0)
    }
}

impl Values {
    pub(crate) fn new(
        journal: Arc<Journal>,
        bounds: Arc<Bounds>,
        replayed: Replayed,
        disk: Option<Disk>,
    ) -> Values {
        Values { journal, bounds, disk: Mutex::new(disk), table: Mutex::new(replayed.0) }
    }

    fn lock_disk(&self) -> MutexGuard<'_, Option<Disk>> {
        // As for the table.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Before others have to wait.
        let record = set_record(&name, &text, session);
        let mut disk = self.lock_disk();
        let had = match self.check_setting(&name, &text, condition) {
            Ok(had) => had,
            Err(unchanged) => return Ok(Err(unchanged)),
        };
        let on_disk = if session.is_none() {
            disk.is_some().then(|| record.clone())
        } else {
            // On the disk there is no value of this name, then.
            (had == Some(Had::Kept)).then(|| unset_record(&name))
        };
        self.commit(&mut disk, on_disk, record, |table| {
            table.insert(name, Value { text, session });
        })?;
        Ok(Ok(()))
    }

    /// Removes a value if the condition holds.
    pub(crate) fn unset(
        &self,
        name: &[u8],
        condition: &Condition,
    ) -> io::Result<Result<(), Unchanged>> {
        let mut disk = self.lock_disk();
        let had = match self.lock().check(name, condition) {
            Ok(Some(had)) => had,
            Ok(None) => return Ok(Err(Unchanged::Absent)),
            Err(unchanged) => return Ok(Err(unchanged)),
        };
        let on_disk = (had == Had::Kept).then(|| unset_record(name));
        self.commit(&mut disk, on_disk, unset_record(name), |table| table.remove(name))?;
        Ok(Ok(()))
    }

    /// Removes the values of a session that has ended.
    pub(crate) fn end_session(&self, session: SessionId) -> io::Result<()> {
        self.keep_sessions(|id| id != session)
    }

    /// Removes the values of all sessions but these.
    pub(crate) fn keep_sessions(&self, is_kept: impl Fn(SessionId) -> bool) -> io::Result<()> {
        let mut disk = self.lock_disk();
        let is_its = |value: &Value| value.session.is_some_and(|id| !is_kept(id));
        let names: Vec<Vec<u8>> = {
            let table = self.lock();
            let its = table.by_name.iter().filter(|(_, value)| is_its(value));
            its.map(|(name, _)| name.clone()).collect()
        };
        for name in names {
            self.commit(&mut disk, None, unset_record(&name), |table| table.remove(&name))?;
        }
        Ok(())
    }

    /// What there is of this name, if the condition holds and this may be stored.
    fn check_setting(
        &self,
        name: &[u8],
        text: &[u8],
        condition: &Condition,
    ) -> Result<Option<Had>, Unchanged> {
        let table = self.lock();
        let had = table.check(name, condition)?;
        self.check_bounds(&table, name, text).map_err(Unchanged::BeyondBound)?;
        Ok(had)
    }

    /// Whether this may be stored. What does not make more of what there is too much of, may be.
    fn check_bounds(&self, table: &Table, name: &[u8], text: &[u8]) -> Result<(), Failure> {
        self.bounds.check(Bound::Value, text.len())?;
        let former = table.by_name.get(name);
        if former.is_none() {
            self.bounds.check(Bound::Name, name.len())?;
            self.bounds.check(Bound::Values, table.by_name.len() + 1)?;
        }
        let freed = former.map_or(0, |former| bytes_of(name, &former.text));
        let bytes = table.bytes - freed + bytes_of(name, text);
        if bytes > table.bytes {
            self.bounds.check_bytes(Bound::ValuesTotal, bytes)?;
        }
        Ok(())
    }

    /// Makes a change: on the disk, in the journal, in the table. With an error, in none of them.
    fn commit(
        &self,
        disk: &mut Option<Disk>,
        on_disk: Option<Record>,
        record: Record,
        apply: impl FnOnce(&mut Table),
    ) -> io::Result<()> {
        let written = match (disk.as_mut(), on_disk) {
            (Some(disk), Some(record)) => {
                let all = || file_of(&self.lock());
                Some((disk.append(record, all)?, disk))
            }
            _ => None,
        };
        let change = self.journal.change();
        if let Err(error) = change.put(record) {
            if let Some((length, disk)) = written {
                disk.take_back(length);
            }
            return Err(error);
        }
        apply(&mut self.lock());
        Ok(())
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.lock().by_name.get(name).map(|value| value.text.clone())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_name.len()
    }

    /// Bytes of all of them and their names.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Name and text of each value that the patterns name, in the order of their names, and
    /// whether it ends with a session.
    pub(crate) fn find(&self, patterns: &Patterns) -> Vec<(Vec<u8>, Vec<u8>, bool)> {
        let table = &self.lock().by_name;
        let found = names(table, patterns).into_iter();
        found
            .map(|name| (name.to_vec(), table[name].text.clone(), table[name].session.is_some()))
            .collect()
    }

    /// Has a keeper that was just started hold the lock of the disk, if there is one.
    pub(crate) fn hold_lock(
        &self,
        hold: impl FnOnce(BorrowedFd) -> io::Result<()>,
    ) -> io::Result<()> {
        self.lock_disk().as_ref().map_or(Ok(()), |disk| hold(disk.lock()))
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_name.is_empty()
    }

    /// Writes the records of everything here.
    pub(crate) fn write_records(
        &self,
        write: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        records(&self.lock()).try_for_each(write)
    }
}

/// What there is of a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    /// A value that outlives its session, and with a disk, papad.
    Kept,
    ForSession,
}

/// The records that make all values anew.
fn records(table: &Table) -> impl Iterator<Item = Record> {
    let all = table.by_name.iter();
    all.map(|(name, Value { text, session })| set_record(name, text, *session))
}

/// All values but those of sessions: what there is on the disk.
fn kept(table: &Table) -> impl Iterator<Item = (&[u8], &[u8])> {
    let kept = table.by_name.iter().filter(|(_, value)| value.session.is_none());
    kept.map(|(name, value)| (&name[..], &value.text[..]))
}

/// The file on the disk that says so.
fn file_of(table: &Table) -> Vec<u8> {
    kept(table).flat_map(|(name, text)| set_record(name, text, None).into_bytes()).collect()
}

fn unset_record(name: &[u8]) -> Record {
    Record::new("unset").word(name)
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

fn names<'a>(table: &'a BTreeMap<Vec<u8>, Value>, patterns: &Patterns) -> BTreeSet<&'a [u8]> {
    let mut names = BTreeSet::new();
    for pattern in patterns.iter() {
        match pattern {
            Pattern::All => names.extend(table.keys().map(Vec::as_slice)),
            Pattern::Prefix(prefix) => {
                let from = table.range::<[u8], _>((Included(prefix), Unbounded));
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
