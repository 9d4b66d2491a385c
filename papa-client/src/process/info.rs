//! What papad tells of a process.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::SystemTime;

use papa_protocol::options::Overflow;

use crate::error::Result;
use crate::fields::Line;
use crate::name::Name;
use crate::process::{End, ProcessId, Signal};

/// A process as papad's list has it at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its name.
    pub name: Name,
    /// Which process of that name it is.
    pub id: ProcessId,
    /// Whether it runs, or how it ended.
    pub state: State,
    /// Its process id. When it has ended, that of somebody else perhaps: signals are sent by
    /// [`Process`](crate::Process).
    pub pid: i32,
    /// When it was started.
    pub started: SystemTime,
    /// Its start in clock ticks since boot, as `/proc/PID/stat` has it, if the keeper that there
    /// is now is not its parent.
    pub(crate) starttime: Option<u64>,
    /// Its user, if one was asked for.
    pub uid: Option<u32>,
    /// Its group, if one was asked for.
    pub gid: Option<u32>,
    /// The directory it started in, if one was asked for.
    pub directory: Option<PathBuf>,
    /// Bytes of output that are kept for it at most.
    pub bufsize: u64,
    /// What happens to output when these are full.
    pub overflow: Overflow,
    /// The position of the oldest byte kept. Positions count all bytes of output since the process
    /// started, both streams together.
    pub first: u64,
    /// The position of the byte that it writes next.
    pub next: u64,
    /// Bytes of output that were pushed out and that no watcher had.
    pub lost: u64,
    /// Sessions that watch it.
    pub watchers: u64,
    /// The sockets that it was given: a socket of one of these names that has another cookie now was
    /// made anew since. Empty also if papad does not say, as older versions do not.
    pub sockets: Vec<GivenSocket>,
    /// Whether a signal has stopped it: it runs on at [`Signal::CONT`].
    pub stopped: bool,
    /// Whether it was removed and runs on: its output is kept no more.
    pub removed: bool,
    /// Whether the command is a line for `/bin/sh -c`.
    pub shell: bool,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// A socket that a process was given when it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenSocket {
    /// The name that it had then.
    pub name: Name,
    /// Which socket it was: see [`SocketInfo::cookie`](crate::SocketInfo::cookie).
    pub cookie: u64,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It has ended. It stays on the list until a watcher has acknowledged that, or it is removed.
    Exited {
        /// How it ended.
        end: End,
        /// When it ended.
        at: SystemTime,
    },
}

impl ProcessInfo {
    /// Reads an answer's line. `papad` is the id that papad greeted with.
    pub(crate) fn parse(line: &[u8], papad: &str) -> Result<Self> {
        let line = Line::parse(line)?;
        Ok(Self {
            name: line.name()?,
            id: ProcessId::new(papad, line.number("id")?)?,
            state: State::parse(&line)?,
            pid: line.number("pid")?,
            started: line.time("started")?,
            starttime: line.maybe_number("starttime")?,
            uid: line.maybe_number("uid")?,
            gid: line.maybe_number("gid")?,
            directory: line.maybe_path("dir"),
            bufsize: line.number("bufsize")?,
            overflow: match line.bytes("overflow")? {
                b"drop" => Overflow::Drop,
                b"block" => Overflow::Block,
                _ => return Err(line.bad("overflow")),
            },
            first: line.number("first")?,
            next: line.number("next")?,
            lost: line.number("lost")?,
            watchers: line.number("watchers")?,
            sockets: GivenSocket::parse_all(&line)?,
            stopped: line.is_set("stopped"),
            removed: line.is_set("removed"),
            shell: line.is_set("shell"),
            command: line.rest(),
        })
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.state.is_running()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match self.state {
            State::Running => None,
            State::Exited { end, .. } => Some(end),
        }
    }
}

impl GivenSocket {
    /// Reads the `socket.COOKIE=NAME` of a line.
    fn parse_all(line: &Line) -> Result<Vec<Self>> {
        let keys =
            line.pairs().filter_map(|(key, name)| Some((key.strip_prefix(b"socket.")?, name)));
        let parse = |(cookie, name): (&[u8], &[u8])| {
            let cookie = std::str::from_utf8(cookie).ok().and_then(|cookie| cookie.parse().ok());
            let cookie = cookie.ok_or_else(|| line.bad("socket"))?;
            Ok(Self { name: Name::told(name), cookie })
        };
        keys.map(parse).collect()
    }
}

impl State {
    /// Whether it runs.
    #[must_use]
    pub fn is_running(self) -> bool {
        self == Self::Running
    }

    fn parse(line: &Line) -> Result<Self> {
        match line.bytes("state")? {
            b"running" => Ok(Self::Running),
            b"exited" => {
                let end = match (line.maybe_number("exit")?, line.maybe_number("signal")?) {
                    (Some(code), _) => End::Exited(code),
                    (None, Some(number)) => End::Signaled(Signal(number)),
                    (None, None) => End::Unknown,
                };
                Ok(Self::Exited { end, at: line.time("ended")? })
            }
            _ => Err(line.bad("state")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const PAPAD: &str = "0123456789abcdef";
    const RUNNING: &str = "name=web id=7 state=running pid=42 started=5000000000 uid=3 dir=/tmp \
                           bufsize=64 overflow=block first=1 next=9 lost=2 watchers=3 later=x \
                           socket.9=a=b socket.12=c -- /bin/echo \"\" \"a\\nb\"";

    #[test]
    fn a_line_is_read_and_what_a_later_papad_adds_is_passed_over() {
        let info = ProcessInfo::parse(RUNNING.as_bytes(), PAPAD).unwrap();
        assert_eq!((info.name.as_bytes(), info.pid, info.uid), (&b"web"[..], 42, Some(3)));
        assert_eq!((info.gid, info.overflow, info.is_running()), (None, Overflow::Block, true));
        assert_eq!(info.command, ["/bin/echo", "", "a\nb"]);
        let sockets: Vec<_> =
            info.sockets.iter().map(|it| (it.name.as_bytes(), it.cookie)).collect();
        assert_eq!(sockets, [(&b"a=b"[..], 9), (b"c", 12)]);
        assert_eq!(info.started, crate::fields::time(5_000_000_000));
    }

    #[test]
    fn an_end_is_a_code_or_a_signal() {
        for (words, end) in [
            ("exit=3", End::Exited(3)),
            ("signal=9", End::Signaled(Signal::KILL)),
            ("", End::Unknown),
        ] {
            let line = RUNNING.replace("state=running", &format!("state=exited {words} ended=7"));
            assert_eq!(ProcessInfo::parse(line.as_bytes(), PAPAD).unwrap().end(), Some(end));
        }
    }

    #[test]
    fn a_line_that_lacks_something_is_no_papads() {
        for key in ["id=7 ", "state=running ", "pid=42 ", "overflow=block "] {
            let line = RUNNING.replace(key, "");
            let error = ProcessInfo::parse(line.as_bytes(), PAPAD).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{key}");
        }
    }
}
