//! `papactl rm`

use clap::Args;
use papa_client::ProcessInfo;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output;
use crate::shape::{self, Removed};
use crate::text;

/// Remove processes that have ended, with what they wrote
///
/// A process that runs is refused, and nothing is removed then. A wildcard stands for those that
/// have ended.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Have papad forget those that run, too, while they run on: their output is kept no more, and
    /// their ends are not
    #[arg(long)]
    running: bool,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let mut processes = names::processes(&papa, &self.names)?;
        if !self.running {
            let is_named =
                |it: &ProcessInfo| self.names.iter().any(|name| it.name == name.as_str());
            if let Some(process) = processes.iter().find(|it| it.is_running() && is_named(it)) {
                return Err(runs(process));
            }
            processes.retain(|process| !process.is_running());
        }
        let mut removed = Vec::new();
        for process in processes {
            if papa.remove_process(&process.name)? {
                removed.push(process);
            }
        }
        if context.output.is_json() {
            output::json(&removed.iter().map(shape).collect::<Vec<_>>())?;
        } else {
            for process in &removed {
                output::line(said(process))?;
            }
        }
        Ok(Exit::DONE)
    }
}

fn runs(process: &ProcessInfo) -> Failure {
    let ProcessInfo { name, pid, .. } = process;
    let what = format!("{name} runs as pid {pid}");
    let hint =
        format!("\"papactl stop {name}\" ends it; with --running papad forgets it, and it runs on");
    Failure::new(Exit::CONFLICT, what).hint(hint)
}

fn said(process: &ProcessInfo) -> String {
    let ProcessInfo { name, pid, .. } = process;
    let gone = text::gone(shape::unread(process));
    if process.is_running() {
        format!("{name} is removed, and runs on as pid {pid}{gone}")
    } else {
        format!("{name} is removed{gone}")
    }
}

fn shape(process: &ProcessInfo) -> Removed {
    Removed {
        name: process.name.to_string(),
        id: process.id.to_string(),
        pid: process.pid,
        running: process.is_running(),
        unread_dropped: shape::unread(process),
    }
}
