//! What is true of papad, as a sequence of records in a memory file that the keeper holds.
//!
//! A record is `RS FORMAT VERB WORD... LF`, where RS is the byte 0x1E and the words are quoted as
//! in `papa_protocol::quoted`, so that neither byte occurs within one. The file is only appended
//! to. A record that was cut off, because its writer was killed, has no LF before the next RS or
//! the end of the file: it is not read, and what follows it is.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use papa_protocol::quoted;

use crate::{limit, sys};

/// The format of the records that are written. Records of the next one are read, too, so that a
/// version can be put back after its successor has run.
const FORMAT: u64 = 1;

const RECORD_START: u8 = 0x1e;

/// What a whole record ends in, and what is in none.
pub(crate) const RECORD_END: u8 = b'\n';

/// The number of the journal that papad begins with.
const FIRST: u64 = 1;

/// A journal smaller than this many bytes is never compacted.
const SMALLEST_COMPACTED: u64 = 256 * 1024;

/// A journal is compacted when it has grown to this many times what was in it after the last time.
const GROWTH: u64 = 4;

/// How often a record is written of which the file takes only a part.
const WHOLE_TRIES: u32 = 2;

/// One record, ready to be written.
#[derive(Clone)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub(crate) fn new(verb: &str) -> Record {
        let mut bytes = vec![RECORD_START];
        bytes.extend(FORMAT.to_string().bytes());
        bytes.push(b' ');
        bytes.extend(verb.bytes());
        Record(bytes)
    }

    pub(crate) fn word(mut self, word: impl AsRef<[u8]>) -> Record {
        quoted::push(&mut self.0, word.as_ref());
        self
    }

    pub(crate) fn number(self, number: impl Display) -> Record {
        self.word(number.to_string())
    }

    /// `key=value`, which a reader that does not know the key passes over.
    pub(crate) fn pair(mut self, key: &str, value: impl AsRef<[u8]>) -> Record {
        quoted::push_pair(&mut self.0, key, value.as_ref());
        self
    }

    pub(crate) fn maybe(self, key: &str, value: Option<impl Display>) -> Record {
        match value {
            Some(value) => self.pair(key, value.to_string()),
            None => self,
        }
    }

    /// The whole record as it stands in the file.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.0.push(RECORD_END);
        self.0
    }
}

/// A record that was read, to be taken apart word by word.
pub(crate) struct Fields {
    words: std::iter::Peekable<std::vec::IntoIter<Vec<u8>>>,
}

impl Fields {
    pub(crate) fn word(&mut self) -> Option<Vec<u8>> {
        self.words.next()
    }

    pub(crate) fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        parse_number(&self.word()?)
    }

    /// The value of the pair that comes next, if it has this key.
    pub(crate) fn pair(&mut self, key: &str) -> Option<Vec<u8>> {
        let value =
            |word: &Vec<u8>| Some(word.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?.to_vec());
        let value = self.words.peek().and_then(value)?;
        self.words.next();
        Some(value)
    }

    /// The pairs that come next.
    pub(crate) fn pairs(&mut self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = Vec::new();
        while let Some(word) = self.words.next_if(|word| word.contains(&b'=')) {
            let at = word.iter().position(|&byte| byte == b'=').unwrap_or(word.len());
            pairs.push((word[..at].to_vec(), word[at + 1..].to_vec()));
        }
        pairs
    }

    /// All words that are left.
    pub(crate) fn rest(self) -> Vec<Vec<u8>> {
        self.words.collect()
    }
}

pub(crate) fn parse_number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads every record in order. `apply` gets the verb and what follows it, and answers `None` for
/// a record that it cannot read. Returns how many records were passed over.
pub(crate) fn replay(
    file: &File,
    apply: impl FnMut(&[u8], Fields) -> Option<()>,
) -> io::Result<u64> {
    replay_telling(file, |_| {}, apply)
}

/// As [`replay`]. `at` is told at which byte a record begins before it is looked at.
pub(crate) fn replay_telling(
    file: &File,
    mut at: impl FnMut(u64),
    mut apply: impl FnMut(&[u8], Fields) -> Option<()>,
) -> io::Result<u64> {
    let bytes = read_all(file)?;
    let mut skipped = 0;
    // What stands before the first RS is no record.
    let mut starts = memchr::memchr_iter(RECORD_START, &bytes).peekable();
    while let Some(start) = starts.next() {
        at(start as u64);
        let end = starts.peek().copied().unwrap_or(bytes.len());
        let read = bytes[start + 1..end].strip_suffix(&[RECORD_END]).and_then(read_record);
        if read.and_then(|(verb, fields)| apply(&verb, fields)).is_none() {
            skipped += 1;
        }
    }
    Ok(skipped)
}

