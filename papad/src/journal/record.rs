//! Records: how they are made, and how a file of them is read.

use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use papa_protocol::quoted;

use crate::limit;

/// The format of the records that are written. Records of the next one are read, too, so that a
/// version can be put back after its successor has run.
const FORMAT: u64 = 1;

/// Bytes of most records, or more.
const SHORT: usize = 128;

const RECORD_START: u8 = 0x1e;

/// What a whole record ends in, and what is in none.
pub(crate) const RECORD_END: u8 = b'\n';

/// One record, ready to be written.
#[derive(Clone)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    pub(crate) fn new(verb: &str) -> Record {
        let mut bytes = Vec::with_capacity(SHORT);
        bytes.push(RECORD_START);
        bytes.extend_from_slice(FORMAT.to_string().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(verb.as_bytes());
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::journal::new_file;

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
