//! What papad says at one moment.

use std::time::{Duration, Instant};

use papa_client::{Papa, ProcessId, ProcessInfo, Result};

use crate::shape;
use crate::text::{self, Tone};
use crate::usage::Usage;

/// papad and its processes.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) at: Instant,
    pub(super) papad: Papad,
    pub(super) processes: Vec<Process>,
}

/// papad itself.
#[derive(Debug, Clone)]
pub(super) struct Papad {
    pub(super) version: String,
    pub(super) server: i32,
    pub(super) starts: u64,
    pub(super) uptime: Duration,
    pub(super) sessions: usize,
    pub(super) descriptors: u64,
    pub(super) descriptors_allowed: u64,
}

/// A process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) id: ProcessId,
    pub(super) name: String,
    pub(super) state: (String, Tone),
    pub(super) is_running: bool,
    /// Bytes of output since it started.
    pub(super) next: u64,
    pub(super) unread: u64,
    pub(super) lost: u64,
    /// What it uses; `None` if it has ended, or cannot be seen from here.
    pub(super) usage: Option<Usage>,
    pub(super) command: String,
}

impl Reading {
    pub(super) fn take(papa: &Papa) -> Result<Self> {
        let status = papa.status()?;
        let processes = papa.processes("*")?;
        // The clock of rates is read where the positions are.
        let at = Instant::now();
        let papad = Papad {
            version: status.version,
            server: status.server,
            starts: status.starts,
            uptime: status.uptime,
            sessions: status.sessions.len(),
            descriptors: status.descriptors,
            descriptors_allowed: status.descriptors_allowed,
        };
        Ok(Self { at, papad, processes: processes.iter().map(Process::new).collect() })
    }
}

impl Process {
    fn new(info: &ProcessInfo) -> Self {
        Self {
            id: info.id,
            name: info.name.to_string(),
            state: text::state(info),
            is_running: info.is_running(),
            next: info.next,
            unread: shape::unread(info),
            lost: info.lost,
            usage: Usage::of(info),
            command: text::command_line(&info.command),
        }
    }
}