/// By positions, since whoever else has the file open and appends to it moves its offset.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
    limit::patiently(|| file.read_exact_at(&mut bytes, 0))?;
    Ok(bytes)
}

/// What there is in a file, with a record `aside` in place of the one that begins at this byte,
/// and that one's text. It is not read for this: it may be what kills servers.
pub(crate) fn set_aside(file: &File, offset: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let bytes = read_all(file)?;
    let (before, rest) = bytes.split_at_checked(offset as usize).unwrap_or((&bytes, &[]));
    let [_, rest @ ..] = rest else { return Ok((bytes, Vec::new())) };
    let end = memchr::memchr(RECORD_START, rest).unwrap_or(rest.len());
    let (record, after) = rest.split_at(end);
    let text = record.strip_suffix(&[RECORD_END]).unwrap_or(record);
    let mut aside = Record::new("aside").word(text).into_bytes();
    // Output of a process that nobody knows is still read, or the process would be killed by it.
    let mut words = text.split(|&byte| byte == b' ').skip(1);
    if let (Some(b"process" | b"started"), Some(id)) = (words.next(), words.next())
        && let Some(id) = parse_number::<u64>(id)
    {
        aside.extend(Record::new("gone").number(id).into_bytes());
    }
    Ok(([before, &aside, after].concat(), text.to_vec()))
}

fn read_record(line: &[u8]) -> Option<(Vec<u8>, Fields)> {
    let mut fields = Fields { words: quoted::split(line).ok()?.into_iter().peekable() };
    let format: u64 = fields.number()?;
    if format > FORMAT + 1 {
        return None;
    }
    Some((fields.word()?, fields))
}

/// The journal in force.
pub(crate) struct Journal {
    current: RwLock<Current>,
}

struct Current {
    /// Which of papad's journals this is, counted from its birth.
    number: u64,
    file: File,
    /// Bytes in the file, but for the few that children write.
    size: AtomicU64,
    size_when_compacted: u64,
    /// A record could not be written, and part of it may be in the file.
    is_torn: AtomicBool,
}

impl Current {
    fn new(number: u64, file: File, size: AtomicU64, size_when_compacted: u64) -> Current {
        Current { number, file, size, size_when_compacted, is_torn: AtomicBool::new(false) }
    }
}

impl Journal {
    /// The first journal, empty. It is nowhere but here until it is held.
    pub(crate) fn create() -> io::Result<Journal> {
        Journal::recover(FIRST, new_file()?)
    }

    /// A new journal with these records.
    pub(crate) fn with_records(bytes: &[u8]) -> io::Result<File> {
        let file = new_file()?;
        (&file).write_all(bytes)?;
        Ok(file)
    }

    /// The journal that an earlier server wrote.
    pub(crate) fn recover(number: u64, file: File) -> io::Result<Journal> {
        let size = AtomicU64::new(file.metadata()?.len());
        Ok(Journal { current: RwLock::new(Current::new(number, file, size, 0)) })
    }

    /// Has a keeper hold it that does not hold it yet.
    pub(crate) fn hold(
        &self,
        hold: impl FnOnce(u64, BorrowedFd) -> io::Result<()>,
    ) -> io::Result<()> {
        let current = &self.change().current;
        hold(current.number, current.file.as_fd())
    }

    /// Begins a change: what is appended and what is true in memory are in step again when this
    /// is dropped. Taken before any table's lock.
    pub(crate) fn change(&self) -> Change<'_> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        Change { current: self.current.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Keeps every change from beginning, if none is under way.
    pub(crate) fn hold_still(&self) -> Option<impl Drop + '_> {
        self.current.try_write().ok()
    }

    /// Bytes in the file.
    pub(crate) fn size(&self) -> u64 {
        self.change().current.size.load(Ordering::Relaxed)
    }

    /// Puts a new file with just these records in force if the present one is long or torn, by
    /// `hold`, which has the keeper hold it under the next number. Returns the number of the old
    /// one, which is needed no longer. Does nothing while a change is under way, a child that
    /// records itself included: it will be tried again soon.
    pub(crate) fn compact_if_long(
        &self,
        write_records: impl FnOnce(&mut dyn FnMut(Record) -> io::Result<()>) -> io::Result<()>,
        hold: impl FnOnce(u64, BorrowedFd) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let is_long = {
            let current = &self.change().current;
            let most = SMALLEST_COMPACTED.max(GROWTH * current.size_when_compacted);
            // What is torn takes room that others need.
            current.size.load(Ordering::Relaxed) > most || current.is_torn.load(Ordering::Relaxed)
        };
        if !is_long {
            return Ok(None);
        }
        let Ok(mut current) = self.current.try_write() else {
            return Ok(None);
        };
        let file = new_file()?;
        let mut writer = io::BufWriter::with_capacity(64 * 1024, &file);
        write_records(&mut |record| writer.write_all(&record.into_bytes()))?;
        writer.flush()?;
        drop(writer);
        sys::kill_point("compaction-written");
        let (former, number) = (current.number, current.number + 1);
        hold(number, file.as_fd())?;
        sys::kill_point("compaction-held");
        let size = file.metadata()?.len();
        *current = Current::new(number, file, AtomicU64::new(size), size);
        Ok(Some(former))
    }
}

