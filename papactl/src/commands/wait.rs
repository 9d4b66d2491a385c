//! `papactl wait`

use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use papa_client::{End, Papa, Process};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output;
use crate::readiness;
use crate::shape::Ended;
use crate::time;

/// Wait until processes have ended, and end as they did
///
/// The exit status is the process's; of several, 0 if all ended with 0, or else that of the first in
/// the order given that did not. A process that was ended by signal N counts as 128 and N. Trouble of
/// papactl's own is 125, a time that is over among it. Nothing is taken: the end is told to whoever
/// asks next, too.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Wait no longer than this: 10s, 1m30s, 500ms, or a number of seconds
    #[arg(long, short = 't', value_name = "TIME", value_parser = time::duration)]
    timeout: Option<Duration>,

    /// Wait until each has written this text, and not for its end
    ///
    /// What papad has kept of its output counts, too. The exit status is 0 then, 6 if --timeout is
    /// over, and 1 if one ends first.
    #[arg(long, short = 'r', value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    ready: Option<String>,
}

impl Wait {
    /// Whether it ends as the processes do.
    pub(crate) fn is_for_end(&self) -> bool {
        self.ready.is_none()
    }

    fn wait_until_ready(&self, papa: &Papa, text: &str, context: &Context) -> Result<Exit> {
        let begun = Instant::now();
        for process in names::handles(papa, &self.names)? {
            let patience = self.timeout.unwrap_or(Duration::MAX);
            readiness::wait_for(papa, &process, text, begun, patience)?;
        }
        if context.output.is_json() {
            // None of them has ended.
            output::json(&Vec::<Ended>::new())?;
        }
        Ok(Exit::DONE)
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        if let Some(text) = &self.ready {
            return self.wait_until_ready(&papa, text, context);
        }
        let begun = Instant::now();
        let mut ends = Vec::new();
        for process in names::handles(&papa, &self.names)? {
            let end = match self.timeout {
                None => process.wait()?,
                Some(timeout) => {
                    let left = timeout.saturating_sub(begun.elapsed());
                    process.wait_timeout(left)?.ok_or_else(|| too_late(&process, timeout))?
                }
            };
            ends.push((process, end));
        }
        if context.output.is_json() {
            let ends = ends.iter().map(|(process, end)| Ended::new(process.info(), *end));
            output::json(&ends.collect::<Vec<_>>())?;
        }
        match ends.iter().find(|(_, end)| !end.success()) {
            None => Ok(Exit::DONE),
            Some((process, end)) => status(process, *end),
        }
    }
}

/// The exit status of a process that has ended.
pub(super) fn status(process: &Process, end: End) -> Result<Exit> {
    Exit::of_process(end).ok_or_else(|| {
        let what = format!("nobody knows how {} has ended", process.name());
        Failure::new(Exit::OWN_TROUBLE, what)
    })
}

fn too_late(process: &Process, timeout: Duration) -> Failure {
    let name = process.name();
    let what = format!("{name} still runs after {timeout:?}");
    let hint = format!("\"papactl stop {name}\" ends it");
    Failure::new(Exit::TOO_LATE, what).hint(hint)
}
