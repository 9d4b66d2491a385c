//! Signaling whole sessions, and waiting until they are empty.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::time::timeout;

use super::drive::Waiter;
use super::{Papa, Process};
use crate::calls;
use crate::deadline::Deadline;
use crate::error::{ErrorKind, Result};
use crate::papa::own;
use crate::process::member::{Found, Member, signal_all};
use crate::process::pidfd::Seen;
use crate::process::stop::{Sessions, stands_still};
use crate::process::{ProcessInfo, Scope, Signal, StopOptions, Stopped, does_not_end};

impl Process {
    /// All in the session that it leads and that have not ended. See
    /// [`papa_client::Process::members`](crate::Process::members).
    pub async fn members(&self) -> Result<Vec<Member>> {
        look(self.papa(), &[self.info()]).await
    }

    /// Sends a signal to all of [`Process::members`], and returns to how many.
    pub async fn signal_session(&self, signal: Signal) -> Result<usize> {
        signal_all(&self.members().await?, signal)
    }

    /// Asks it to end by this signal, and kills what has not ended after the time of grace.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it has not ended within the deadline after it was killed.
    pub async fn stop_with(
        &self,
        signal: Signal,
        scope: Scope,
        grace: Duration,
    ) -> Result<Stopped> {
        let how = StopOptions::new().signal(signal).scope(scope).grace(grace);
        let stopped = if scope == Scope::Session {
            stop_session(self, how).await?
        } else {
            stop_leader(self, how).await?
        };
        if stopped.is_complete() { Ok(stopped) } else { Err(does_not_end(self.name())) }
    }
}

/// The members of the sessions that these processes lead.
async fn look(papa: &Papa, processes: &[&ProcessInfo]) -> Result<Vec<Member>> {
    let found = Found::look(&papa.call(calls::members(processes)).await?, processes)?;
    // What was not found may have ended since papad was asked, or be hidden.
    let again =
        if found.is_in_doubt() { papa.call(calls::members(processes)).await? } else { Vec::new() };
    found.confirm(&again)
}

async fn stop_session(process: &Process, how: StopOptions) -> Result<Stopped> {
    let (papa, info) = (process.papa(), process.info());
    let mut sessions = Sessions::new(how.signal, [(info.id, info.pid)]);
    // What one of them was just making when papad looked is met the second time.
    for _ in 0..2 {
        sessions.meet(look(papa, &[info]).await?, true);
    }
    let grace = Deadline::after(how.grace);
    let mut are_left = true;
    while wait_for_all(&sessions, grace).await? {
        are_left = sessions.meet(look(papa, &[info]).await?, true);
        if !are_left {
            break;
        }
    }
    if are_left {
        let deadline = Deadline::after(papa.deadline());
        sessions.kill();
        while wait_for_all(&sessions, deadline).await?
            && sessions.meet(look(papa, &[info]).await?, false)
        {
            sessions.kill();
        }
    }
    let is_running = sessions.is_leader_running(info.id);
    let end = if is_running { None } else { within(papa.deadline(), process.wait()).await? };
    sessions.result(info.id, end)
}

/// Waits until all that were met have ended; false if some have not by then.
async fn wait_for_all(sessions: &Sessions, deadline: Deadline) -> Result<bool> {
    let running: Vec<OwnedFd> = sessions.running().map(own).collect::<Result<_>>()?;
    let all = async {
        for pidfd in running {
            Waiter::new(pidfd)?.readable().await?;
        }
        Ok(())
    };
    match deadline.left() {
        None => all.await.map(|()| true),
        Some(left) => within(left, all).await.map(|ended| ended.is_some()),
    }
}

async fn stop_leader(process: &Process, how: StopOptions) -> Result<Stopped> {
    let to_group = how.scope == Scope::Group;
    let is_stopped = Seen::look(process.info().pid).is_some_and(|seen| seen.is_stopped);
    let is_asked = is_sent(send(process, how.signal, to_group).await)?;
    if is_asked && is_stopped && !stands_still(how.signal) {
        is_sent(send(process, Signal::CONT, to_group).await)?;
    }
    let mut end = within(how.grace, process.wait()).await?;
    if end.is_none() {
        is_sent(send(process, Signal::KILL, to_group).await)?;
        end = within(process.papa().deadline(), process.wait()).await?;
    }
    Ok(Stopped::of_leader(end, !is_asked))
}

async fn send(process: &Process, signal: Signal, to_group: bool) -> Result<()> {
    if to_group { process.signal_group(signal).await } else { process.signal(signal).await }
}

/// False if it has ended.
fn is_sent(sent: Result<()>) -> Result<bool> {
    match sent {
        Err(error) if error.kind() == ErrorKind::Ended => Ok(false),
        sent => sent.map(|()| true),
    }
}

/// What comes of this in so long a time; `None` if nothing does.
async fn within<T>(time: Duration, what: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    timeout(time, what).await.ok().transpose()
}
