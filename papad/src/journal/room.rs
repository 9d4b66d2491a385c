//! Room at the journal's end that is made beforehand, so that most records take no system call.
//!
//! What is free of it is one record that says nothing: `last 0`, many spaces, and the end. A record
//! is stored at its beginning in steps, and whatever a reader finds between two of them, that is what
//! was there before and at most one record that cannot be read:
//!
//! 1. a quote in place of the first byte that it says: it cannot be read from now on;
//! 2. the rest of the record, and what the next one that says nothing begins with;
//! 3. the start of that one, with which it is a record of its own;
//! 4. the first byte, in place of the quote.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::unistd::write;

use super::record::RECORD_END;
use crate::{limit, log, sys};

/// What the record begins with that says nothing.
const FREE: &[u8] = b"\x1e1 last 0";

/// What no record begins with, after its start.
const UNREADABLE: &[u8] = b"\"";

/// Bytes of the first room, which may be of no use if what comes next is long; and of later ones.
const FIRST: usize = 2 * 1024;
const MOST: usize = 32 * 1024;

/// The longest record that is stored in room: one for which a system call is worth its while is not.
const LONGEST: usize = 1024;

/// Room for records that nobody else stores there.
struct Room {
    memory: sys::Mapping,
    used: usize,
}

/// Rooms of one journal, of which the last may have something left.
pub(super) struct Rooms {
    room: Option<Room>,
    /// Bytes of the next one; `None` if there can be none.
    next: Option<usize>,
}

impl Default for Rooms {
    fn default() -> Rooms {
        Rooms { room: None, next: Some(FIRST) }
    }
}

impl Rooms {
    /// Stores a record; false if it has to be appended, and [`Rooms::make_after`] to follow.
    pub(super) fn store(&mut self, record: &[u8]) -> bool {
        record.len() <= LONGEST && self.room.as_mut().is_some_and(|room| room.store(record))
    }

    /// Makes room behind a record that was just appended. What was left before it is of no use any
    /// more: what is stored comes after it. `has_grown` is told by how much the file is longer.
    pub(super) fn make_after(&mut self, record: &[u8], file: &File, has_grown: impl FnOnce(usize)) {
        self.room = None;
        if record.len() > LONGEST {
            self.next = self.next.map(|_| FIRST);
        } else if let Some(length) = self.next {
            let made = Room::make(file, length, has_grown).inspect_err(|error| {
                log::debug!("server", "no room is made in the journal: {error}");
            });
            self.next = made.is_ok().then_some(MOST.min(2 * length));
            self.room = made.ok();
        }
    }
}

impl Room {
    /// Makes room at the end of a file that is appended to. Others may append meanwhile, and may not
    /// make room.
    fn make(file: &File, length: usize, has_grown: impl FnOnce(usize)) -> io::Result<Room> {
        let mut free = FREE.to_vec();
        free.resize(length - 1, b' ');
        free.push(RECORD_END);
        let before = file.metadata()?.len();
        let written = limit::uninterrupted(|| write(file, &free))?;
        has_grown(written);
        if written < length {
            return Err(Errno::ENOSPC.into());
        }
        // Others may have appended before it and after.
        let mut appended = vec![0; (file.metadata()?.len() - before) as usize];
        file.read_exact_at(&mut appended, before)?;
        let mut places = appended.windows(length);
        let at = places.position(|at| at == free).ok_or(io::ErrorKind::NotFound)?;
        Ok(Room { memory: sys::Mapping::new(file, before + at as u64, length)?, used: 0 })
    }

