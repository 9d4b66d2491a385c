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

/// Ask processes to end, and wait for that
///
/// All are asked at the same time. What has ended already is fine. What still runs when the time is
/// over runs on, unless --kill is given, and is told by exit status 6. Ends and output are kept, for
/// papactl logs and papactl wait.
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
        let ended = stopped.iter().filter_map(|it| Some((it, it.end?)));
        if context.output.is_json() {
            let shape = ended.map(|(it, end)| shape::Stopped {
                ended: shape::Ended::new(it.process.info(), end),
                already: it.already,
            });
            output::json(&shape.collect::<Vec<_>>())?;
        } else {
            for (it, end) in ended {
                let already = if it.already { " already" } else { "" };
                output::line(format_args!("{} has ended{already} ({end})", it.process.name()))?;
            }
        }
        trouble.map_or_else(|| self.stopping.still_running(&stopped).map(|()| Exit::DONE), Err)
    }
}
