//! `papactl pause` and `papactl resume`

use clap::Args;
use papa_client::{ErrorKind, Process, Signal};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output;
use crate::shape::Named;
use crate::stopping;

/// Have processes and their descendants stand still until papactl resume
///
/// They are stopped by SIGSTOP, and keep their memory, sockets and files. papactl stop waits in vain
/// for one that is paused, unless it may kill it. A wildcard stands for those that run.
/// Descendants are those in the session that a process leads: one that has made a session of its own
/// (setsid(2)), as daemons do, is none.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,
}

/// Have processes and their descendants go on that papactl pause has stopped
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

/// Signals the sessions of all these processes; of a wildcard, those that run.
fn send(context: &Context, names: &[String], signal: Signal) -> Result<Exit> {
    let papa = context.connect()?;
    let (mut signaled, mut trouble) = (Vec::new(), None);
    for process in names::handles(&papa, names)? {
        let is_named = names.iter().any(|name| name.as_bytes() == process.name().as_bytes());
        match send_to_all(&process, signal) {
            Ok(true) => signaled.push(Named::new(process.name().as_bytes())),
            Ok(false) if is_named => {
                trouble.get_or_insert_with(|| stopping::has_ended(&process));
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

/// Signals a process and its descendants. False if nobody was there.
fn send_to_all(process: &Process, signal: Signal) -> papa_client::Result<bool> {
    match stopping::send(process, signal, true) {
        // Where papad has pids of its own, descendants cannot be told from others.
        Err(error) if error.kind() == ErrorKind::NeedsUnix => {}
        sent => return sent,
    }
    match process.signal_group(signal) {
        Err(error) if error.kind() == ErrorKind::Ended => Ok(false),
        sent => sent.map(|()| true),
    }
}
