//! Who reads a process's output, and how far each has come.
//!
//! Every reader has its own place. Output is kept until all attached readers that take it have
//! acknowledged it; with none attached, what any of them acknowledged is gone. A reader that only
//! looks neither keeps nor drops anything.
//!
//! When the server was killed, readers come back one after the other. Until as many have come as
//! there were, nothing is dropped: who comes first may be far ahead of who comes last.

use std::sync::Arc;

use super::waker::Waker;
use crate::ring::Claims;

/// Names one reader of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

/// What a reader wants of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Whether it acknowledges, and so decides what is kept.
    pub(crate) takes: bool,
    /// Whether it wants output, and not the end alone.
    pub(crate) data: bool,
    pub(crate) from: Start,
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The oldest byte kept.
    Oldest,
    /// The end as it is now.
    Newest,
    /// Here; all before counts as acknowledged by it.
    Position(u64),
}

impl Wants {
    /// What every watcher of papa 1.0 wants.
    pub(crate) const ALL: Wants = Wants { takes: true, data: true, from: Start::Oldest };
}

/// One reader's place.
pub(super) struct Reader {
    id: ReaderId,
    waker: Arc<Waker>,
    takes: bool,
    pub(super) data: bool,
    pub(super) place: Place,
}

/// How far a reader has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Positions: all before is acknowledged, and all before was sent.
    pub(crate) acknowledged: u64,
    pub(crate) sent: u64,
    /// Bytes between the two that it was not sent, and where the last of them ended.
    pub(crate) passed_over: u64,
    pub(crate) resumed: u64,
    /// How far it has come with the end of the process.
    pub(crate) end: End,
}

/// How far a reader has come with the end of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    NotSent,
    Sent,
    Acknowledged,
}

impl Reader {
    /// Bytes that it was sent and has not acknowledged.
    pub(super) fn in_flight(&self) -> u64 {
        if !self.data {
            return 0;
        }
        let Place { sent, acknowledged, passed_over, .. } = self.place;
        sent.saturating_sub(acknowledged).saturating_sub(passed_over)
    }

    pub(super) fn was_sent_end(&self) -> bool {
        self.place.end != End::NotSent
    }
}

/// All readers of a process.
#[derive(Default)]
pub(super) struct Readers {
    attached: Vec<Reader>,
    last_id: u64,
    /// The furthest positions that any reader has acknowledged, and was sent.
    acknowledged_by_any: u64,
    sent_to_any: u64,
    end_acknowledged_by_any: bool,
    all_acknowledged_by_any: bool,
    /// Takers that another server had and that have not come back.
    missing: u64,
}

impl Readers {
    /// Those of a process that another server had before: they may have been sent all there is.
    pub(super) fn recovered(end: u64, claims: Claims) -> Readers {
        Readers {
            sent_to_any: end,
            acknowledged_by_any: if claims.all_taken { end } else { 0 },
            end_acknowledged_by_any: claims.end_taken,
            all_acknowledged_by_any: claims.all_taken,
            missing: claims.takers,
            ..Readers::default()
        }
    }

    /// What the next server is to know.
    pub(super) fn claims(&self) -> Claims {
        let has_claim = |reader: &&Reader| reader.takes && reader.place.end != End::Acknowledged;
        Claims {
            takers: self.attached.iter().filter(has_claim).count() as u64 + self.missing,
            end_taken: self.end_acknowledged_by_any,
            all_taken: self.all_acknowledged_by_any,
        }
    }

    /// Whether a new reader may be one of those that are missing. One that has acknowledged the end
    /// before is not, and has no position to go on from.
    fn is_back(&self, wants: Wants) -> bool {
        let was_taken =
            if wants.data { self.all_acknowledged_by_any } else { self.end_acknowledged_by_any };
        wants.takes && (!was_taken || matches!(wants.from, Start::Position(_)))
    }

    /// Whether takers are still to come back.
    pub(super) fn is_waiting(&self) -> bool {
        self.missing > 0
    }

    /// Who has not come back is waited for no more.
    pub(super) fn stop_waiting(&mut self) {
        self.missing = 0;
    }

