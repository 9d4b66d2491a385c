//! The shapes of JSON. They are documented in papactl-json(7): keys may be added, and never change
//! or go. A key that has nothing to tell is null, and is there.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use papa_client::{End, ProcessInfo, State, Value};
use schemars::JsonSchema;
use serde::Serialize;

use crate::text;
use crate::time;
use crate::usage::Usage;

mod ended;
mod inspected;
mod logged;
mod socket;
mod status;
mod top;

pub(crate) use ended::{Ended, Removed, Restarted, Stopped};
pub(crate) use inspected::{Inspected, ProcessLimit, Setting, Variable};
pub(crate) use logged::{Logged, PapadLog};
pub(crate) use socket::Socket;
pub(crate) use status::{Limit, Shutdown, Status, Upgraded};
pub(crate) use top::{Top, TopPapad, TopProcess};

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "process")]
pub(crate) struct Process {
    /// Its name.
    pub(crate) name: String,
    /// Which process of that name it is: no other one ever has the same.
    pub(crate) id: String,
    /// running or exited.
    pub(crate) state: &'static str,
    /// Its process id. When it has ended, that of somebody else perhaps.
    pub(crate) pid: i32,
    /// Its exit status; null while it runs, and if a signal ended it or nobody knows.
    pub(crate) exit_status: Option<i32>,
    /// The signal that ended it, as TERM.
    pub(crate) signal: Option<String>,
    /// When it was started.
    pub(crate) started: String,
    /// When it ended.
    pub(crate) ended: Option<String>,
    /// Its user, if that is known.
    pub(crate) user: Option<String>,
    /// The directory it started in, if one was asked for.
    pub(crate) directory: Option<String>,
    /// Bytes of output that are kept, which nobody has taken.
    pub(crate) unread: u64,
    /// Bytes of output that were pushed out before anybody took them.
    pub(crate) lost: u64,
    /// Bytes that it has written in all.
    pub(crate) written: u64,
    /// Sessions that watch it.
    pub(crate) watchers: u64,
    /// Bytes of output that are kept for it at most.
    pub(crate) buffer: u64,
    /// What happens when these are full: drop (the oldest) or block.
    pub(crate) overflow: &'static str,
    /// Processor time that it has used, in seconds; null if it has ended or cannot be seen from here.
    pub(crate) cpu_seconds: Option<f64>,
    /// Bytes of memory that it has, resident; null as above.
    pub(crate) memory: Option<u64>,
    /// Whether a signal has stopped it: it runs on at CONT.
    pub(crate) stopped: bool,
    /// Whether it was removed and runs on: its output is kept no more.
    pub(crate) removed: bool,
    /// Whether the command is a line for /bin/sh -c.
    pub(crate) shell: bool,
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
}

impl Process {
    pub(crate) fn new(info: &ProcessInfo, user: Option<String>) -> Self {
        let (exit_status, signal) = end(info.end());
        let usage = Usage::of(info);
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
            cpu_seconds: usage.map(|usage| usage.cpu.as_secs_f64()),
            memory: usage.map(|usage| usage.memory),
            stopped: info.stopped,
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "value")]
pub(crate) struct StoredValue {
    /// Its name.
    pub(crate) name: String,
    /// The value, if it is UTF-8.
    pub(crate) text: Option<String>,
    /// The value in base64, if it is not.
    pub(crate) base64: Option<String>,
    /// Whether it vanishes with the session that has set it.
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

/// A name, of what was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "name")]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
}

impl Named {
    pub(crate) fn new(name: &[u8]) -> Self {
        Self { name: text::printable(name) }
    }
}
