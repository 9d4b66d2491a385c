//! How far a watcher has come with each process: what was received, and what was acknowledged.
//!
//! A connection may end between any two bytes. What was received before and comes again is passed
//! over; what was acknowledged and not heard by papad is acknowledged again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use papa_protocol::exact::{AckTo, WatchRequest};

use crate::name::Name;
use crate::process::ProcessId;
use crate::watch::done::Done;
use crate::watch::event::{Item, What, Who};

/// One watcher's ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    tracks: BTreeMap<Name, Track>,
    /// Processes that have no track any more: their ends were acknowledged, to papad too.
    done: Done,
    /// Batches that were handed out and are not acknowledged up to the first of them.
    handed: VecDeque<Handed>,
    /// The number of the next batch.
    next: u64,
    /// Whose acknowledgement papad has not been sent.
    unsent: BTreeSet<Name>,
}

/// How far it has come with one process.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) who: Arc<Who>,
    /// Whether the caller was told that it is watched.
    pub(crate) is_announced: bool,
    /// Whether papad is still to say that the process which had the name before was removed.
    pub(crate) follows_removed: bool,
    /// All before was received, or is lost and that was told.
    pub(crate) received: u64,
    /// All before was acknowledged by the caller.
    pub(crate) taken: u64,
    pub(crate) end: EndOf,
}

/// How far it has come with the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndOf {
    Open,
    Received,
    Taken,
}

/// A batch that was handed out.
#[derive(Debug)]
struct Handed {
    is_acknowledged: bool,
    marks: Vec<Mark>,
}

/// How far a batch goes with one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) who: Arc<Who>,
    pub(crate) position: u64,
    pub(crate) has_ended: bool,
}

/// How far events go, process by process.
pub(crate) fn marks(items: &[Item]) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    for Item { who, what } in items {
        let (position, has_ended) = match what {
            What::Output { position, range, .. } => (position + range.len() as u64, false),
            What::Lost { position, bytes } => (position + bytes, false),
            What::Closed { position, .. } => (*position, true),
            What::Joined { .. } => continue,
            What::Removed => {
                marks.retain(|mark| mark.who != *who);
                continue;
            }
        };
        match marks.iter_mut().rev().find(|mark| mark.who == *who) {
            Some(mark) => {
                mark.position = position;
                mark.has_ended |= has_ended;
            }
            None => marks.push(Mark { who: Arc::clone(who), position, has_ended }),
        }
    }
    marks
}

impl Ledger {
    pub(crate) fn get(&self, name: &[u8]) -> Option<&Track> {
        self.tracks.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut Track> {
        self.tracks.get_mut(name)
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }

    /// Begins with a process at a position: all before is taken. Of one that is done, all there is
    /// was.
    pub(crate) fn begin(&mut self, who: Arc<Who>, position: u64) -> &mut Track {
        let name = who.name.clone();
        let is_done = self.is_done(who.id);
        let position = if is_done { u64::MAX } else { position };
        let track = Track {
            who,
            is_announced: is_done,
            follows_removed: false,
            received: position,
            taken: position,
            end: if is_done { EndOf::Taken } else { EndOf::Open },
        };
        match self.tracks.entry(name) {
            Entry::Vacant(entry) => entry.insert(track),
            Entry::Occupied(entry) => {
                let place = entry.into_mut();
                *place = track;
                place
            }
        }
    }

    /// Ends with a process. Returns it if the caller is to be told.
    pub(crate) fn forget(&mut self, name: &[u8]) -> Option<Arc<Who>> {
        self.unsent.remove(name);
        let track = self.tracks.remove(name)?;
        (track.is_announced && track.end != EndOf::Taken).then_some(track.who)
    }

    /// Hands out a batch; returns its number.
    pub(crate) fn hand_out(&mut self, marks: Vec<Mark>) -> u64 {
        self.handed.push_back(Handed { is_acknowledged: false, marks });
        self.next += 1;
        self.next - 1
    }

    /// The caller has acknowledged a batch. That counts as soon as all batches before it are
    /// acknowledged, too.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        let first = self.next - self.handed.len() as u64;
        let at = number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(batch) = at.and_then(|at| self.handed.get_mut(at)) {
            batch.is_acknowledged = true;
        }
        while self.handed.front().is_some_and(|batch| batch.is_acknowledged) {
            let batch = self.handed.pop_front();
            batch.iter().flat_map(|batch| &batch.marks).for_each(|mark| self.take(mark));
        }
    }

    fn take(&mut self, mark: &Mark) {
        let track = self.tracks.get_mut(mark.who.name.as_bytes());
        // One that was removed meanwhile needs no acknowledgement.
        if let Some(track) = track.filter(|track| track.who == mark.who) {
            track.taken = track.taken.max(mark.position);
            if mark.has_ended {
                track.end = EndOf::Taken;
            }
            self.unsent.insert(mark.who.name.clone());
        }
    }

    /// papad is to be told, or told again, what is acknowledged of a process.
    pub(crate) fn send_again(&mut self, name: &Name) {
        self.unsent.insert(name.clone());
    }