    /// Adds one that has come this far.
    pub(super) fn attach(&mut self, waker: Arc<Waker>, wants: Wants, place: Place) -> ReaderId {
        self.last_id += 1;
        let is_back = place.end != End::Acknowledged && self.is_back(wants);
        self.missing = self.missing.saturating_sub(is_back.into());
        let id = ReaderId(self.last_id);
        let Wants { takes, data, .. } = wants;
        self.attached.push(Reader { id, waker, takes, data, place });
        if takes && data {
            self.acknowledged_by_any = self.acknowledged_by_any.max(place.acknowledged);
        }
        self.end_acknowledged_by_any |= takes && place.end == End::Acknowledged;
        id
    }

    pub(super) fn detach(&mut self, id: ReaderId) {
        self.attached.retain(|reader| reader.id != id);
    }

    pub(super) fn get(&self, id: ReaderId) -> Option<&Reader> {
        self.attached.iter().find(|reader| reader.id == id)
    }

    fn get_mut(&mut self, id: ReaderId) -> Option<&mut Reader> {
        self.attached.iter_mut().find(|reader| reader.id == id)
    }

    pub(super) fn count(&self) -> usize {
        self.attached.len()
    }

    pub(super) fn wake(&self) {
        self.attached.iter().for_each(|reader| reader.waker.wake());
    }

    /// Everything before `position` is on its way to the reader.
    pub(super) fn set_sent(&mut self, id: ReaderId, position: u64) {
        self.sent_to_any = self.sent_to_any.max(position);
        if let Some(reader) = self.get_mut(id) {
            reader.place.sent = position;
        }
    }

    /// What is before `position` will never be sent to the reader.
    pub(super) fn skip_to(&mut self, id: ReaderId, position: u64) {
        if let Some(reader) = self.get_mut(id) {
            let place = &mut reader.place;
            place.passed_over += position - place.sent;
            place.sent = position;
            place.resumed = position;
        }
    }

    pub(super) fn set_sent_end(&mut self, id: ReaderId) {
        if let Some(reader) = self.get_mut(id).filter(|reader| !reader.was_sent_end()) {
            reader.place.end = End::Sent;
        }
    }

    /// The reader is where it was after what it acknowledged last.
    pub(super) fn begin_again(&mut self, id: ReaderId) {
        if let Some(reader) =
            self.get_mut(id).filter(|reader| reader.place.end != End::Acknowledged)
        {
            let acknowledged = reader.place.acknowledged;
            reader.place = Place {
                acknowledged,
                sent: acknowledged,
                resumed: acknowledged,
                ..Place::default()
            };
        }
    }

    /// The reader has taken all before `position`; false if it was not sent that much.
    pub(super) fn acknowledge(&mut self, id: ReaderId, position: u64) -> bool {
        let Some(reader) = self.get_mut(id) else { return false };
        let place = &mut reader.place;
        if position > place.sent {
            return false;
        }
        place.acknowledged = place.acknowledged.max(position);
        if place.acknowledged >= place.resumed {
            place.passed_over = 0;
        }
        let acknowledged = place.acknowledged;
        if reader.takes && reader.data {
            self.acknowledged_by_any = self.acknowledged_by_any.max(acknowledged);
        }
        true
    }

    /// The reader has taken the process's end; false if it was not sent that.
    pub(super) fn acknowledge_end(&mut self, id: ReaderId) -> bool {
        let Some(reader) = self.get_mut(id).filter(|reader| reader.was_sent_end()) else {
            return false;
        };
        reader.place.end = End::Acknowledged;
        let (takes, data) = (reader.takes, reader.data);
        self.end_acknowledged_by_any |= takes;
        self.all_acknowledged_by_any |= takes && data;
        true
    }

    /// Everything before this position may be dropped.
    pub(super) fn released(&self) -> u64 {
        if self.is_waiting() {
            return 0;
        }
        let keeping = self.attached.iter().filter(|reader| reader.takes && reader.data);
        let least = keeping.map(|reader| reader.place.acknowledged).min();
        least.unwrap_or(self.acknowledged_by_any)
    }

    /// Nothing before this position may be rearranged: a reader may come back to it.
    pub(super) fn sent_to_any(&self) -> u64 {
        self.sent_to_any
    }

    /// Whether nobody who takes the process's end is still to be told of it, and someone was.
    pub(super) fn is_end_acknowledged(&self) -> bool {
        let mut taking = self.attached.iter().filter(|reader| reader.takes);
        let is_taken = self.end_acknowledged_by_any && !self.is_waiting();
        is_taken && taking.all(|reader| reader.place.end == End::Acknowledged)
    }
}
