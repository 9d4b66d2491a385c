//! What became of processes that were waited for, stopped, made again or removed.

use papa_client::{End, ProcessInfo};
use schemars::JsonSchema;
use serde::Serialize;

use super::Process;

/// A process that has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ended")]
pub(crate) struct Ended {
    /// Its name.
    pub(crate) name: String,
    /// Which process of that name it was.
    pub(crate) id: String,
    /// The process id that it had.
    pub(crate) pid: i32,
    /// Its exit status; null if a signal ended it or nobody knows.
    pub(crate) exit_status: Option<i32>,
    /// The signal that ended it, as TERM.
    pub(crate) signal: Option<String>,
}

impl Ended {
    pub(crate) fn new(info: &ProcessInfo, how: End) -> Self {
        let (exit_status, signal) = super::end(Some(how));
        let (name, id) = (info.name.to_string(), info.id.to_string());
        Self { name, id, pid: info.pid, exit_status, signal }
    }
}

/// A process that was to be stopped, and has ended.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "stopped")]
pub(crate) struct Stopped {
    /// How it ended.
    #[serde(flatten)]
    pub(crate) ended: Ended,
    /// Whether it had ended before.
    pub(crate) already: bool,
    /// How many of its descendants were there and have ended.
    pub(crate) descendants: usize,
    /// How many of those were killed.
    pub(crate) descendants_killed: usize,
    /// How many run still.
    pub(crate) descendants_left: usize,
    /// Whether it was removed, as --rm asks.
    pub(crate) removed: bool,
    /// Bytes of its output that nobody had taken, and that went with it.
    pub(crate) unread_dropped: u64,
}

/// A process that was made again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "restarted")]
pub(crate) struct Restarted {
    /// The new process.
    #[serde(flatten)]
    pub(crate) process: Process,
    /// Bytes of output of the one before that nobody had taken, and that went with it.
    pub(crate) unread_dropped: u64,
    /// Bytes of output of the one before that nobody has taken yet: papactl logs --previous.
    pub(crate) unread_previous: u64,
}

/// A process that papad has forgotten.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "removed")]
pub(crate) struct Removed {
    /// Its name.
    pub(crate) name: String,
    /// Which process of that name it was.
    pub(crate) id: String,
    /// The process id that it had, or has.
    pub(crate) pid: i32,
    /// Whether it runs on.
    pub(crate) running: bool,
    /// Bytes of its output that nobody had taken, and that went with it.
    pub(crate) unread_dropped: u64,
}