    /// Stores a whole record; false if it does not fit.
    fn store(&mut self, record: &[u8]) -> bool {
        let (begin, end) = (self.used, self.used + record.len());
        let [_, first, rest @ ..] = record else { return false };
        if end + FREE.len() >= self.memory.len() {
            return false;
        }
        let (start_of_free, rest_of_free) = FREE.split_at(1);
        self.memory.store(begin + 1, UNREADABLE);
        sys::kill_point("unreadable");
        self.memory.store(begin + 2, rest);
        self.memory.store(end + 1, rest_of_free);
        self.memory.store(end, start_of_free);
        sys::kill_point("unsaid");
        self.memory.store(begin + 1, &[*first]);
        self.used = end;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::journal::{Journal, Record, new_file, replay};

    #[test]
    fn what_is_free_is_a_record_that_says_nothing() {
        assert_eq!([FREE, b"\n"].concat(), Record::new("last").number(0).into_bytes());
    }

    /// Verbs and words.
    type Records = Vec<(Vec<u8>, Vec<u8>)>;

    /// What a journal's file says, without what says nothing, and how many records of it could not
    /// be read.
    fn read(file: &File) -> (Records, u64) {
        let mut records = Vec::new();
        let skipped = replay(file, |verb, mut fields| {
            if verb != b"last" {
                records.push((verb.to_vec(), fields.word()?));
            }
            Some(())
        });
        (records, skipped.unwrap())
    }

    fn file_of(journal: &Journal) -> File {
        nix::unistd::dup(journal.change()).unwrap().into()
    }

    /// A record that is put, or appended, and bytes of its word.
    fn record() -> impl Strategy<Value = (bool, usize)> {
        (any::<bool>(), prop_oneof![9 => 0..LONGEST, 1 => 0..2 * MOST])
    }

    proptest! {
        #[test]
        fn what_is_put_and_what_is_appended_is_read(
            records in prop::collection::vec(record(), 1..200),
        ) {
            let journal = Journal::create().unwrap();
            let mut written = [Vec::new(), Vec::new()];
            for (number, &(is_put, length)) in records.iter().enumerate() {
                let word = [number.to_string().into_bytes(), vec![b'x'; length]].concat();
                let change = journal.change();
                if is_put {
                    change.put(Record::new("put").word(&word)).unwrap();
                } else {
                    change.append(Record::new("appended").word(&word)).unwrap();
                }
                written[usize::from(is_put)].push(word);
            }
            let mut found = [Vec::new(), Vec::new()];
            let file = file_of(&journal);
            let (records, skipped) = read(&file);
            for (verb, word) in records {
                found[usize::from(verb == b"put")].push(word);
            }
            prop_assert_eq!((found, skipped), (written, 0));
            prop_assert_eq!(file.metadata().unwrap().len(), journal.size());
        }

        /// A server is killed when it has stored part of a record. Words that are quoted, too, and
        /// say what a reader must not take for a record's end.
        #[test]
        fn a_record_is_there_with_its_last_byte_and_until_then_nothing_is(
            words in prop::collection::vec(
                prop_oneof!["[a-z0-9]{0,8}", "[\" \\\\\n\x1e1a]{0,8}"], 1..8,
            ),
        ) {
            let record = |word: &String| Record::new("set").word(word).into_bytes();
            let file = new_file().unwrap();
            let mut room = Room::make(&file, FIRST, |_| {}).unwrap();
            let mut before = Vec::new();
            for word in &words {
                // What the file is after each store of a byte, by the steps of a room elsewhere.
                let mut bytes = vec![0; FIRST];
                file.read_exact_at(&mut bytes, 0).unwrap();
                let (begin, record) = (room.used, record(word));
                assert!(room.store(&record));
                let mut after = vec![0; FIRST];
                file.read_exact_at(&mut after, 0).unwrap();
                let end = begin + record.len();
                let steps = [begin + 1]
                    .into_iter()
                    .chain(begin + 2..end)
                    .chain(end + 1..end + FREE.len())
                    .chain([end]);
                for (number, at) in steps.enumerate() {
                    bytes[at] = if number == 0 { UNREADABLE[0] } else { after[at] };
                    let killed = new_file().unwrap();
                    (&killed).write_all(&bytes).unwrap();
                    prop_assert_eq!(read(&killed), (before.clone(), 1));
                }
                before.push((b"set".to_vec(), word.clone().into_bytes()));
                prop_assert_eq!(read(&file), (before.clone(), 0));
            }
        }
    }

    #[test]
    fn others_append_while_room_is_made() {
        let journal = Journal::create().unwrap();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        journal.change().append(Record::new("appended").word("")).unwrap();
                    }
                });
            }
            for number in 0..2000 {
                let word = format!("{number:0>900}");
                journal.change().put(Record::new("put").word(word)).unwrap();
            }
        });
        let (records, skipped) = read(&file_of(&journal));
        let put: Vec<_> = records.iter().filter(|(verb, _)| verb == b"put").collect();
        assert_eq!((put.len(), records.len(), skipped), (2000, 8000, 0));
        for (number, (_, word)) in put.into_iter().enumerate() {
            assert_eq!(*word, format!("{number:0>900}").into_bytes());
        }
    }
}