/// A change under way. The journal is not compacted meanwhile.
pub(crate) struct Change<'a> {
    current: RwLockReadGuard<'a, Current>,
}

impl Change<'_> {
    /// Writes a record. When this returns, a killed server will be recovered with it.
    pub(crate) fn append(&self, record: Record) -> io::Result<()> {
        let bytes = record.into_bytes();
        self.current.size.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let is_torn = &self.current.is_torn;
        let written = write_whole(&self.current.file, &bytes, is_torn);
        written.inspect_err(|_| is_torn.store(true, Ordering::Relaxed))
    }
}

impl AsFd for Change<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.current.file.as_fd()
    }
}

/// Writes a record by one call: between two, others write theirs. If the file takes only a part of
/// it, that is passed over when it is read, and the whole record is written after it.
fn write_whole(mut file: &File, record: &[u8], is_torn: &AtomicBool) -> io::Result<()> {
    for _ in 0..WHOLE_TRIES {
        let written = loop {
            match file.write(record) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if written == record.len() {
            return Ok(());
        }
        is_torn.store(true, Ordering::Relaxed);
    }
    Err(Errno::ENOSPC.into())
}

fn new_file() -> io::Result<File> {
    let file = sys::memfd(c"papad-journal")?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Read = (Vec<u8>, Vec<Vec<u8>>);

    fn read_all(file: &File) -> (Vec<Read>, u64) {
        let mut records = Vec::new();
        let skipped = replay(file, |verb, fields| {
            records.push((verb.to_vec(), fields.rest()));
            Some(())
        });
        (records, skipped.unwrap())
    }

    fn word() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..20)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_whatever_is_cut_off_the_end(
            written in prop::collection::vec(prop::collection::vec(word(), 0..5), 1..10),
            cut in 0_usize..200,
        ) {
            let file = new_file().unwrap();
            let mut ends = Vec::new();
            for words in &written {
                let record = words.iter().fold(Record::new("verb"), Record::word);
                (&file).write_all(&record.into_bytes()).unwrap();
                ends.push(file.metadata().unwrap().len());
            }
            let length = file.metadata().unwrap().len().saturating_sub(cut as u64);
            file.set_len(length).unwrap();
            let whole = ends.iter().filter(|&&end| end <= length).count();

            let (read, _) = read_all(&file);
            prop_assert_eq!(read.len(), whole);
            for ((verb, words), expected) in read.iter().zip(&written) {
                prop_assert_eq!(verb, b"verb");
                prop_assert_eq!(words, expected);
            }
        }

        #[test]
        fn a_record_after_a_cut_off_one_is_read(torn in word(), keep in 1_usize..10) {
            let file = new_file().unwrap();
            let mut first = Record::new("torn").word(torn).into_bytes();
            first.truncate(keep);
            (&file).write_all(&first).unwrap();
            (&file).write_all(&Record::new("started").number(7).into_bytes()).unwrap();
            let (read, _) = read_all(&file);
            prop_assert_eq!(read.last(), Some(&(b"started".to_vec(), vec![b"7".to_vec()])));
        }

        #[test]
        fn no_bytes_at_all_stop_the_replay(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let file = new_file().unwrap();
            (&file).write_all(&bytes).unwrap();
            read_all(&file);
        }
    }

    #[test]
    fn records_of_the_next_format_are_read_and_of_later_ones_counted() {
        let file = new_file().unwrap();
        (&file).write_all(b"\x1e2 set a b\n\x1e3 set c d\n").unwrap();
        let (read, skipped) = read_all(&file);
        assert_eq!(read, [(b"set".to_vec(), vec![b"a".to_vec(), b"b".to_vec()])]);
        assert_eq!(skipped, 1);
    }

    #[test]
    fn pairs_end_at_the_first_word_without_an_equals_sign() {
        let file = new_file().unwrap();
        let record = Record::new("p").pair("a", "1=2").pair("b", " ").word("--").word("c=d");
        (&file).write_all(&record.into_bytes()).unwrap();
        replay(&file, |_, mut fields| {
            let pair = |key: &[u8], value: &[u8]| (key.to_vec(), value.to_vec());
            assert_eq!(fields.pairs(), [pair(b"a", b"1=2"), pair(b"b", b" ")]);
            assert_eq!(fields.rest(), [b"--".to_vec(), b"c=d".to_vec()]);
            Some(())
        })
        .unwrap();
    }
}
