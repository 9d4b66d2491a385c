//! Room at the journal's end that is made beforehand, so that most records take no system call.
//!
//! It is full of starts of records, which is how a file reads that has no record there. A record is
//! stored over them, its end last: one that was cut off by a kill is passed over, as any other.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use super::record::RECORD_START;
use crate::sys;

/// Bytes of room that are made at once.
const ROOM: usize = 32 * 1024;

/// Room for records that nobody but its owner stores there.
pub(super) struct Room {
    memory: sys::Mapping,
    used: usize,
}

impl Room {
    /// Makes room at the end of a file that is appended to, and stores a record there. Others may
    /// append meanwhile, and may not make room. `has_grown` is told by how much the file is longer,
    /// of use or not.
    pub(super) fn with(
        record: &[u8],
        mut file: &File,
        has_grown: impl FnOnce(usize),
    ) -> io::Result<Room> {
        // What is left of the room before this one is less than the record that did not fit.
        let empty = vec![RECORD_START; ROOM.max(record.len() + ROOM / 2)];
        let before = file.metadata()?.len();
        let length = loop {
            match file.write(&empty) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        has_grown(length);
        if length == 0 {
            return Err(Errno::ENOSPC.into());
        }
        // Others may have appended before it and after. No record has two starts in succession.
        let mut appended = vec![0; (file.metadata()?.len() - before) as usize];
        file.read_exact_at(&mut appended, before)?;
        let mut places = appended.windows(length);
        let at = places.position(|at| at == &empty[..length]).ok_or(io::ErrorKind::NotFound)?;
        let memory = sys::Mapping::new(file, before + at as u64, length)?;
        let mut room = Room { memory, used: 0 };
        // The file may have taken only a part of it.
        if room.store(record) { Ok(room) } else { Err(Errno::ENOSPC.into()) }
    }

    /// Stores a whole record; false if it does not fit.
    pub(super) fn store(&mut self, record: &[u8]) -> bool {
        let is_stored = self.memory.store(self.used, record);
        self.used += if is_stored { record.len() } else { 0 };
        is_stored
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;
    use crate::journal::{Journal, RECORD_END, Record, new_file, replay};

    /// What the journal's file says, and that nothing of it cannot be read.
    fn read(journal: &Journal, mut apply: impl FnMut(&[u8], Vec<u8>)) {
        let file = File::from(nix::unistd::dup(journal.change()).unwrap());
        let skipped = replay(&file, |verb, mut fields| {
            apply(verb, fields.word()?);
            Some(())
        });
        assert_eq!(skipped.unwrap(), 0);
        assert_eq!(file.metadata().unwrap().len(), journal.size());
    }

    /// A record that is put, or appended, and bytes of its word.
    fn record() -> impl Strategy<Value = (bool, usize)> {
        (any::<bool>(), prop_oneof![9 => 0..2000_usize, 1 => 0..3 * ROOM])
    }

    proptest! {
        #[test]
        fn what_is_put_and_what_is_appended_is_read(
            records in prop::collection::vec(record(), 1..60),
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
            read(&journal, |verb, word| found[usize::from(verb == b"put")].push(word));
            prop_assert_eq!(found, written);
        }
    }

    /// A server is killed when it has stored part of a record.
    #[test]
    fn a_record_without_its_end_is_passed_over() {
        let file = new_file().unwrap();
        let record = |word: &str| Record::new("set").word(word).into_bytes();
        let mut room = Room::with(&record("first"), &file, |_| {}).unwrap();
        let torn = record("torn");
        for stored in 1..torn.len() {
            assert_ne!(torn[stored - 1], RECORD_END);
            assert!(room.memory.store(room.used, &torn[..stored]));
        }
        let mut next = Room::with(&record("next"), &file, |_| {}).unwrap();
        assert!(next.store(&record("last")));
        let mut words = Vec::new();
        let skipped = replay(&file, |_, mut fields| {
            words.push(fields.word()?.escape_ascii().to_string());
            Some(())
        });
        assert_eq!(
            (words, skipped.unwrap()),
            (["first", "next", "last"].map(str::to_owned).into(), 1)
        );
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
            for number in 0..200 {
                let word = format!("{number:0>ROOM$}");
                journal.change().put(Record::new("put").word(word)).unwrap();
            }
        });
        let (mut put, mut appended) = (0, 0);
        read(&journal, |verb, word| {
            if verb == b"put" {
                assert_eq!(word, format!("{put:0>ROOM$}").into_bytes());
                put += 1;
            } else {
                appended += 1;
            }
        });
        assert_eq!((put, appended), (200, 6000));
    }
}
