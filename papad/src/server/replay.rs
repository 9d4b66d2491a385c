//! What the journal says, of everything.

use std::fs::File;
use std::io;

use super::Birth;
use crate::journal::{self, Journal};
use crate::values::Disk;
use crate::{log, processes, sockets, values};

/// All records of the journal, taken together.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) born: Option<Birth>,
    pub(super) values: values::Replayed,
    pub(super) sockets: sockets::Replayed,
    pub(super) processes: processes::Replayed,
    /// Records that could not be read.
    pub(super) skipped: u64,
}

/// Reads the journal that the last server left.
pub(super) fn replay(file: &File) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    replayed.skipped = journal::replay(file, |verb, fields| match verb {
        b"born" => {
            replayed.born = Some(Birth::read(fields)?);
            Some(())
        }
        b"set" | b"unset" => replayed.values.apply(verb, fields),
        b"socket" | b"unsocket" => replayed.sockets.apply(verb, fields),
        _ => replayed.processes.apply(verb, fields),
    })?;
    if replayed.skipped > 0 {
        log::warn!("server", "{} records of the journal cannot be read", replayed.skipped);
    }
    Ok(replayed)
}

/// Begins from nothing but the values on disk. The journal says all of them before it is held:
/// from then on it is the truth.
pub(super) fn begin(disk: Option<&mut Disk>) -> io::Result<(Journal, Replayed)> {
    let journal = Journal::create()?;
    let values = disk.map(Disk::read).transpose()?.unwrap_or_default();
    values.records().try_for_each(|record| journal.change().append(record))?;
    Ok((journal, Replayed { values, ..Replayed::default() }))
}
