//! Having processes end, several at the same time.

use std::time::Duration;

use clap::Args;
use papa_client::{ErrorKind, Papa, Process, Scope, Signal, StopOptions, Stopped as Outcome};

use crate::complete;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::time;

/// How processes are stopped.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Stopping {
    /// The signal that asks them to end: a name or a number
    ///
    /// What a signal has stopped is sent CONT, too, so that it can end.
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

    /// Kill what has not ended by then: the default
    #[arg(long, short = 'k', overrides_with = "no_kill")]
    kill: bool,

    /// Let what has not ended by then run on
    #[arg(long, overrides_with = "kill")]
    no_kill: bool,

    /// Stop the processes alone, and leave their descendants as they are
    #[arg(long)]
    only_leader: bool,

    /// As without it: descendants are stopped, too
    #[arg(long, short = 'g', hide = true, conflicts_with = "only_leader")]
    group: bool,
}

/// A process that was to be stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) process: Process,
    pub(crate) outcome: Outcome,
}

impl Stopping {
    /// Asks all of them to end and waits for that; kills those that do not, if that is wanted.
    /// Returns the first failure, too: one cannot be signaled, or waited for. The others were.
    pub(crate) fn stop(
        &self,
        papa: &Papa,
        processes: Vec<Process>,
    ) -> (Vec<Stopped>, Option<Failure>) {
        let scope = if self.only_leader { Scope::Leader } else { Scope::Session };
        let how = StopOptions::new().signal(self.signal).scope(scope).grace(self.grace);
        let outcomes = match papa.stop_all(&processes, how.kill(!self.no_kill)) {
            Ok(outcomes) => outcomes,
            Err(error) => return (Vec::new(), Some(cannot_stop(error))),
        };
        let (mut stopped, mut trouble) = (Vec::new(), None);
        for (process, outcome) in processes.into_iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => stopped.push(Stopped { process, outcome }),
                Err(error) => {
                    trouble.get_or_insert(Failure::from(error));
                }
            }
        }
        (stopped, trouble)
    }

    /// What to say if some of them run still, or their descendants do.
    pub(crate) fn still_running(&self, stopped: &[Stopped]) -> Result<()> {
        let left = stopped.iter().filter(|it| !it.outcome.is_complete());
        let names: Vec<String> = left.clone().map(|it| it.process.name().to_string()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let have_ended = left.clone().all(|it| it.outcome.end.is_some());
        let row = names::in_a_row(&names);
        let is_one = names.len() == 1;
        if !self.no_kill {
            let verb = if is_one { "does" } else { "do" };
            let what = if have_ended {
                format!("{row} has ended, and descendants that were killed do not end")
            } else {
                format!("{row} was killed and {verb} not end")
            };
            let hint = "what waits in the kernel, for a disk say, ends when that is over";
            return Err(Failure::new(Exit::TOO_LATE, what).hint(hint));
        }
        let descendants: usize = left.map(|it| it.outcome.left).sum();
        let what = match (have_ended, is_one) {
            (true, _) => {
                let (has, runs) = (if is_one { "has" } else { "have" }, counted(descendants));
                format!("{row} {has} ended, and {runs} still after {:?}", self.grace)
            }
            (false, true) => format!("{row} still runs after {:?}", self.grace),
            (false, false) => format!("{row} still run after {:?}", self.grace),
        };
        let hint = format!("\"papactl stop --kill {}\" ends what does not", names.join(" "));
        Err(Failure::new(Exit::TOO_LATE, what).hint(hint))
    }
}

impl Stopped {
    /// What became of its descendants, as the rest of a sentence.
    pub(crate) fn descendants(&self) -> String {
        let Outcome { descendants, killed, .. } = self.outcome;
        match (descendants, killed) {
            (0, _) => String::new(),
            (1, 0) => "; 1 descendant has ended, too".to_owned(),
            (1, _) => "; 1 descendant was killed".to_owned(),
            (count, 0) => format!("; {count} descendants have ended, too"),
            (count, killed) if count == killed => format!("; {count} descendants were killed"),
            (count, killed) => {
                format!("; {count} descendants have ended, too, {killed} of them killed")
            }
        }
    }
}

fn counted(descendants: usize) -> String {
    match descendants {
        1 => "1 descendant runs".to_owned(),
        count => format!("{count} descendants run"),
    }
}

fn cannot_stop(error: papa_client::Error) -> Failure {
    match error.kind() {
        ErrorKind::NeedsUnix => {
            let what = error.to_string();
            Failure::new(Exit::of_error(error.kind()), what).hint("--only-leader does that")
        }
        _ => error.into(),
    }
}

/// Sends a signal to a process, or to all in the session that it leads. False if nobody was there.
pub(crate) fn send(
    process: &Process,
    signal: Signal,
    to_session: bool,
) -> Result<bool, papa_client::Error> {
    if to_session {
        return process.signal_session(signal).map(|count| count > 0);
    }
    match process.signal(signal) {
        Err(error) if error.kind() == ErrorKind::Ended => Ok(false),
        sent => sent.map(|()| true),
    }
}

/// What to say where a process that was to be signaled is not there, and no descendant of it.
pub(crate) fn has_ended(process: &Process) -> Failure {
    let what = format!("the process {} has ended", process.name());
    Failure::new(Exit::of_error(ErrorKind::Ended), what)
}
