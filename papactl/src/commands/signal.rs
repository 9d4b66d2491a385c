//! `papactl signal`

use std::io::{self, Write};

use clap::Args;
use papa_client::{Papa, ProcessInfo};

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
/// for those that run. One that is stopped acts on nothing but KILL before it is sent CONT; of such ones
/// there is a line on standard error.
#[derive(Debug, Args)]
pub(crate) struct Signal {
    /// A name or a number: HUP, SIGHUP, 1, RTMIN+3
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
        self.tell_of_stopped(&papa, &signaled);
        trouble.map_or(Ok(Exit::DONE), Err)
    }

    /// Says of processes that were signaled, and are stopped, that they act on it later.
    fn tell_of_stopped(&self, papa: &Papa, signaled: &[Named]) {
        type Signal = papa_client::Signal;
        if [Signal::KILL, Signal::CONT, Signal::STOP].contains(&self.what) {
            return;
        }
        // It is a word to the wise: without it the signal was sent all the same.
        let Ok(processes) = papa.processes("*") else { return };
        let is_meant = |process: &ProcessInfo| {
            let name = Named::new(process.name.as_bytes()).name;
            signaled.iter().any(|it| it.name == name)
        };
        let stopped = processes.iter().filter(|it| it.is_running() && it.stopped && is_meant(it));
        for name in stopped.map(|it| Named::new(it.name.as_bytes()).name) {
            let what = self.what;
            let how = format!("\"papactl signal CONT {name}\" has it go on");
            let _ = writeln!(
                io::stderr(),
                "papactl: {name} is stopped, and acts on {what} when it goes on; {how}"
            );
        }
    }
}
