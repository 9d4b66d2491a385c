//! Describing a watch.

use std::collections::{BTreeMap, BTreeSet};

use papa_protocol::exact::{DEFAULT_WINDOW, From as WatchFrom, MAX_WINDOW, MIN_WINDOW, Watch};

use crate::error::{Error, Result};
use crate::name::{Name, Pattern};
use crate::process::ProcessId;

pub use papa_protocol::exact::Mode;

/// Where the output of a process that is there already is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// From the oldest byte that is kept.
    #[default]
    Oldest,
    /// From what comes next.
    Newest,
}

/// What a watcher does when its connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDisconnect {
    /// It connects again and goes on where it was.
    #[default]
    Resume,
    /// It says so, by an error of the kind [`Disconnected`](crate::ErrorKind::Disconnected), and
    /// goes on as above when it is asked for the next batch.
    Report,
}

/// A watch that is to begin: see [`Papa::watch`](crate::Papa::watch).
///
/// Unless told otherwise it takes all output from the oldest byte that is kept, and goes on until
/// it is stopped or, where no pattern has a `*`, all its processes have ended. A pattern without a
/// `*` stands for the process that has the name when the watch begins, and for no later one.
#[derive(Debug, Clone)]
#[must_use = "nothing is watched before `start`"]
pub struct WatchBuilder<P> {
    pub(crate) papa: P,
    /// A pattern that is none is told when the watch is started.
    plan: Result<Plan, String>,
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) mode: Mode,
    pub(crate) start: Start,
    pub(crate) follow: bool,
    pub(crate) data: bool,
    pub(crate) window: u64,
    pub(crate) on_disconnect: OnDisconnect,
    /// Where to begin with processes that were read before.
    pub(crate) places: BTreeMap<Name, (ProcessId, u64)>,
    /// The process that is meant, where that is not whichever has the only pattern's name.
    pub(crate) only: Option<ProcessId>,
    /// Names whose processes join when those that they have replaced are done.
    pub(crate) awaited: BTreeSet<Name>,
}

impl Plan {
    /// The request that watches these names.
    pub(crate) fn request(&self, names: Vec<Vec<u8>>, from: WatchFrom) -> Watch {
        let (mode, follow, data, window) = (self.mode, self.follow, self.data, self.window);
        let id = self.only.map(ProcessId::number);
        Watch { names, mode, from, follow, data, window, id }
    }
}

impl<P> WatchBuilder<P> {
    pub(crate) fn new<N: AsRef<[u8]>>(papa: P, patterns: impl IntoIterator<Item = N>) -> Self {
        let patterns = patterns.into_iter().map(|pattern| Pattern::new(pattern.as_ref()));
        let plan = patterns.collect::<Result<Vec<_>>>().map(|patterns| Plan {
            patterns,
            mode: Mode::default(),
            start: Start::default(),
            follow: true,
            data: true,
            window: DEFAULT_WINDOW,
            on_disconnect: OnDisconnect::default(),
            places: BTreeMap::new(),
            only: None,
            awaited: BTreeSet::new(),
        });
        Self { papa, plan: plan.map_err(|error| error.to_string()) }
    }

    fn with(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        if let Ok(plan) = &mut self.plan {
            change(plan);
        }
        self
    }

    /// Whether to take output or only to look at it. [`Mode::Peek`] takes nothing from anybody: its
    /// batches need no acknowledgement to papad, and what is pushed out before they are read is
    /// [lost](crate::Event::Lost) to it.
    pub fn mode(self, mode: Mode) -> Self {
        self.with(|plan| plan.mode = mode)
    }

    /// Where to begin with the processes that are there already. One that joins later is read from
    /// its first byte.
    pub fn from(self, start: Start) -> Self {
        self.with(|plan| plan.start = start)
    }

    /// Where to begin with a process that was read before: at this position, whatever papad kept.
    /// If another has replaced it since, what there is of it comes first, and then the other.
    /// Everything before counts as acknowledged. Whoever keeps the
    /// [places](crate::Batch::places) of batches together with what it made of them gets each byte
    /// exactly once, across its own crashes, too.
    ///
    /// This is one of the watch's names, or matches one: it adds none.
    pub fn resume_from(self, name: Name, id: ProcessId, position: u64) -> Self {
        self.with(|plan| {
            plan.places.insert(name, (id, position));
        })
    }

    /// Watches this process of the only name alone, even if another has replaced it since: see
    /// [`Papa::previous`](crate::Papa::previous).
    ///
    /// The start of the watch fails with [`NotFound`](crate::ErrorKind::NotFound) if papad keeps
    /// nothing of it any more.
    pub fn only(self, id: ProcessId) -> Self {
        self.with(|plan| plan.only = Some(id))
    }

    /// Bytes that papad sends ahead of their acknowledgement, from 4 KiB to 64 MiB. 1 MiB unless
    /// given.
    pub fn window(self, bytes: u64) -> Self {
        self.with(|plan| plan.window = bytes)
    }

    /// Whether to wait for what comes later. If not, the watch ends with what is there.
    pub fn follow(self, follow: bool) -> Self {
        self.with(|plan| plan.follow = follow)
    }

    /// Tells only how processes end, and nothing of their output, which is neither kept nor taken
    /// for this watcher. So when an end is acknowledged, the process leaves papad's list, and its
    /// name is free, only if it has written nothing or somebody else takes its output: see
    /// [`ProcessBuilder::replace_ended`](crate::ProcessBuilder::replace_ended).
    pub fn only_exits(self) -> Self {
        self.with(|plan| plan.data = false)
    }

    /// What to do when the connection ends.
    pub fn on_disconnect(self, what: OnDisconnect) -> Self {
        self.with(|plan| plan.on_disconnect = what)
    }

    pub(crate) fn into_parts(self) -> Result<(P, Plan)> {
        let plan = self.plan.map_err(Error::usage)?;
        if plan.patterns.is_empty() {
            return Err(Error::usage("a watch must name a process or a pattern"));
        }
        if plan.only.is_some() && !matches!(&plan.patterns[..], [it] if !it.is_wildcard()) {
            return Err(Error::usage("one process is watched by one name, without a \"*\""));
        }
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&plan.window) {
            let what = format!("a window must be of {MIN_WINDOW} to {MAX_WINDOW} bytes");
            return Err(Error::usage(what));
        }
        Ok((self.papa, plan))
    }
}
