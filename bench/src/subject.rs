//! Who is measured.

use std::fmt;

use crate::references::{papa, redis, s6, supervisord};

/// Papad, or something it is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Papad,
    /// read(2) from one pipe into 2 MiB of memory.
    ReadLoop,
    /// The same for many pipes, by epoll(7).
    EpollLoop,
    /// A pipe copied to a TCP connection over the loopback interface.
    Relay,
    /// `posix_spawn` and `waitpid`, one after the other.
    SpawnLoop,
    /// What the kernel takes for a pipe and a memory file, as papad has for each process.
    Kernel,
    Papa,
    Redis,
    S6,
    Supervisord,
}

impl Subject {
    /// Why it cannot take part, and what to do about that.
    pub(crate) fn missing(self) -> Option<String> {
        match self {
            Self::Papa => papa::missing(),
            Self::Redis => redis::missing(),
            Self::S6 => s6::missing(),
            Self::Supervisord => supervisord::missing(),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Papad => "papad",
            Self::ReadLoop => "bare read loop",
            Self::EpollLoop => "bare epoll loop",
            Self::Relay => "bare relay",
            Self::SpawnLoop => "posix_spawn loop",
            Self::Kernel => "bare pipe and file",
            Self::Papa => "papa 1.0.6",
            Self::Redis => "redis-server",
            Self::S6 => "s6-supervise",
            Self::Supervisord => "supervisord",
        })
    }
}
