//! The options of `make process`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{Limit, Pairs, c_text, flag, given_twice, integer, refuse_nul, unknown};
use crate::error::CommandError;
use crate::size;
use crate::text::shown;

/// The most bytes of output that may be kept for one process: 64 GiB.
pub const MAX_BUFSIZE: u64 = 64 << 30;

/// The longest time that `linger=` may name, in milliseconds: an hour.
pub const MAX_LINGER_MS: u64 = 60 * 60 * 1000;

/// How a process is to be started.
///
/// From `umask` on the fields are protocol 2's alone: papa 1.0 has no words for them, and leaves
/// them as they are by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessOptions {
    /// `uid=`: a user's number or name. `None` is papad's own.
    pub uid: Option<Vec<u8>>,
    /// `gid=`: a group's number or name. `None` is the user's group if there is a uid, or else
    /// papad's own.
    pub gid: Option<Vec<u8>>,
    /// `working_dir=`: where the process starts. `None` is papad's own directory.
    pub working_dir: Option<Vec<u8>>,
    /// `bufsize=`: bytes of output to keep, at most [`MAX_BUFSIZE`]; 0 records nothing. `None`
    /// is papad's default.
    pub bufsize: Option<u64>,
    /// `stdout=`
    pub stdout: Stdout,
    /// `stderr=`
    pub stderr: Stderr,
    /// `watch=`: whether the session goes on to watch the process. papa 1.0's alone.
    pub watch: bool,
    /// `shell=`: whether the words are handed to `/bin/sh -c`.
    pub shell: bool,
    /// `env.KEY=`: the whole environment of the process. No key is empty.
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
    /// `rlimit.NAME=`. papa 1.0 has one number for both limits.
    pub rlimits: BTreeMap<Resource, Limit>,
    /// `umask=`: the process's file mode creation mask, 0 to 0o777. `None` is papad's own.
    pub umask: Option<u32>,
    /// `overflow=`
    pub overflow: Overflow,
    /// `linger=`: milliseconds after the exit during which output of descendants that hold the
    /// pipes is still waited for, at most [`MAX_LINGER_MS`]. `None` is papad's default.
    pub linger_ms: Option<u64>,
    /// `listen=`: names of the sockets that the process finds at descriptors 3, 4, ..., as
    /// `sd_listen_fds(3)` says. None is empty, holds `,` or `:`, or is there twice.
    pub listen: Vec<Vec<u8>>,
    /// `inherit=`: names of the sockets that the process finds at their own file numbers. None is
    /// empty, holds `,`, is there twice or in `listen` too.
    pub inherit: Vec<Vec<u8>>,
    /// `replace=`: which process of the same name it takes the place of. Like `watch` this is no
    /// part of what the process is.
    pub replace: Option<Replace>,
}

/// Which processes a new one of the same name takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// `taken`: one that has ended, and of whose output nothing is kept any more.
    Taken,
    /// `ended`: one that has ended, with its end and what is kept of its output.
    Ended,
}

impl Replace {
    /// `taken` or `ended`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Ended => "ended",
        }
    }
}

/// What happens to output when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// `drop`: the oldest output goes, and is counted.
    #[default]
    Drop,
    /// `block`: no more is read until a watcher acknowledges. The process waits in write(2) when
    /// its pipe is full, too.
    Block,
}

impl Overflow {
    /// `drop` or `block`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Block => "block",
        }
    }
}

/// Where standard output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stdout {
    /// `1`: it is kept until it is acknowledged.
    #[default]
    Keep,
    /// `0`: to `/dev/null`.
    Null,
}

/// Where standard error goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stderr {
    /// `1`: it is kept until it is acknowledged.
    #[default]
    Keep,
    /// `0`: to `/dev/null`.
    Null,
    /// `stdout`: wherever standard output goes.
    Merge,
}

/// A resource that setrlimit(2) limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// `RLIMIT_AS`
    As,
    /// `RLIMIT_CORE`
    Core,
    /// `RLIMIT_CPU`
    Cpu,
    /// `RLIMIT_DATA`
    Data,
    /// `RLIMIT_FSIZE`
    Fsize,
    /// `RLIMIT_LOCKS`
    Locks,
    /// `RLIMIT_MEMLOCK`
    Memlock,
    /// `RLIMIT_MSGQUEUE`
    Msgqueue,
    /// `RLIMIT_NICE`
    Nice,
    /// `RLIMIT_NOFILE`, which BSD calls `RLIMIT_OFILE`
    Nofile,
    /// `RLIMIT_NPROC`
    Nproc,
    /// `RLIMIT_RSS`
    Rss,
    /// `RLIMIT_RTPRIO`
    Rtprio,
    /// `RLIMIT_RTTIME`
    Rttime,
    /// `RLIMIT_SIGPENDING`
    Sigpending,
    /// `RLIMIT_STACK`
    Stack,
}

