//! `papactl stop`

use clap::Args;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output;
use crate::shape;
use crate::stopping::Stopping;

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
}

impl Stop {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let (stopped, trouble) = self.stopping.stop(&papa, names::handles(&papa, &self.names)?);
        let ended = stopped.iter().filter_map(|it| Some((it, it.outcome.end?)));
        if context.output.is_json() {
            let shape = ended.map(|(it, end)| shape::Stopped {
                ended: shape::Ended::new(it.process.info(), end),
                already: it.outcome.already,
                descendants: it.outcome.descendants,
                descendants_killed: it.outcome.killed,
                descendants_left: it.outcome.left,
            });
            output::json(&shape.collect::<Vec<_>>())?;
        } else {
            for (it, end) in ended {
                let already = if it.outcome.already { " already" } else { "" };
                let (name, descendants) = (it.process.name(), it.descendants());
                output::line(format_args!("{name} has ended{already} ({end}){descendants}"))?;
            }
        }
        trouble.map_or_else(|| self.stopping.still_running(&stopped).map(|()| Exit::DONE), Err)
    }
}
