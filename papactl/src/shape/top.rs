//! Processes by the rate of their output.

use schemars::JsonSchema;
use serde::Serialize;

/// What `top` has seen since it looked last: one object a line.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "top")]
pub(crate) struct Top {
    /// When it looked.
    pub(crate) time: String,
    /// papad itself.
    pub(crate) papad: TopPapad,
    /// Bytes of output a second, of all processes together.
    pub(crate) rate: u64,
    /// The processes, those with most output first.
    pub(crate) processes: Vec<TopProcess>,
}

/// papad itself.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "top_papad")]
pub(crate) struct TopPapad {
    /// Its version.
    pub(crate) version: String,
    /// The process id of its server.
    pub(crate) server: i32,
    /// How many servers it has had.
    pub(crate) starts: u64,
    /// For how long it has been running.
    pub(crate) uptime_seconds: u64,
    /// Sessions that it serves.
    pub(crate) sessions: usize,
    /// Descriptors that its server has open.
    pub(crate) descriptors: u64,
    /// Descriptors that may be open.
    pub(crate) descriptors_allowed: u64,
}

/// A process and its output.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "top_process")]
pub(crate) struct TopProcess {
    /// Its name.
    pub(crate) name: String,
    /// Which process of that name it is.
    pub(crate) id: String,
    /// running or exited.
    pub(crate) state: &'static str,
    /// Bytes of output a second.
    pub(crate) rate: u64,
    /// Bytes that it has written in all.
    pub(crate) written: u64,
    /// Bytes of output that are kept, which nobody has taken.
    pub(crate) unread: u64,
    /// Bytes of output that were pushed out before anybody took them.
    pub(crate) lost: u64,
    /// Processor time in the last interval, in percent of one processor; null if it has ended, was
    /// not seen before, or cannot be seen from here.
    pub(crate) cpu_percent: Option<u64>,
    /// Bytes of memory that it has, resident; null if it has ended or cannot be seen from here.
    pub(crate) memory: Option<u64>,
    /// Its command, as it would be typed.
    pub(crate) command: String,
}
