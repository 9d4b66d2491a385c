//! Having processes end, several at the same time.

use std::time::{Duration, Instant};

use clap::Args;
use papa_client::{End, ErrorKind, Papa, Process, Signal};

use crate::complete;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::time;

/// How processes are stopped.
#[derive(Debug, Args)]
pub(crate) struct Stopping {
    /// The signal that asks them to end: a name or a number
    #[arg(long, short = 's', value_name = "SIGNAL", default_value = "TERM", add = complete::signals())]
    signal: Signal,

    /// How long they have to end: 10s, 1m30s, 500ms, or a number of seconds
    #[arg(
        long,
        short = 't',
        value_name = "TIME",
        default_value = "10s",
        value_parser = time::duration
    )]
    grace: Duration,

    /// Kill those that have not ended by then
    #[arg(long, short = 'k')]
    kill: bool,

    /// Signal their process groups: their children and theirs, too
    #[arg(long, short = 'g')]
    group: bool,
}

/// A process that was to be stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) process: Process,
    /// How it has ended; `None` if it runs.
    pub(crate) end: Option<End>,
    /// Whether it had ended before.
    pub(crate) already: bool,
}

impl Stopping {
    /// Asks all of them to end and waits for that; kills those that do not, if that is wanted.
    /// Returns the first failure, too: one cannot be signaled, or waited for. The others were.
    pub(crate) fn stop(
        &self,
        papa: &Papa,
        processes: Vec<Process>,
    ) -> (Vec<Stopped>, Option<Failure>) {
        let mut trouble = None;
        let mut stopped = Vec::new();
        for process in processes {
            let is_asked = note(&mut trouble, self.send(&process, self.signal));
            stopped.push(Stopped { process, end: None, already: is_asked == Some(false) });
        }
        wait_for(&mut stopped, self.grace, &mut trouble);
        if self.kill {
            for it in stopped.iter().filter(|it| it.end.is_none()) {
                note(&mut trouble, self.send(&it.process, Signal::KILL));
            }
            wait_for(&mut stopped, papa.deadline(), &mut trouble);
        }
        (stopped, trouble)
    }

    /// False if it has ended.
    fn send(&self, process: &Process, signal: Signal) -> Result<bool> {
        match send(process, signal, self.group) {
            Err(error) if error.kind() == ErrorKind::Ended => Ok(false),
            sent => Ok(sent.map(|()| true)?),
        }
    }

    /// What to say if some of them run still.
    pub(crate) fn still_running(&self, stopped: &[Stopped]) -> Result<()> {
        let running = stopped.iter().filter(|it| it.end.is_none());
        let names: Vec<String> = running.map(|it| it.process.name().to_string()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let row = names::in_a_row(&names);
        if self.kill {
            let what = format!("{row} was killed and does not end");
            let hint = "what waits in the kernel, for a disk say, ends when that is over";
            return Err(Failure::new(Exit::TOO_LATE, what).hint(hint));
        }
        let verb = if names.len() == 1 { "runs" } else { "run" };
        let what = format!("{row} still {verb} after {:?}", self.grace);
        let hint = format!("\"papactl stop --kill {}\" ends what does not", names.join(" "));
        Err(Failure::new(Exit::TOO_LATE, what).hint(hint))
    }
}

/// Sends a signal to a process, or to the group that it leads.
pub(crate) fn send(
    process: &Process,
    signal: Signal,
    to_group: bool,
) -> Result<(), papa_client::Error> {
    if to_group { process.signal_group(signal) } else { process.signal(signal) }
}

/// Waits for all of them, together for so long.
fn wait_for(stopped: &mut [Stopped], time: Duration, trouble: &mut Option<Failure>) {
    let begun = Instant::now();
    for it in stopped.iter_mut().filter(|it| it.end.is_none()) {
        let left = time.saturating_sub(begun.elapsed());
        it.end = note(trouble, it.process.wait_timeout(left).map_err(Failure::from)).flatten();
    }
}

/// Keeps the first failure.
fn note<T>(trouble: &mut Option<Failure>, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(failure) => {
            trouble.get_or_insert(failure);
            None
        }
    }
}