    /// The lines that tell papad what is acknowledged and was not sent yet.
    pub(crate) fn take_unsent(&mut self) -> Vec<u8> {
        let mut lines = Vec::new();
        for name in std::mem::take(&mut self.unsent) {
            let Entry::Occupied(track) = self.tracks.entry(name.clone()) else {
                continue;
            };
            let to = match track.get().end {
                EndOf::Taken => {
                    self.done.insert(track.remove().who.id);
                    AckTo::Closed
                }
                EndOf::Open | EndOf::Received => AckTo::Position(track.get().taken),
            };
            WatchRequest::Ack { name: name.to_vec(), to }.write(&mut lines);
        }
        lines
    }

    /// Whether nothing more is to be done about this process than to know that, and papad was told.
    pub(crate) fn is_done(&self, id: ProcessId) -> bool {
        self.done.contains(id)
    }

    /// Forgets what is done and not on papad's list any more.
    pub(crate) fn keep_done(&mut self, listed: impl Iterator<Item = ProcessId>) {
        self.done.keep(listed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ProcessId;

    fn who(name: &str, number: u64) -> Arc<Who> {
        let id = ProcessId::new("0123456789abcdef", number).unwrap();
        Arc::new(Who { name: Name::new(name).unwrap(), id })
    }

    fn output(who: &Arc<Who>, position: u64, length: usize) -> Item {
        let time = crate::fields::time(0);
        let stream = papa_protocol::frame::Stream::Out;
        let what = What::Output { stream, position, time, range: 0..length };
        Item { who: Arc::clone(who), what }
    }

    fn closed(who: &Arc<Who>, position: u64) -> Item {
        let end = crate::End::Exited(0);
        let what = What::Closed { position, time: crate::fields::time(0), end };
        Item { who: Arc::clone(who), what }
    }

    fn sent(ledger: &mut Ledger) -> String {
        String::from_utf8(ledger.take_unsent()).unwrap()
    }

    #[test]
    fn a_batch_counts_only_when_all_before_it_are_acknowledged() {
        let (mut ledger, a) = (Ledger::default(), who("a", 1));
        ledger.begin(Arc::clone(&a), 0);
        let first = ledger.hand_out(marks(&[output(&a, 0, 10)]));
        let second = ledger.hand_out(marks(&[output(&a, 10, 10)]));
        ledger.acknowledge(second);
        assert_eq!(sent(&mut ledger), "");
        ledger.acknowledge(first);
        assert_eq!(sent(&mut ledger), "ack a 20\n");
        assert_eq!(sent(&mut ledger), "");
    }

    #[test]
    fn an_end_is_acknowledged_instead_of_a_position() {
        let (mut ledger, a, b) = (Ledger::default(), who("a", 1), who("b", 2));
        ledger.begin(Arc::clone(&a), 0);
        ledger.begin(Arc::clone(&b), 5);
        let items = [output(&a, 0, 3), output(&b, 5, 1), output(&a, 3, 1), closed(&a, 4)];
        let batch = ledger.hand_out(marks(&items));
        ledger.acknowledge(batch);
        assert_eq!(sent(&mut ledger), "ack a closed\nack b 6\n");
        assert!(ledger.is_done(a.id) && !ledger.is_done(b.id));
    }

    #[test]
    fn what_belongs_to_a_process_that_is_gone_is_not_said_of_the_next_of_its_name() {
        let (mut ledger, old, new) = (Ledger::default(), who("a", 1), who("a", 2));
        ledger.begin(Arc::clone(&old), 0);
        let batch = ledger.hand_out(marks(&[output(&old, 0, 10)]));
        ledger.begin(new, 0);
        ledger.acknowledge(batch);
        assert_eq!(sent(&mut ledger), "");
    }

    #[test]
    fn a_process_whose_end_is_taken_is_forgotten_without_a_word() {
        let (mut ledger, a) = (Ledger::default(), who("a", 1));
        ledger.begin(Arc::clone(&a), 0).is_announced = true;
        let batch = ledger.hand_out(marks(&[closed(&a, 0)]));
        ledger.acknowledge(batch);
        assert_eq!(ledger.forget(b"a"), None);
        ledger.begin(Arc::clone(&a), 0).is_announced = true;
        assert_eq!(ledger.forget(b"a"), Some(a));
    }

    #[test]
    fn a_process_that_is_done_and_met_again_is_acknowledged_again_and_not_told() {
        let (mut ledger, a) = (Ledger::default(), who("a", 1));
        ledger.begin(Arc::clone(&a), 0).is_announced = true;
        let batch = ledger.hand_out(marks(&[closed(&a, 7)]));
        ledger.acknowledge(batch);
        assert_eq!(sent(&mut ledger), "ack a closed\n");
        assert!(ledger.is_empty());
        let track = ledger.begin(Arc::clone(&a), 0);
        assert!(track.is_announced && track.received >= 7);
        ledger.send_again(&a.name);
        assert_eq!(sent(&mut ledger), "ack a closed\n");
        assert!(ledger.is_empty());
    }
}
