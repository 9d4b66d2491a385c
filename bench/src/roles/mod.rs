//! The small programs that a measurement is made of: what is hosted, and what papad is held against
//! where that is a few system calls in a loop. Each is a process of its own, as papad is, and does
//! one thing; this program becomes one of them by `bench role NAME`.

mod holding;
mod reading;
mod spawning;
pub(crate) mod writing;

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

/// A small program. What stands last is a command whose standard output it reads.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Writes so many bytes, 64 KiB at a time.
    Flood { bytes: u64 },
    /// Says that it is ready, waits until somebody writes to this FIFO, and writes so many lines.
    Burst { lines: usize, start: PathBuf },
    /// Waits until somebody writes to this FIFO, and writes so many lines, one a millisecond, each
    /// with the time at which it was written.
    Stamp { lines: usize, start: PathBuf },
    /// Reads a pipe into 2 MiB of memory.
    ReadLoop {
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Reads the pipes of so many commands into 2 MiB of memory each, and says when all are ready.
    EpollLoop {
        count: usize,
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Copies a pipe to a connection to this port.
    Relay {
        port: u16,
        #[arg(trailing_var_arg = true)]
        command: Vec<OsString>,
    },
    /// Runs `/bin/true` so many times, and says how many seconds that took.
    SpawnLoop { count: usize },
    /// Has so many pipes and memory files, until its standard input ends.
    HoldPipes { count: usize },
    /// Has so many connections to this port or as many as it gets, until its standard input ends.
    HoldSessions { count: usize, port: u16 },
}

impl Role {
    pub(crate) fn play(self) -> Result<()> {
        match self {
            Self::Flood { bytes } => writing::flood(bytes),
            Self::Burst { lines, start } => writing::burst(lines, &start),
            Self::Stamp { lines, start } => writing::stamp(lines, &start),
            Self::ReadLoop { command } => reading::read_loop(&command),
            Self::EpollLoop { count, command } => reading::epoll_loop(count, &command),
            Self::Relay { port, command } => reading::relay(port, &command),
            Self::SpawnLoop { count } => spawning::spawn_loop(count),
            Self::HoldPipes { count } => holding::pipes(count),
            Self::HoldSessions { count, port } => holding::sessions(count, port),
        }
    }
}
