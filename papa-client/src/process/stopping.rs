//! Signaling whole sessions, and waiting until they are empty.

use std::time::Duration;

use crate::calls;
use crate::deadline::Deadline;
use crate::error::{Error, ErrorKind, Result};
use crate::name::Name;
use crate::papa::Papa;
use crate::process::member::{Found, Member, signal_all};
use crate::process::pidfd::Seen;
use crate::process::stop::{Sessions, stands_still};
use crate::process::{Process, ProcessInfo, Scope, Signal, StopOptions, Stopped};
use crate::sys;

impl Process {
    /// All in the session that it leads and that have not ended: itself, and its descendants that
    /// have not made a session of their own (`setsid(2)`). After it has ended, those that are left,
    /// also when another process has replaced it.
    ///
    /// One that was started after it had ended is found only if an older one is there still, or
    /// was seen by an earlier call.
    ///
    /// # Errors
    /// [`ErrorKind::NeedsUnix`] where papad runs in another pid namespace.
    pub fn members(&self) -> Result<Vec<Member>> {
        look(self.papa(), &[self.info()])
    }

    /// Sends a signal to all of [`Process::members`], and returns to how many.
    pub fn signal_session(&self, signal: Signal) -> Result<usize> {
        signal_all(&self.members()?, signal)
    }

    /// Asks it to end by this signal, and kills what has not ended after the time of grace.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] if it has not ended within the deadline after it was killed.
    pub fn stop_with(&self, signal: Signal, scope: Scope, grace: Duration) -> Result<Stopped> {
        let how = StopOptions::new().signal(signal).scope(scope).grace(grace);
        let stopped = self.papa().stop_all(std::slice::from_ref(self), how)?;
        stopped.into_iter().next().ok_or_else(Error::disconnected)?.and_then(|stopped| {
            if stopped.is_complete() { Ok(stopped) } else { Err(does_not_end(self.name())) }
        })
    }
}

impl Papa {
    /// Stops several processes at the same time, and returns what came of each, in their order: an
    /// error where one could not be signaled. What runs still is no error.
    pub fn stop_all(
        &self,
        processes: &[Process],
        how: StopOptions,
    ) -> Result<Vec<Result<Stopped>>> {
        if how.scope == Scope::Session {
            stop_sessions(self, processes, how)
        } else {
            Ok(stop_leaders(self, processes, how))
        }
    }
}

/// The members of the sessions that these processes lead.
fn look(papa: &Papa, processes: &[&ProcessInfo]) -> Result<Vec<Member>> {
    let found = Found::look(&papa.call(calls::members(processes))?, processes)?;
    // What was not found may have ended since papad was asked, or be hidden.
    let again =
        if found.is_in_doubt() { papa.call(calls::members(processes))? } else { Vec::new() };
    found.confirm(&again)
}

fn stop_sessions(
    papa: &Papa,
    processes: &[Process],
    how: StopOptions,
) -> Result<Vec<Result<Stopped>>> {
    let infos: Vec<&ProcessInfo> = processes.iter().map(Process::info).collect();
    let mut sessions = Sessions::new(how.signal, infos.iter().map(|info| (info.id, info.pid)));
    // What one of them was just making when papad looked is met the second time.
    for _ in 0..2 {
        sessions.meet(look(papa, &infos)?, true);
    }
    let grace = Deadline::after(how.grace);
    let mut are_left = true;
    while wait_for_all(&sessions, grace)? {
        are_left = sessions.meet(look(papa, &infos)?, true);
        if !are_left {
            break;
        }
    }
    if are_left && how.kills {
        let deadline = Deadline::after(papa.deadline());
        sessions.kill();
        while wait_for_all(&sessions, deadline)? && sessions.meet(look(papa, &infos)?, false) {
            sessions.kill();
        }
    } else if are_left {
        sessions.meet(look(papa, &infos)?, false);
    }
    let result = |process: &Process| {
        let is_running = sessions.is_leader_running(process.id());
        let end = if is_running { None } else { process.wait_timeout(papa.deadline())? };
        sessions.result(process.id(), end)
    };
    Ok(processes.iter().map(result).collect())
}

/// Waits until all that were met have ended; false if some have not by then.
fn wait_for_all(sessions: &Sessions, deadline: Deadline) -> Result<bool> {
    for pidfd in sessions.running() {
        let has_ended = sys::wait_readable(pidfd, deadline)
            .map_err(|error| Error::io("a process cannot be waited for", error))?;
        if !has_ended {
            return Ok(false);
        }
    }
    Ok(true)
}

fn stop_leaders(papa: &Papa, processes: &[Process], how: StopOptions) -> Vec<Result<Stopped>> {
    let to_group = how.scope == Scope::Group;
    let mut stopped: Vec<Result<Stopped>> = Vec::new();
    for process in processes {
        let is_asked = if_running(ask_to_end(process, how.signal, to_group));
        stopped.push(is_asked.map(|is_asked| Stopped::of_leader(None, !is_asked)));
    }
    wait_for_leaders(processes, &mut stopped, how.grace);
    if how.kills {
        for (process, stopped) in processes.iter().zip(&mut stopped) {
            if stopped.as_ref().is_ok_and(|it| it.end.is_none())
                && let Err(error) = if_running(send(process, Signal::KILL, to_group))
            {
                *stopped = Err(error);
            }
        }
        wait_for_leaders(processes, &mut stopped, papa.deadline());
    }
    stopped
}

/// Waits for all of them, together for so long.
fn wait_for_leaders(processes: &[Process], stopped: &mut [Result<Stopped>], time: Duration) {
    let deadline = Deadline::after(time);
    for (process, result) in processes.iter().zip(stopped) {
        if let Ok(stopped) = result
            && stopped.end.is_none()
        {
            match process.wait_timeout(deadline.left_of(time)) {
                Ok(end) => stopped.end = end,
                Err(error) => *result = Err(error),
            }
        }
    }
}

fn send(process: &Process, signal: Signal, to_group: bool) -> Result<()> {
    if to_group { process.signal_group(signal) } else { process.signal(signal) }
}

fn ask_to_end(process: &Process, signal: Signal, to_group: bool) -> Result<()> {
    let is_stopped = Seen::look(process.info().pid).is_some_and(|seen| seen.is_stopped);
    send(process, signal, to_group)?;
    if is_stopped && !stands_still(signal) { send(process, Signal::CONT, to_group) } else { Ok(()) }
}

/// False if it has ended.
fn if_running(sent: Result<()>) -> Result<bool> {
    match sent {
        Err(error) if error.kind() == ErrorKind::Ended => Ok(false),
        sent => sent.map(|()| true),
    }
}

/// The error of one that was killed.
pub(crate) fn does_not_end(name: &Name) -> Error {
    Error::new(ErrorKind::Timeout, format!("the process {name} does not end"))
}
