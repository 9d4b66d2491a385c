//! A process in the journal.

use std::sync::atomic::Ordering;

use super::{Exit, Life, Process};
use crate::journal::{Record, parse_number};
use crate::sockets::GivenSocket;

/// The key of [`Process::since_boot`] in a record.
pub(in crate::processes) const SINCE_BOOT: &str = "since_boot";

/// The key of each of [`Process::given`] in a record.
pub(in crate::processes) const GIVEN: &str = "given";

/// The key of [`Process::session_seen`] in the record of its end.
pub(in crate::processes) const SESSION_SEEN: &str = "session_seen";

/// The key of [`super::State::kept`] in the record of its end.
pub(in crate::processes) const KEPT: &str = "kept";

impl Process {
    /// The records that make this process anew, for a compacted journal.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = vec![self.made_record()];
        if self.pid() != 0 {
            records.push(Record::new("started").number(self.id).number(self.pid()));
        }
        let state = self.lock();
        if let Life::Exited(exit) = state.life {
            let record = self.exited_record(exit);
            records.push(record.maybe(KEPT, state.kept.then_some(1)));
        }
        if state.removed {
            records.push(self.record("removing"));
        }
        records
    }

    pub(crate) fn made_record(&self) -> Record {
        let record = Record::new("process").number(self.id).number(self.started.0).word(&self.name);
        let record = record.maybe(SINCE_BOOT, self.since_boot.get());
        let given = self.given.get().into_iter().flatten();
        let record = given.fold(record, |record, given| record.pair(GIVEN, write_given(given)));
        self.spec.write(record)
    }

    pub(crate) fn exited_record(&self, exit: Exit) -> Record {
        let record = Record::new("exited").number(self.id);
        let record = record.number(exit.ending.code()).number(exit.time.0);
        let seen = Some(self.session_seen.load(Ordering::SeqCst)).filter(|&time| time > 0);
        record.maybe(SESSION_SEEN, seen)
    }

    /// A record that says no more of the process than this.
    pub(crate) fn record(&self, verb: &str) -> Record {
        Record::new(verb).number(self.id)
    }
}

/// `COOKIE:NAME`
fn write_given(given: &GivenSocket) -> Vec<u8> {
    [given.cookie.to_string().as_bytes(), b":", &given.name].concat()
}

/// Reads what [`write_given`] wrote; `None` is what a later version may have written.
pub(in crate::processes) fn read_given(value: &[u8]) -> Option<GivenSocket> {
    let colon = memchr::memchr(b':', value)?;
    let (cookie, name) = (parse_number(&value[..colon])?, value[colon + 1..].to_vec());
    Some(GivenSocket { cookie, name })
}

#[cfg(test)]
mod tests {
    use papa_protocol::frame::Time;

    use super::*;
    use crate::journal::{self, Fields};
    use crate::processes::spec::Spec;
    use crate::sys;

    /// Reads one record.
    fn read(record: Record, apply: impl FnMut(&[u8], Fields) -> Option<()>) {
        let mut file = sys::memfd(c"journal").unwrap();
        std::io::Write::write_all(&mut file, &record.into_bytes()).unwrap();
        assert_eq!(journal::replay(&file, apply).unwrap(), 0);
    }

    #[test]
    fn a_reader_that_knows_no_key_before_the_specification_passes_over_it() {
        let spec = Spec { bufsize: 7, args: vec![b"/bin/true".to_vec()], ..Spec::default() };
        let process = Process::new(1, b"a".to_vec(), spec, Time(5));
        let given = GivenSocket { cookie: 42, name: b"a=b:c d".to_vec() };
        process.given.get_or_init(|| vec![given]);
        read(process.made_record(), |_, mut fields| {
            let (_, _, _) = (fields.word()?, fields.word()?, fields.word()?);
            // As a version without these keys reads the pairs.
            let spec = Spec::read(fields)?;
            assert_eq!((spec.bufsize, &spec.args), (7, &process.spec.args));
            Some(())
        });
    }

    #[test]
    fn the_given_sockets_are_read_back_whatever_their_names() {
        for name in ["web", "a=b:c", ":", "7:7"] {
            let given = GivenSocket { cookie: u64::MAX, name: name.into() };
            assert_eq!(read_given(&write_given(&given)), Some(given));
        }
        assert_eq!(read_given(b"web"), None);
    }
}
