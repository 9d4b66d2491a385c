//! Hosted processes: the table of them, and what happens to each.

mod buffers;
mod capture;
mod ending;
mod eviction;
mod find;
mod identity;
mod interpreter;
mod make;
mod members;
mod orphans;
mod output;
mod previous;
mod process;
mod reader;
mod recover;
mod replayed;
mod spawn;
mod spec;
mod stat;
mod table;
mod unpinned;
mod waker;

use std::time::{SystemTime, UNIX_EPOCH};

use papa_protocol::frame::Time;

pub(crate) use ending::Ending;
pub(crate) use find::Numbers;
pub(crate) use identity::Identity;
pub(crate) use members::Member;
pub(crate) use output::Piece;
pub(crate) use process::{Exit, Frames, Life, Next, NoReader, Process, Sent};
pub(crate) use reader::{End, Place, ReaderId, Start, Wants};
pub(crate) use replayed::Replayed;
pub(crate) use spawn::Defaults;
pub(crate) use spec::Spec;
use stat::since_boot;
pub(crate) use table::Processes;
pub(crate) use waker::Waker;

/// The time by the system's clock.
pub(crate) fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}