impl Resource {
    pub(crate) const ALL: [Self; 16] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Locks,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rss,
        Self::Rtprio,
        Self::Rttime,
        Self::Sigpending,
        Self::Stack,
    ];

    /// The resource's name in lower case, without `RLIMIT_`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::Fsize => "fsize",
            Self::Locks => "locks",
            Self::Memlock => "memlock",
            Self::Msgqueue => "msgqueue",
            Self::Nice => "nice",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Rss => "rss",
            Self::Rtprio => "rtprio",
            Self::Rttime => "rttime",
            Self::Sigpending => "sigpending",
            Self::Stack => "stack",
        }
    }

    /// The resource of that name, in any case. `ofile` is [`Resource::Nofile`].
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.eq_ignore_ascii_case(b"ofile") {
            return Some(Self::Nofile);
        }
        Self::ALL.into_iter().find(|it| it.as_str().as_bytes().eq_ignore_ascii_case(text))
    }
}

impl ProcessOptions {
    /// Reads options whose keys and values are exactly as meant, quotes already taken off.
    pub fn from_pairs(pairs: Pairs) -> Result<Self, CommandError> {
        let mut options = Self::default();
        for (key, value) in pairs {
            match key.as_slice() {
                b"uid" => options.uid = c_text("uid", value)?,
                b"gid" => options.gid = c_text("gid", value)?,
                b"working_dir" => options.working_dir = c_text("working_dir", value)?,
                b"bufsize" => options.bufsize = Some(bufsize(&value)?),
                b"stdout" => options.stdout = stdout(&value)?,
                b"stderr" => options.stderr = stderr(&value)?,
                b"watch" => options.watch = flag("watch", &value)?,
                b"shell" => options.shell = flag("shell", &value)?,
                _ => options.add_prefixed(&key, value)?,
            }
        }
        Ok(options)
    }

    fn add_prefixed(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), CommandError> {
        if let Some(name) = key.strip_prefix(b"env.") {
            if name.is_empty() {
                return Err(CommandError::new("An environment variable requires a name"));
            }
            refuse_nul("The environment", name)?;
            refuse_nul("The environment", &value)?;
            self.env.insert(name.to_vec(), value);
            Ok(())
        } else if let Some(name) = key.strip_prefix(b"rlimit.") {
            self.add_rlimit(key, name, &value)
        } else {
            Err(unknown(key, "make process"))
        }
    }

    /// `key` is the whole key, `name` what follows `rlimit.` in it.
    fn add_rlimit(&mut self, key: &[u8], name: &[u8], value: &[u8]) -> Result<(), CommandError> {
        let resource = Resource::parse(name)
            .ok_or_else(|| CommandError::new(format!("Unknown rlimit \"{}\"", shown(name))))?;
        let limit = match integer(value) {
            Some(-1) => Some(Limit::UNLIMITED),
            Some(limit) => u64::try_from(limit).ok(),
            None => {
                let (name, value) = (shown(name), shown(value));
                return Err(CommandError::new(format!(
                    "The rlimit value for \"{name}\" must be an integer, not \"{value}\""
                )));
            }
        };
        let limit = limit.ok_or_else(|| {
            let (name, value) = (shown(name), shown(value));
            CommandError::new(format!("The rlimit value for \"{name}\" is out of range: {value}"))
        })?;
        // Two spellings of one name are two keys, but one resource.
        match self.rlimits.entry(resource) {
            Entry::Vacant(entry) => entry.insert(Limit::both(limit)),
            Entry::Occupied(_) => return Err(given_twice(key)),
        };
        Ok(())
    }
}

fn bufsize(value: &[u8]) -> Result<u64, CommandError> {
    match size::parse(value) {
        Some(bytes) if bytes <= MAX_BUFSIZE => Ok(bytes),
        Some(_) => Err(CommandError::new(format!(
            "Bad bufsize \"{}\": it must not be above {}g",
            shown(value),
            MAX_BUFSIZE >> 30
        ))),
        None => Err(CommandError::new(format!("Bad bufsize \"{}\"", shown(value)))),
    }
}

fn stdout(value: &[u8]) -> Result<Stdout, CommandError> {
    match value {
        b"0" => Ok(Stdout::Null),
        b"1" => Ok(Stdout::Keep),
        _ => Err(CommandError::new(format!("stdout must be 0 or 1, not \"{}\"", shown(value)))),
    }
}

fn stderr(value: &[u8]) -> Result<Stderr, CommandError> {
    match value {
        b"0" => Ok(Stderr::Null),
        b"1" => Ok(Stderr::Keep),
        b"stdout" => Ok(Stderr::Merge),
        _ => {
            let value = shown(value);
            Err(CommandError::new(format!("stderr must be 0, 1 or stdout, not \"{value}\"")))
        }
    }
}
