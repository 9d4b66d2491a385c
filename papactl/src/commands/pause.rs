//! `papactl pause` and `papactl resume`

use clap::Args;
use papa_client::{ErrorKind, Signal};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output;
use crate::shape::Named;

/// Have processes stand still, with their groups, until papactl resume
///
/// They are stopped by SIGSTOP, and keep their memory, sockets and files. papactl stop waits in vain
/// for one that is paused, unless it may kill it. A wildcard stands for those that run.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,
}

/// Have processes go on that papactl pause has stopped
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,
}

impl Pause {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        send(context, &self.names, Signal::STOP)
    }
}

impl Resume {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        send(context, &self.names, Signal::CONT)
    }
}

/// Signals the groups of all these processes; of a wildcard, those that run.
fn send(context: &Context, names: &[String], signal: Signal) -> Result<Exit> {
    let papa = context.connect()?;
    let (mut signaled, mut trouble) = (Vec::new(), None);
    for process in names::handles(&papa, names)? {
        let is_named = names.iter().any(|name| name.as_bytes() == process.name().as_bytes());
        match process.signal_group(signal) {
            Ok(()) => signaled.push(Named::new(process.name().as_bytes())),
            Err(error) if error.kind() == ErrorKind::Ended && !is_named => {}
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
