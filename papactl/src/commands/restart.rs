//! `papactl restart`

use clap::Args;
use papa_client::{ErrorKind, Papa, Process, ProcessBuilder, ProcessId};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::left_over;
use crate::names;
use crate::output;
use crate::shape::{self, Restarted};
use crate::stopping::Stopping;
use crate::text;
use crate::users::Users;

mod hold;
mod preflight;

use hold::Hold;

/// How often what papad's server was killed over is asked for again.
const MAX_TRIES: usize = 5;

/// Stop processes, and start them again as they were made
///
/// All are stopped at the same time, as by papactl stop, and each is started when all have ended, its
/// descendants included. One that has ended already is simply started. What the old one wrote, and how
/// it ended, stays for papactl logs --previous until it is taken, or the process is restarted once
/// more.
///
/// Before anything is stopped, papactl looks whether the program, the directory and the user are still
/// there. If a process cannot be started again all the same, the one that has ended stays on papad's
/// list, whoever takes its output and its end, and to restart it once more tries again.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    #[command(flatten)]
    stopping: Stopping,
}

/// A process that is to be made again.
struct Again {
    /// What it is made of.
    builder: ProcessBuilder<Papa>,
    /// The one before.
    old: ProcessId,
    unread: u64,
    name: String,
}

/// Bytes of output that nobody had taken when another process took the place of the one that wrote
/// them.
struct Unread {
    kept: u64,
    dropped: u64,
}

impl Restart {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        // Who is missing is named.
        names::processes(&papa, &self.names)?;
        // Before they are listed: what is listed then stays. One that cannot be started then stays by
        // papad's own rule.
        let hold = Hold::begin(&papa, &self.names)?;
        let processes = names::handles(&papa, &self.names)?;
        preflight::check(&papa, processes.iter().map(|it| it.name().as_bytes()))?;
        let builders: Vec<ProcessBuilder<Papa>> = processes
            .iter()
            .map(|process| papa.process_again(process.name()))
            .collect::<papa_client::Result<_>>()?;
        let ids: Vec<ProcessId> = processes.iter().map(Process::id).collect();
        let (stopped, mut trouble) = self.stopping.stop(&papa, processes);
        let mut again = Vec::new();
        for (id, builder) in ids.into_iter().zip(builders) {
            let it = stopped.iter().find(|it| it.process.id() == id);
            if let Some(it) = it.filter(|it| it.outcome.is_complete()) {
                again.push(Again::of(&it.process, builder)?);
            }
        }
        let mut restarted = Vec::new();
        for it in again {
            match it.make() {
                Ok(process) => restarted.push((process, it.unread(&papa)?)),
                Err(error) => {
                    trouble.get_or_insert(it.cannot_start(&error));
                }
            }
        }
        drop(hold);
        said(context, &restarted)?;
        let left_over = left_over::find(&papa, &self.names);
        let tidied = left_over.and_then(|found| left_over::remove(&papa, &found));
        trouble = trouble.or(tidied.err());
        trouble.map_or_else(|| self.stopping.still_running(&stopped).map(|()| Exit::DONE), Err)
    }
}

impl Again {
    /// One that has ended, to be made again.
    fn of(process: &Process, builder: ProcessBuilder<Papa>) -> Result<Self> {
        let unread = process.reload()?.map_or(0, |info| shape::unread(&info));
        Ok(Self { builder, old: process.id(), unread, name: process.name().to_string() })
    }

    /// What nobody had taken of the one before.
    fn unread(&self, papa: &Papa) -> Result<Unread> {
        let previous = papa.previous(&self.name)?.into_iter().find(|it| it.id == self.old);
        Ok(match previous {
            Some(info) => Unread { kept: shape::unread(&info), dropped: 0 },
            None => Unread { kept: 0, dropped: self.unread },
        })
    }

    /// Makes it, once, however often papad's server is killed meanwhile.
    fn make(&self) -> papa_client::Result<Process> {
        let replacing = self.builder.clone().replace_ended();
        let mut result = replacing.make();
        for _ in 1..MAX_TRIES {
            if !result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Disconnected) {
                break;
            }
            // What was made is found, and it may have ended since.
            result = self.builder.make();
            if result.as_ref().is_ok_and(|process| process.id() == self.old) {
                result = replacing.make();
            }
        }
        result
    }

    fn cannot_start(&self, error: &papa_client::Error) -> Failure {
        let name = &self.name;
        let what = format!("{name} has ended and cannot be started again: {error}");
        let hint = format!("put that right, and \"papactl restart {name}\" tries once more");
        Failure::new(Exit::of_error(error.kind()), what).hint(hint)
    }
}

fn said(context: &Context, restarted: &[(Process, Unread)]) -> Result<()> {
    if context.output.is_json() {
        let mut users = Users::default();
        let shape = restarted.iter().map(|(process, unread)| Restarted {
            process: shape::Process::new(process.info(), users.of(process.info())),
            unread_dropped: unread.dropped,
            unread_previous: unread.kept,
        });
        return output::json(&shape.collect::<Vec<_>>());
    }
    for (process, unread) in restarted {
        let (name, pid) = (process.name(), process.info().pid);
        let rest = match unread.kept {
            0 => text::gone(unread.dropped),
            _ => format!(
                "; \"papactl logs --previous {name}\" shows what the one before left unread"
            ),
        };
        output::line(format_args!("{name} runs as pid {pid}{rest}"))?;
    }
    Ok(())
}
