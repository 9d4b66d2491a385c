//! How processes are stopped, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::process::member::{Listed, Member};
use crate::process::{End, ProcessId, Signal};

/// What of a process is signaled and waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The process alone.
    Leader,
    /// The process group that it leads is signaled, and the process alone is waited for.
    Group,
    /// All of the session that it leads: its descendants, too, but for those that have made a
    /// session of their own. Also what is left of it when the process has ended.
    #[default]
    Session,
}

/// How processes are stopped: see [`Papa::stop_all`](crate::Papa::stop_all).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing by itself"]
pub struct StopOptions {
    pub(crate) signal: Signal,
    pub(crate) scope: Scope,
    pub(crate) grace: Duration,
    pub(crate) kills: bool,
}

/// [`Signal::TERM`] to all of the session, 10 seconds, then [`Signal::KILL`].
impl Default for StopOptions {
    fn default() -> Self {
        let grace = Duration::from_secs(10);
        Self { signal: Signal::TERM, scope: Scope::Session, grace, kills: true }
    }
}

impl StopOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The signal that asks to end. What a signal has stopped is sent [`Signal::CONT`], too, so that
    /// it can.
    pub fn signal(self, signal: Signal) -> Self {
        Self { signal, ..self }
    }

    /// What is signaled and waited for.
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// How long it has to end.
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Whether what has not ended by then is killed. It is, unless told otherwise.
    pub fn kill(self, kills: bool) -> Self {
        Self { kills, ..self }
    }
}

/// What came of stopping a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// How it ended; `None` if it runs.
    pub end: Option<End>,
    /// Whether it had ended before.
    pub already: bool,
    /// How many of its descendants were there and have ended, those that were killed included.
    pub descendants: usize,
    /// How many of those were killed.
    pub killed: usize,
    /// How many of its descendants run still.
    pub left: usize,
}

impl Stopped {
    pub(crate) fn of_leader(end: Option<End>, already: bool) -> Self {
        Self { end, already, descendants: 0, killed: 0, left: 0 }
    }

    /// Whether all that was to end has ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end.is_some() && self.left == 0
    }
}

/// The sessions of several processes on their way to their ends. This signals; who uses it waits,
/// and looks who is there.
#[derive(Debug)]
pub(crate) struct Sessions {
    signal: Signal,
    held: Vec<Held>,
    /// Their leaders' pids.
    leaders: BTreeMap<ProcessId, i32>,
    /// Those whose leaders were there when they were looked at first.
    had_leaders: Option<BTreeSet<ProcessId>>,
    errors: BTreeMap<ProcessId, Error>,
}

#[derive(Debug)]
struct Held {
    member: Member,
    was_killed: bool,
}

impl Sessions {
    /// Of these processes, each with its pid.
    pub(crate) fn new(signal: Signal, leaders: impl IntoIterator<Item = (ProcessId, i32)>) -> Self {
        Self {
            signal,
            held: Vec::new(),
            leaders: leaders.into_iter().collect(),
            had_leaders: None,
            errors: BTreeMap::new(),
        }
    }

    /// Takes who is there; asks those to end that were not met before, if that is wanted. Returns
    /// whether there are any such.
    pub(crate) fn meet(&mut self, members: Vec<Member>, asks: bool) -> bool {
        if self.had_leaders.is_none() {
            let leaders = members.iter().map(|member| member.listed);
            let leaders = leaders.filter(|it| self.leaders.get(&it.id) == Some(&it.pid));
            self.had_leaders = Some(leaders.map(|it| it.id).collect());
        }
        let known: Vec<Listed> = self.held.iter().map(|held| held.member.listed).collect();
        let mut are_new = false;
        for member in members.into_iter().filter(|member| !known.contains(&member.listed)) {
            are_new = true;
            if asks {
                let asked = ask_to_end(&member, self.signal);
                self.note(member.listed.id, asked);
            }
            self.held.push(Held { member, was_killed: false });
        }
        are_new
    }

    /// Kills all that is left.
    pub(crate) fn kill(&mut self) {
        let mut killed = Vec::new();
        for held in self.held.iter_mut().filter(|held| !held.member.has_ended()) {
            let sent = held.member.signal(Signal::KILL);
            held.was_killed |= sent.is_ok();
            killed.push((held.member.listed.id, sent));
        }
        for (id, sent) in killed {
            self.note(id, sent);
        }
    }

    fn note(&mut self, id: ProcessId, sent: Result<()>) {
        match sent {
            Err(error) if error.kind() != ErrorKind::Ended => {
                self.errors.entry(id).or_insert(error);
            }
            _ => {}
        }
    }

    /// Descriptors of those that have not ended, which become readable when they have.
    pub(crate) fn running(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.held.iter().map(|held| &held.member).filter(|it| !it.has_ended()).map(AsFd::as_fd)
    }

    pub(crate) fn is_leader_running(&self, id: ProcessId) -> bool {
        self.of(id).any(|held| self.is_leader(&held.member) && !held.member.has_ended())
    }

    fn is_leader(&self, member: &Member) -> bool {
        self.leaders.get(&member.listed.id) == Some(&member.pid())
    }

    fn of(&self, id: ProcessId) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(move |held| held.member.listed.id == id)
    }

    /// What came of one, now that it is known how its leader has ended.
    ///
    /// # Errors
    /// One of its members could not be signaled.
    pub(crate) fn result(&mut self, id: ProcessId, end: Option<End>) -> Result<Stopped> {
        if let Some(error) = self.errors.remove(&id) {
            return Err(error);
        }
        let descendants = || self.of(id).filter(|held| !self.is_leader(&held.member));
        let left = descendants().filter(|held| !held.member.has_ended()).count();
        Ok(Stopped {
            end,
            already: self.had_leaders.as_ref().is_some_and(|had| !had.contains(&id)),
            descendants: descendants().count() - left,
            killed: descendants().filter(|it| it.was_killed && it.member.has_ended()).count(),
            left,
        })
    }
}

/// Asks one to end, and has it go on if it stands still.
fn ask_to_end(member: &Member, signal: Signal) -> Result<()> {
    member.signal(signal)?;
    if member.is_stopped && !stands_still(signal) {
        member.signal(Signal::CONT)?;
    }
    Ok(())
}

/// Whether a process is not meant to go on after this signal.
pub(crate) fn stands_still(signal: Signal) -> bool {
    [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU].contains(&signal)
}
