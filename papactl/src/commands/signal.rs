//! `papactl signal`

use clap::Args;
use papa_client::{ErrorKind, Process};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output;
use crate::shape::Named;
use crate::stopping;

/// Send processes a signal
///
/// A process that has ended is an error, and the others are signaled all the same. A wildcard stands
/// for those that run.
#[derive(Debug, Args)]
pub(crate) struct Signal {
    /// A name or a number: HUP, SIGHUP, 1
    #[arg(value_name = "SIGNAL", add = complete::signals())]
    what: papa_client::Signal,

    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Signal their descendants, too, also those of one that has ended
    ///
    /// These are all in the session that a process leads, but not those that have made a session of
    /// their own (setsid(2)).
    #[arg(long, short = 'g')]
    group: bool,
}

impl Signal {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let is_named = |name: &[u8]| self.names.iter().any(|it| it.as_bytes() == name);
        let (mut signaled, mut trouble) = (Vec::new(), None);
        for process in names::handles(&papa, &self.names)? {
            match stopping::send(&process, self.what, self.group) {
                Ok(true) => signaled.push(Named::new(process.name().as_bytes())),
                Ok(false) if is_named(process.name().as_bytes()) => {
                    trouble.get_or_insert_with(|| has_ended(&process));
                }
                Ok(false) => {}
                Err(error) => {
                    trouble.get_or_insert(Failure::from(error));
                }
            }
        }
        if context.output.is_json() {
            output::json(&signaled)?;
        }
        trouble.map_or(Ok(Exit::DONE), Err)
    }
}

fn has_ended(process: &Process) -> Failure {
    let what = format!("the process {} has ended", process.name());
    Failure::new(Exit::of_error(ErrorKind::Ended), what)
}
