//! The shapes of JSON. They are documented in papactl-json(7): keys may be added, and never change
//! or go. A key that has nothing to tell is null, and is there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use papa_client::{End, ProcessInfo, State, Value};
use serde::Serialize;

use crate::text;
use crate::time;

/// A process.
#[derive(Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) state: &'static str,
    pub(crate) pid: i32,
    pub(crate) exit_status: Option<i32>,
    pub(crate) signal: Option<String>,
    pub(crate) started: String,
    pub(crate) ended: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) unread: u64,
    pub(crate) lost: u64,
    pub(crate) written: u64,
    pub(crate) watchers: u64,
    pub(crate) buffer: u64,
    pub(crate) overflow: &'static str,
    pub(crate) removed: bool,
    pub(crate) shell: bool,
    pub(crate) command: Vec<String>,
}

impl Process {
    pub(crate) fn new(info: &ProcessInfo, user: Option<String>) -> Self {
        let (exit_status, signal) = end(info.end());
        Self {
            name: info.name.to_string(),
            id: info.id.to_string(),
            state: state(info),
            pid: info.pid,
            exit_status,
            signal,
            started: time::rfc3339(info.started),
            ended: match info.state {
                State::Running => None,
                State::Exited { at, .. } => Some(time::rfc3339(at)),
            },
            user,
            directory: info.directory.as_ref().map(|it| it.display().to_string()),
            unread: unread(info),
            lost: info.lost,
            written: info.next,
            watchers: info.watchers,
            buffer: info.bufsize,
            overflow: match info.overflow {
                papa_client::Overflow::Drop => "drop",
                papa_client::Overflow::Block => "block",
            },
            removed: info.removed,
            shell: info.shell,
            command: info.command.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        }
    }
}

/// `running` or `exited`.
pub(crate) fn state(info: &ProcessInfo) -> &'static str {
    if info.is_running() { "running" } else { "exited" }
}

/// Bytes of output that are kept, which nobody has taken.
pub(crate) fn unread(info: &ProcessInfo) -> u64 {
    info.next.saturating_sub(info.first)
}

/// `exit_status` and `signal` of an end. Both are null of what runs, and of what ended nobody knows
/// how.
pub(crate) fn end(end: Option<End>) -> (Option<i32>, Option<String>) {
    let signal = end.and_then(End::signal).map(|signal| signal.to_string());
    (end.and_then(End::code), signal)
}

/// A stored value: as text, or if it is none, in base64.
#[derive(Debug, Serialize)]
pub(crate) struct StoredValue {
    pub(crate) name: String,
    pub(crate) text: Option<String>,
    pub(crate) base64: Option<String>,
    pub(crate) for_session: bool,
}

impl StoredValue {
    pub(crate) fn new(value: &Value) -> Self {
        let (text, base64) = text_or_base64(&value.value);
        let (name, for_session) = (value.name.to_string(), value.for_session);
        Self { name, text, base64, for_session }
    }
}

/// Bytes as text, or if they are none, in base64.
pub(crate) fn text_or_base64(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(BASE64_STANDARD.encode(bytes))),
    }
}

/// What `logs` shows: one object a line, told apart by `kind`.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Logged {
    /// A line of output, without its newline: as text, or if it is none, in base64.
    Line {
        name: String,
        id: String,
        stream: &'static str,
        /// When papad read its first byte.
        time: String,
        /// Of its first byte.
        position: u64,
        text: Option<String>,
        base64: Option<String>,
        /// No newline followed: it was too long for one object, or the output ended there.
        partial: bool,
    },
    /// Output was pushed out before anybody read it.
    Lost {
        name: String,
        id: String,
        /// Where output goes on after it.
        position: u64,
        bytes: u64,
    },
    /// The process has ended, and all of its output was shown.
    End { name: String, id: String, time: String, exit_status: Option<i32>, signal: Option<String> },
    /// Somebody has removed the process.
    Removed { name: String, id: String },
}

/// What `top` has seen since it looked last.
#[derive(Debug, Serialize)]
pub(crate) struct Top {
    pub(crate) time: String,
    pub(crate) papad: TopPapad,
    /// Bytes of output a second, of all processes together.
    pub(crate) rate: u64,
    pub(crate) processes: Vec<TopProcess>,
}

/// papad itself.
#[derive(Debug, Serialize)]
pub(crate) struct TopPapad {
    pub(crate) version: String,
    pub(crate) server: i32,
    pub(crate) starts: u64,
    pub(crate) uptime_seconds: u64,
    pub(crate) sessions: usize,
    pub(crate) descriptors: u64,
    pub(crate) descriptors_allowed: u64,
}

/// A process and its output.
#[derive(Debug, Serialize)]
pub(crate) struct TopProcess {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) state: &'static str,
    /// Bytes of output a second.
    pub(crate) rate: u64,
    pub(crate) written: u64,
    pub(crate) unread: u64,
    pub(crate) lost: u64,
    pub(crate) command: String,
}

/// A name, of what was changed.
#[derive(Debug, Serialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

impl Named {
    pub(crate) fn new(name: &[u8]) -> Self {
        Self { name: text::printable(name) }
    }
}
