//! How far a server got that died while it recovered.
//!
//! When the server before this one was never ready, this one notes where it is, in a memory file
//! that the keeper holds, before each record and each ring. If it dies, too, and the next one dies
//! at the same place, then that place kills servers: the one after them goes on without it. A
//! server that is killed by somebody, or ends for want of memory, does so anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use crate::link::{Held, Link, Start};
use crate::{log, sys};

/// Where a server is in its recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the record that begins at this byte of the journal.
    Record(u64),
    /// At the ring of the process with this number.
    Ring(u64),
    /// At the record that begins at this byte of the file of values on disk.
    OnDisk(u64),
}

impl Place {
    /// Two numbers for the file; kind 0 is nowhere.
    fn to_numbers(place: Option<Place>) -> [u64; 2] {
        match place {
            None => [0, 0],
            Some(Place::Record(offset)) => [1, offset],
            Some(Place::Ring(process)) => [2, process],
            Some(Place::OnDisk(offset)) => [3, offset],
        }
    }

    fn from_numbers([kind, number]: [u64; 2]) -> Option<Place> {
        match kind {
            1 => Some(Place::Record(number)),
            2 => Some(Place::Ring(number)),
            3 => Some(Place::OnDisk(number)),
            _ => None,
        }
    }
}

/// Bytes that one server has in the file: its number, and where it is. Two servers take turns.
const SLOT: usize = 3 * size_of::<u64>();

/// What this server notes for those after it.
pub(super) struct Mark {
    /// `None` as long as all goes well.
    file: Option<File>,
    /// This server's number.
    server: u64,
    /// Where both servers before this one died.
    pub(super) deadly: Option<Place>,
}

impl Mark {
    /// Begins to note where this server is, if the one before it was never ready.
    pub(super) fn begin(start: &Start, held: &mut HashMap<Held, OwnedFd>, link: &Link) -> Mark {
        let server = start.starts;
        let mut mark = Mark { file: None, server, deadly: None };
        if start.deaths == 0 {
            return mark;
        }
        let file = held.remove(&Held::Mark).map(File::from).map_or_else(|| create(link), Ok);
        match file {
            Ok(file) => {
                let [last, before] = [1, 2].map(|back| left_by(&file, server.checked_sub(back)?));
                mark.deadly = last.filter(|_| last == before);
                mark.file = Some(file);
                mark.at(None);
            }
            // Without it, a place that kills servers goes on doing so.
            Err(error) => log::error!("server", "recovery cannot be followed: {error}"),
        }
        mark
    }

    /// The server gets to a place; `None` is one that nothing is to be left out for.
    pub(super) fn at(&self, place: Option<Place>) {
        let Some(file) = &self.file else { return };
        let [kind, number] = Place::to_numbers(place);
        let slot: Vec<u8> =
            [self.server, kind, number].into_iter().flat_map(u64::to_le_bytes).collect();
        if let Err(error) = file.write_all_at(&slot, offset_of(self.server)) {
            log::error!("server", "recovery cannot be followed: {error}");
        }
    }

    /// What could be deadly is behind the server.
    pub(super) fn end(self, link: &Link) {
        self.at(None);
        if self.file.is_some() {
            link.drop_held(vec![Held::Mark]);
        }
    }
}

fn create(link: &Link) -> io::Result<File> {
    let file = sys::memfd(c"papad-mark")?;
    link.hold(&[(Held::Mark, file.as_fd())])?;
    Ok(file)
}

fn offset_of(server: u64) -> u64 {
    server % 2 * SLOT as u64
}

/// Where this server was when it died.
fn left_by(file: &File, server: u64) -> Option<Place> {
    let mut slot = [0; SLOT];
    // Before anything was noted there, the file ends earlier.
    file.read_exact_at(&mut slot, offset_of(server)).ok()?;
    let mut numbers = slot.chunks_exact(size_of::<u64>());
    let mut number = || Some(u64::from_le_bytes(numbers.next()?.try_into().ok()?));
    (number()? == server).then_some(())?;
    Place::from_numbers([number()?, number()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Server number `starts`, after as many that were never ready as `deaths` says, which dies at
    /// `place`. Returns where both before it died.
    fn run(link: &Link, held: &mut Option<OwnedFd>, starts: u64, place: Place) -> Option<Place> {
        let start = Start::from_text(&format!("{starts} none 0 0 deaths={}", starts - 1)).unwrap();
        let mut handed = held.take().map(|fd| (Held::Mark, fd)).into_iter().collect();
        let mark = Mark::begin(&start, &mut handed, link);
        mark.at(Some(place));
        *held = mark.file.map(OwnedFd::from);
        mark.deadly
    }

    #[test]
    fn a_place_is_deadly_when_two_servers_in_a_row_have_died_there() {
        let (_keeper, server) = Link::pair().unwrap();
        let link = Link::new(server);
        let (first, second) = (Place::Record(7), Place::Ring(7));
        let places = [first, first, first, second, first, second, second, Place::OnDisk(7)];
        let mut held = None;
        let deadly: Vec<_> =
            (1..).zip(places).map(|(starts, at)| run(&link, &mut held, starts, at)).collect();
        // The very first one notes nothing.
        let expected = [None, None, None, Some(first), None, None, None, Some(second)];
        assert_eq!(deadly, expected);
    }

    #[test]
    fn one_that_dies_elsewhere_leaves_no_place() {
        let (_keeper, server) = Link::pair().unwrap();
        let link = Link::new(server);
        let mut held = None;
        for starts in 2..5 {
            run(&link, &mut held, starts, Place::Record(7));
        }
        // It is killed before it has noted anything.
        assert_eq!(run(&link, &mut held, 6, Place::Record(7)), None);
        assert_eq!(run(&link, &mut held, 7, Place::Record(7)), None);
        assert_eq!(run(&link, &mut held, 8, Place::Record(7)), Some(Place::Record(7)));
    }
}
