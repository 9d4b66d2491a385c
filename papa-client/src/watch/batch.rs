//! Events that are acknowledged together.

use std::fmt;
use std::slice;
use std::sync::Arc;

use crate::name::Name;
use crate::process::ProcessId;
use crate::watch::event::{Event, Item};
use crate::watch::ledger::{Mark, marks};
use crate::watch::watcher::Shared;

/// Events, to be worked on and then acknowledged.
///
/// What is acknowledged papad may forget, and so nobody else is told it. A batch that is dropped
/// instead comes again: it is what the watcher gives next. When the program ends it comes to
/// whoever watches next. Batches may be sent to other threads and acknowledged in any order; an
/// acknowledgement counts when all batches before it are acknowledged, too. As long as batches of
/// together more than the [window](crate::WatchBuilder::window) are not acknowledged, nothing more
/// comes.
#[must_use = "what is not acknowledged comes again"]
pub struct Batch {
    shared: Arc<Shared>,
    number: u64,
    /// Taken out when it is acknowledged or dropped.
    contents: Contents,
    is_acknowledged: bool,
}

/// What is in a batch.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) buffer: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

impl Batch {
    pub(crate) fn new(shared: Arc<Shared>, number: u64, contents: Contents) -> Self {
        Self { shared, number, contents, is_acknowledged: false }
    }

    /// The events, in their order.
    #[must_use]
    pub fn iter(&self) -> Events<'_> {
        Events { buffer: &self.contents.buffer, items: self.contents.items.iter() }
    }

    /// How far the batch goes: for each process with output in it, its name, its id and the
    /// position after that. Who keeps these where its work is kept can
    /// [resume](crate::WatchBuilder::resume_from) exactly there.
    pub fn places(&self) -> impl Iterator<Item = (Name, ProcessId, u64)> + use<> {
        let place = |Mark { who, position, .. }: Mark| (who.name.clone(), who.id, position);
        marks(&self.contents.items).into_iter().map(place)
    }

    /// Says that everything in the batch is done, and need not come again.
    ///
    /// This neither waits nor fails: what papad has not heard when the connection ends is said
    /// again on the next. Only when the program ends, or [`Watcher`](crate::Watcher) is dropped,
    /// may papad not have heard it: see [`Watcher::stop`](crate::Watcher::stop).
    pub fn acknowledge(mut self) {
        self.is_acknowledged = true;
        self.shared.acknowledge(self.number);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let contents = std::mem::take(&mut self.contents);
        if self.is_acknowledged {
            self.shared.give_back(contents.buffer);
        } else {
            self.shared.put_back(self.number, contents);
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Event<'a>;
    type IntoIter = Events<'a>;

    fn into_iter(self) -> Events<'a> {
        self.iter()
    }
}

/// The events of a [`Batch`].
#[derive(Debug, Clone)]
pub struct Events<'a> {
    buffer: &'a [u8],
    items: slice::Iter<'a, Item>,
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        self.items.next().map(|item| item.event(self.buffer))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl ExactSizeIterator for Events<'_> {}
