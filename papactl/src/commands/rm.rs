//! `papactl rm`

use std::time::Duration;

use clap::Args;
use papa_client::{ErrorKind, Papa, ProcessInfo, Scope, Signal};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::left_over;
use crate::names;
use crate::output;
use crate::shape::{self, Removed};
use crate::text;

/// Remove processes that have ended, with what they wrote
///
/// A process that runs is refused, and nothing is removed then, unless --force is given. A wildcard
/// stands for those that have ended, and with --force for all.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::processes())]
    names: Vec<String>,

    /// Kill those that run first, and what runs of their descendants
    #[arg(long, short = 'f', conflicts_with = "running")]
    force: bool,

    /// Have papad forget those that run, too, while they run on: their output is kept no more, and
    /// their ends are not
    #[arg(long)]
    running: bool,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let left_over = left_over::find(&papa, &self.names)?;
        let mut processes = self.find(&papa, &left_over)?;
        if self.force {
            for process in &mut processes {
                *process = killed(&papa, process)?;
            }
        } else if !self.running {
            let is_named =
                |it: &ProcessInfo| self.names.iter().any(|name| it.name == name.as_str());
            if let Some(process) = processes.iter().find(|it| it.is_running() && is_named(it)) {
                return Err(runs(process));
            }
            processes.retain(|process| !process.is_running());
        }
        left_over::remove(&papa, &left_over)?;
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

    /// The processes that are meant. One of which there is nothing but what a value has of it is not
    /// missed.
    fn find(&self, papa: &Papa, left_over: &[Vec<u8>]) -> Result<Vec<ProcessInfo>> {
        let mut listed = Vec::new();
        for name in &self.names {
            let has_value = left_over.iter().any(|of| of == name.as_bytes());
            if !has_value || papa.process_named(name)?.is_some() {
                listed.push(name.clone());
            }
        }
        // No names would stand for all.
        if listed.is_empty() { Ok(Vec::new()) } else { names::processes(papa, &listed) }
    }
}

/// Kills a process with its descendants, also those that it has left behind, and returns what papad
/// has of it when all have ended.
fn killed(papa: &Papa, info: &ProcessInfo) -> Result<ProcessInfo> {
    let process = papa.process_listed(info.clone());
    let kill = |scope| process.stop_with(Signal::KILL, scope, Duration::ZERO);
    let stopped = match kill(Scope::Session) {
        // Where papad has pids of its own, descendants cannot be told from others.
        Err(error) if error.kind() == ErrorKind::NeedsUnix => kill(Scope::Group),
        stopped => stopped,
    };
    match stopped {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            let what = format!("{} was killed and does not end", info.name);
            let hint = "what waits in the kernel, for a disk say, ends when that is over";
            Err(Failure::new(Exit::TOO_LATE, what).hint(hint))
        }
        stopped => {
            stopped?;
            Ok(process.reload()?.unwrap_or_else(|| info.clone()))
        }
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
