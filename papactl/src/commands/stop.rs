//! `papactl stop`

use clap::Args;
use papa_client::Papa;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output;
use crate::shape;
use crate::stopping::{Stopped, Stopping};
use crate::text;

/// Ask processes and their descendants to end, and wait for that
///
/// All are asked at the same time, and what still runs when the time is over is killed. With
/// --no-kill it runs on, which exit status 6 says. Descendants are those in the session that a
/// process leads: one that has made a session of its own (setsid(2)), as daemons do, is none. They
/// are stopped as well if the process itself has ended already. Ends and output are kept, for papactl
/// logs and papactl wait.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    #[command(flatten)]
    stopping: Stopping,

    /// Remove them, with what they wrote, when they and their descendants have ended
    #[arg(long)]
    rm: bool,
}

impl Stop {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let (stopped, mut trouble) = self.stopping.stop(&papa, names::handles(&papa, &self.names)?);
        let ended = stopped.iter().filter_map(|it| Some((it, it.outcome.end?)));
        let mut ended_and_dropped = Vec::new();
        for (it, end) in ended {
            let dropped = if self.rm { removed(&papa, it) } else { Ok(None) };
            let dropped = dropped.unwrap_or_else(|failure| {
                trouble.get_or_insert(failure);
                None
            });
            ended_and_dropped.push((it, end, dropped));
        }
        if context.output.is_json() {
            let shape = ended_and_dropped.iter().map(|(it, end, dropped)| shape::Stopped {
                ended: shape::Ended::new(it.process.info(), *end),
                already: it.outcome.already,
                descendants: it.outcome.descendants,
                descendants_killed: it.outcome.killed,
                descendants_left: it.outcome.left,
                removed: dropped.is_some(),
                unread_dropped: dropped.unwrap_or(0),
            });
            output::json(&shape.collect::<Vec<_>>())?;
        } else {
            for (it, end, dropped) in ended_and_dropped {
                let already = if it.outcome.already { " already" } else { "" };
                let (name, descendants) = (it.process.name(), it.descendants());
                let removed = if dropped.is_some() { " and is removed" } else { "" };
                let gone = dropped.map(text::gone).unwrap_or_default();
                output::line(format_args!(
                    "{name} has ended{already} ({end}){removed}{descendants}{gone}"
                ))?;
            }
        }
        trouble.map_or_else(|| self.stopping.still_running(&stopped).map(|()| Exit::DONE), Err)
    }
}

/// Removes a process that has ended with all its descendants. Returns how many bytes of its output
/// went with it; `None` if it stays, or if it is gone or was replaced meanwhile.
fn removed(papa: &Papa, stopped: &Stopped) -> Result<Option<u64>> {
    if !stopped.outcome.is_complete() {
        return Ok(None);
    }
    let Some(info) = stopped.process.reload()? else { return Ok(None) };
    let is_removed = papa.remove_process(&info.name)?;
    Ok(is_removed.then(|| shape::unread(&info)))
}
