//! What the journal says, of everything; without what has been found to kill servers.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use papa_protocol::text::shown;

use super::Birth;
use super::mark::{Mark, Place};
use crate::journal::{self, Fields, Journal, Record};
use crate::link::{Held, Link};
use crate::values::Disk;
use crate::{log, processes, sockets, values};

/// All records of the journal, taken together.
#[derive(Default)]
pub(super) struct Replayed {
    pub(super) born: Option<Birth>,
    pub(super) values: values::Replayed,
    pub(super) sockets: sockets::Replayed,
    pub(super) processes: processes::Replayed,
    /// What was set aside, as records or words that name it.
    pub(super) aside: Vec<Vec<u8>>,
    /// Records that could not be read.
    pub(super) skipped: u64,
}

impl Replayed {
    /// Takes one record; `None` if it cannot be read.
    pub(super) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        match verb {
            b"born" => self.born = Some(Birth::read(fields)?),
            b"set" | b"unset" => self.values.apply(verb, fields)?,
            b"socket" | b"unsocket" => self.sockets.apply(verb, fields)?,
            b"aside" => self.aside.push(fields.word()?),
            _ => self.processes.apply(verb, fields)?,
        }
        Some(())
    }
}

/// Takes up the journal that the last server left, and has the disk agree with it.
pub(super) fn go_on(
    (number, file): (u64, File),
    disk: Option<&mut Disk>,
    mark: &Mark,
    link: &Link,
) -> io::Result<(Journal, Replayed)> {
    let (number, file) = match mark.deadly {
        Some(Place::Record(offset)) => set_aside(number, &file, offset, link)?,
        _ => (number, file),
    };
    let mut replayed = replay(&file, mark)?;
    match (disk, mark.deadly) {
        // What is deadly in one of them may be so in the other. What is true is in the journal.
        (Some(disk), Some(Place::OnDisk(_) | Place::Record(_))) => disk.become_as(&replayed.values),
        (Some(disk), _) => {
            disk.agree_with(&replayed.values, |offset| mark.at(Some(Place::OnDisk(offset))));
        }
        (None, _) => {}
    }
    mark.at(None);
    let journal = Journal::recover(number, file)?;
    if let Some(Place::Ring(process)) = mark.deadly {
        let what = format!("ring {process}").into_bytes();
        tell_of_aside(&what);
        journal.change().append(aside_record(&what))?;
        replayed.aside.push(what);
    }
    Ok((journal, replayed))
}

/// Begins from nothing but the values on disk. The journal says all of them before it is held:
/// from then on it is the truth.
pub(super) fn begin(disk: Option<&mut Disk>, mark: &Mark) -> io::Result<(Journal, Replayed)> {
    let journal = Journal::create()?;
    let mut replayed = Replayed::default();
    if let Some(disk) = disk {
        if let Some(Place::OnDisk(offset)) = mark.deadly {
            let record = disk.set_aside(offset)?;
            tell_of_aside(&record);
            journal.change().append(aside_record(&record))?;
            replayed.aside.push(record);
        }
        replayed.values = disk.read(|offset| mark.at(Some(Place::OnDisk(offset))))?;
        mark.at(None);
        replayed.values.records().try_for_each(|record| journal.change().append(record))?;
    }
    Ok((journal, replayed))
}

/// What says of something that it is left out. It is never applied.
pub(super) fn aside_record(what: &[u8]) -> Record {
    Record::new("aside").word(what)
}

fn tell_of_aside(what: &[u8]) {
    log::error!("server", "set aside, since servers died of it: {}", shown(what));
}

/// Puts a journal in force that is the same but for the record that begins at this byte, and has
/// the next number.
fn set_aside(former: u64, file: &File, offset: u64, link: &Link) -> io::Result<(u64, File)> {
    let (records, text) = journal::set_aside(file, offset)?;
    let (number, file) = (former + 1, Journal::with_records(&records)?);
    link.hold(&[(Held::Journal(number), file.as_fd())])?;
    link.drop_held(vec![Held::Journal(former)]);
    tell_of_aside(&text);
    Ok((number, file))
}

fn replay(file: &File, mark: &Mark) -> io::Result<Replayed> {
    let mut replayed = Replayed::default();
    let at = |offset| mark.at(Some(Place::Record(offset)));
    replayed.skipped =
        journal::replay_telling(file, at, |verb, fields| replayed.apply(verb, fields))?;
    if replayed.skipped > 0 {
        log::warn!("server", "{} records of the journal cannot be read", replayed.skipped);
    }
    Ok(replayed)
}
