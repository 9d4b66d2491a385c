//! `papactl ps`

use clap::Args;
use comfy_table::Color;
use papa_client::ProcessInfo;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::names;
use crate::output::{self, Column, Output, Row, Table, cell, number};
use crate::shape::{self, Process};
use crate::text::{self, Tone};
use crate::time;
use crate::usage::Usage;
use crate::users::Users;

mod watch;

/// Show the processes that papad hosts
///
/// UNREAD is output that is kept and that nobody has taken. LOST is output that was pushed out of
/// the buffer before anybody took it. CPU is the processor time and MEM the memory of the process
/// itself, without its children. In a narrow terminal columns are left out, and the command is
/// cut.
#[derive(Debug, Args)]
#[command(visible_alias = "ls")]
pub(crate) struct Ps {
    /// Only these: names, or beginnings of names with a *
    #[arg(value_name = "NAME", add = complete::processes())]
    names: Vec<String>,

    /// Go on to show them, until q or Ctrl-C
    ///
    /// On a terminal the table is drawn anew in place, as soon as a process starts or ends, and
    /// otherwise once a second. Elsewhere it is written again each time when other processes are
    /// there or one has ended.
    #[arg(long, short = 'w')]
    watch: bool,
}

const COLUMNS: [Column; 11] = [
    Column::fixed("NAME"),
    Column::fixed("STATE"),
    Column::ranked("PID", 7),
    Column::ranked("AGE", 6),
    Column::ranked("USER", 3),
    Column::ranked("UNREAD", 5),
    Column::ranked("LOST", 4),
    Column::ranked("WATCHERS", 1),
    Column::ranked("CPU", 2),
    Column::ranked("MEM", 4),
    Column::cut("COMMAND"),
];

impl Ps {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let processes = names::processes(&papa, &self.names)?;
        if !self.watch {
            show(&context.output, &processes, &mut Users::default())?;
            return Ok(Exit::DONE);
        }
        if output::is_screen() && !context.output.is_json() {
            watch::on_terminal(&papa, self.names, &context.output)
        } else {
            watch::anywhere(&papa, &self.names, &context.output)
        }
    }
}

fn show(output: &Output, processes: &[ProcessInfo], users: &mut Users) -> Result<()> {
    if output.is_json() {
        let processes: Vec<Process> =
            processes.iter().map(|it| Process::new(it, users.of(it))).collect();
        output::json(&processes)
    } else {
        output.table(&table(processes, users))
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
    let usage = Usage::of(process);
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
        number(usage.map_or_else(String::new, |usage| time::short(usage.cpu))),
        number(usage.map_or_else(String::new, |usage| text::size(usage.memory))),
        cell(text::command_line(&process.command)),
    ]
}

fn state(process: &ProcessInfo) -> comfy_table::Cell {
    let (text, tone) = text::state(process);
    match tone {
        Tone::Good => cell(text).fg(Color::Green),
        Tone::Plain => cell(text),
        Tone::Odd => cell(text).fg(Color::Yellow),
        Tone::Bad => cell(text).fg(Color::Red),
    }
}
