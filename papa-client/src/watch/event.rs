//! What a watcher is told.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use papa_protocol::frame::Stream;

use crate::name::Name;
use crate::process::{End, ProcessId};

/// Something that happened to a watched process.
///
/// A position counts the bytes of output since the process started, both streams together. The
/// events of one process come in the order of their positions, without a gap: what one ends with is
/// what the next begins with. What was not kept is an event, too: [`Event::Lost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It has written something.
    #[non_exhaustive]
    Output {
        /// The process's name.
        name: &'a Name,
        /// Which process of that name it is.
        id: ProcessId,
        /// Where it has written to.
        stream: Stream,
        /// The position of the first byte.
        position: u64,
        /// When papad read it, to the millisecond or so.
        time: SystemTime,
        /// What it has written: at least one byte, and cut anywhere.
        bytes: &'a [u8],
    },
    /// Output that is not kept any more: the process wrote faster than it was read.
    #[non_exhaustive]
    Lost {
        /// The process's name.
        name: &'a Name,
        /// Which process of that name it is.
        id: ProcessId,
        /// The position of the first byte that is lost.
        position: u64,
        /// How many are.
        bytes: u64,
    },
    /// It has ended, and all of its output has come.
    #[non_exhaustive]
    Closed {
        /// The process's name.
        name: &'a Name,
        /// Which process of that name it was.
        id: ProcessId,
        /// The end of its output.
        position: u64,
        /// When it ended.
        time: SystemTime,
        /// How it ended.
        end: End,
    },
    /// It is watched from now on: the first event of each process, and there is one for those that
    /// are there when the watch begins, too.
    #[non_exhaustive]
    Joined {
        /// The process's name.
        name: &'a Name,
        /// Which process of that name it is.
        id: ProcessId,
        /// Its process id.
        pid: i32,
        /// Where its output begins for this watcher.
        position: u64,
    },
    /// Somebody removed it, or papad itself is another one than before. Nothing more of it comes.
    #[non_exhaustive]
    Removed {
        /// The process's name.
        name: &'a Name,
        /// Which process of that name it was.
        id: ProcessId,
    },
}

impl<'a> Event<'a> {
    /// The name of the process.
    #[must_use]
    pub fn name(&self) -> &'a Name {
        match *self {
            Self::Output { name, .. }
            | Self::Lost { name, .. }
            | Self::Closed { name, .. }
            | Self::Joined { name, .. }
            | Self::Removed { name, .. } => name,
        }
    }

    /// Which process of that name it is.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        match *self {
            Self::Output { id, .. }
            | Self::Lost { id, .. }
            | Self::Closed { id, .. }
            | Self::Joined { id, .. }
            | Self::Removed { id, .. } => id,
        }
    }
}

/// A watched process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: Name,
    pub(crate) id: ProcessId,
}

/// An event whose bytes lie in its batch's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) who: Arc<Who>,
    pub(crate) what: What,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Output { stream: Stream, position: u64, time: SystemTime, range: Range<usize> },
    Lost { position: u64, bytes: u64 },
    Closed { position: u64, time: SystemTime, end: End },
    Joined { pid: i32, position: u64 },
    Removed,
}

impl Item {
    /// The event, with the bytes of its batch's buffer.
    pub(crate) fn event<'a>(&'a self, buffer: &'a [u8]) -> Event<'a> {
        let Who { name, id } = &*self.who;
        let id = *id;
        match self.what {
            What::Output { stream, position, time, ref range } => {
                // A range is of the very buffer that it was made for.
                let bytes = buffer.get(range.clone()).unwrap_or_default();
                Event::Output { name, id, stream, position, time, bytes }
            }
            What::Lost { position, bytes } => Event::Lost { name, id, position, bytes },
            What::Closed { position, time, end } => Event::Closed { name, id, position, time, end },
            What::Joined { pid, position } => Event::Joined { name, id, pid, position },
            What::Removed => Event::Removed { name, id },
        }
    }
}
