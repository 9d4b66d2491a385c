//! `papactl ps`

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use clap::Args;
use comfy_table::Color;
use nix::unistd::{Uid, User};
use papa_client::{End, ProcessInfo, State};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output::{self, Column, Row, Table, cell, number};
use crate::shape::{self, Process};
use crate::text;
use crate::time;

/// Show the processes that papad hosts
///
/// UNREAD is output that is kept and that nobody has taken. LOST is output that was pushed out of
/// the buffer before anybody took it. In a narrow terminal columns are left out, and the command is
/// cut.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Only these: names, or beginnings of names with a *
    #[arg(value_name = "NAME", add = complete::processes())]
    names: Vec<String>,
}

const COLUMNS: [Column; 9] = [
    Column::fixed("NAME"),
    Column::fixed("STATE"),
    Column::ranked("PID", 7),
    Column::ranked("AGE", 6),
    Column::ranked("USER", 3),
    Column::ranked("UNREAD", 5),
    Column::ranked("LOST", 4),
    Column::ranked("WATCHERS", 2),
    Column::cut("COMMAND"),
];

impl Ps {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let processes = names::processes(&papa, &self.names)?;
        let mut users = Users::default();
        if context.output.is_json() {
            let processes: Vec<Process> =
                processes.iter().map(|it| Process::new(it, users.of(it))).collect();
            output::json(&processes)?;
        } else {
            context.output.table(&table(&processes, &mut users))?;
        }
        Ok(Exit::DONE)
    }
}

fn table(processes: &[ProcessInfo], users: &mut Users) -> Table {
    let mut table = Table::new(&COLUMNS);
    for process in processes {
        table.row(row(process, users.of(process)));
    }
    table
}

fn row(process: &ProcessInfo, user: Option<String>) -> Row {
    let unread = shape::unread(process);
    let lost = number(text::size(process.lost));
    vec![
        cell(&process.name),
        state(process),
        number(process.pid),
        number(time::short(time::since(process.started))),
        cell(user.unwrap_or_default()),
        number(text::size(unread)),
        if process.lost > 0 { lost.fg(Color::Red) } else { lost },
        number(process.watchers),
        cell(text::command_line(&process.command)),
    ]
}

/// How it is with a process, in one word or two.
fn state(process: &ProcessInfo) -> comfy_table::Cell {
    match process.state {
        State::Running if process.removed => cell("removed").fg(Color::Yellow),
        State::Running => cell("running").fg(Color::Green),
        State::Exited { end: End::Exited(0), .. } => cell("done"),
        State::Exited { end: End::Exited(code), .. } => cell(format!("exit {code}")).fg(Color::Red),
        State::Exited { end: End::Signaled(signal), .. } => cell(signal).fg(Color::Red),
        State::Exited { .. } => cell("ended").fg(Color::Yellow),
    }
}

/// The names of users, looked up once each.
#[derive(Debug, Default)]
pub(crate) struct Users(BTreeMap<u32, String>);

impl Users {
    /// Whose a process is: the user that was asked for, or the one it runs as.
    pub(crate) fn of(&mut self, process: &ProcessInfo) -> Option<String> {
        let running = || {
            let path = format!("/proc/{}", process.pid);
            let owner = fs::metadata(path).ok().map(|it| it.uid());
            owner.filter(|_| process.is_running())
        };
        let uid = process.uid.or_else(running)?;
        Some(self.name(uid))
    }

    fn name(&mut self, uid: u32) -> String {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        };
        self.0.entry(uid).or_insert_with(look_up).clone()
    }
}
