//! Several sources as one, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::SystemTime;

use super::source::{Entry, Next, Source, What};
use super::writer::Writer;
use crate::failure::Result;
use crate::waiter::{Waiter, Woken};

/// A source, and what comes next of it.
#[derive(Debug)]
struct Lane {
    source: Source,
    head: Option<Entry>,
    /// The time of what came before.
    time: SystemTime,
}

/// Shows all that there is of these sources, and returns them.
///
/// What comes of one source stays in its order; of several, the oldest comes first. `is_last`: lines
/// that have not ended when a source ends are shown, too.
pub(super) fn show(
    sources: Vec<Source>,
    is_last: bool,
    writer: &mut Writer,
    waiter: &Waiter,
) -> Result<(Vec<Source>, Woken)> {
    let before = SystemTime::UNIX_EPOCH;
    let lanes = sources.into_iter().map(|source| Lane { source, head: None, time: before });
    let mut lanes: Vec<Lane> = lanes.collect();
    let woken = show_lanes(&mut lanes, is_last, writer, waiter)?;
    writer.flush()?;
    for lane in lanes.iter_mut().filter(|lane| lane.head.is_none()) {
        lane.source.settle();
    }
    Ok((lanes.into_iter().map(|lane| lane.source).collect(), woken))
}

fn show_lanes(
    lanes: &mut [Lane],
    is_last: bool,
    writer: &mut Writer,
    waiter: &Waiter,
) -> Result<Woken> {
    let mut heads = BinaryHeap::with_capacity(lanes.len());
    for (index, lane) in lanes.iter_mut().enumerate() {
        if lane.fill(is_last, writer, waiter)? == Woken::Interrupted {
            return Ok(Woken::Interrupted);
        }
        heads.extend(lane.head.is_some().then_some(Reverse((lane.time, index))));
    }
    while let Some(Reverse((_, index))) = heads.pop() {
        let Some(lane) = lanes.get_mut(index) else { continue };
        if let Some(entry) = lane.head.take() {
            writer.write(&entry)?;
        }
        let woken = lane.fill(is_last, writer, waiter)?;
        if woken == Woken::Interrupted || waiter.is_interrupted() {
            return Ok(Woken::Interrupted);
        }
        heads.extend(lane.head.is_some().then_some(Reverse((lane.time, index))));
    }
    Ok(Woken::Ready)
}

impl Lane {
    /// Waits for what comes next; there is nothing when the source has ended.
    fn fill(&mut self, is_last: bool, writer: &mut Writer, waiter: &Waiter) -> Result<Woken> {
        loop {
            match self.source.next()? {
                Next::Entry(entry) => {
                    self.time = entry.what.time().unwrap_or(self.time);
                    self.head = Some(entry);
                    return Ok(Woken::Ready);
                }
                Next::Finished if is_last && self.source.flush() => {}
                Next::Finished => return Ok(Woken::Ready),
                Next::Nothing => {
                    // All of this source's was shown, and now is written. Others' heads are not,
                    // and those sources are left alone.
                    writer.flush()?;
                    self.source.settle();
                    if waiter.wait(&self.source)? == Woken::Interrupted {
                        return Ok(Woken::Interrupted);
                    }
                }
            }
        }
    }
}

impl What {
    /// When it happened, if that is known.
    fn time(&self) -> Option<SystemTime> {
        match self {
            Self::Line(_, line) => Some(line.time),
            Self::End { time, .. } => Some(*time),
            Self::Lost { .. } | Self::Removed => None,
        }
    }
}
