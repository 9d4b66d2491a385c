//! `papactl ps --watch`

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use papa_client::{Mode, Papa, ProcessId, ProcessInfo, State, Watcher};

use super::{show, table};
use crate::exit::Exit;
use crate::failure::Result;
use crate::live::{self, Happening, View, ends_by};
use crate::names;
use crate::output::{Output, Table};
use crate::screen::Screen;
use crate::users::Users;
use crate::waiter::{Waiter, Woken};

/// How often ages and bytes are looked at. papad tells of starts and ends by itself, but not to
/// everybody when a process that has ended leaves its list.
const INTERVAL: Duration = Duration::from_secs(1);

/// Says at once when a process starts or ends, and takes nothing.
fn watch(papa: &Papa) -> Result<Watcher> {
    Ok(papa.watch(["*"]).mode(Mode::Peek).only_exits().start()?)
}

/// Forgets what a watcher has said: papad is to be asked anyway.
fn hear(watcher: &mut Watcher) -> papa_client::Result<()> {
    while let Some(batch) = watcher.try_next()? {
        batch.acknowledge();
    }
    Ok(())
}

/// Writes the table each time when something has changed.
pub(super) fn anywhere(papa: &Papa, names: &[String], output: &Output) -> Result<Exit> {
    let waiter = Waiter::new()?;
    let mut watcher = watch(papa)?;
    let mut users = Users::default();
    let mut shown: Option<Vec<(ProcessId, State)>> = None;
    loop {
        hear(&mut watcher)?;
        let processes = chosen(papa.processes("*")?, names);
        let now = processes.iter().map(|process| (process.id, process.state)).collect();
        if shown.as_ref() != Some(&now) {
            show(output, &processes, &mut users)?;
            shown = Some(now);
        }
        if waiter.wait_for(&watcher, INTERVAL)? == Woken::Interrupted {
            return Ok(Exit::INTERRUPTED);
        }
    }
}

/// Draws the table in place.
pub(super) fn on_terminal(papa: &Papa, names: Vec<String>, output: &Output) -> Result<Exit> {
    let mut watcher = watch(papa)?;
    let papa = papa.clone();
    let mut is_first = true;
    let sample = move || {
        if !std::mem::take(&mut is_first) {
            match watcher.next_timeout(INTERVAL) {
                Ok(batch) => batch.into_iter().for_each(papa_client::Batch::acknowledge),
                Err(_) => thread::sleep(INTERVAL),
            }
        }
        papa.processes("*")
    };
    let page = Page {
        names,
        output,
        size: (0, 0),
        users: Users::default(),
        table: table(&[], &mut Users::default()),
        trouble: None,
    };
    live::run(page, sample)
}

/// What is on the screen.
struct Page<'a> {
    names: Vec<String>,
    output: &'a Output,
    size: (u16, u16),
    users: Users,
    table: Table,
    /// Why this is not the table of now.
    trouble: Option<String>,
}

impl View for Page<'_> {
    type Sample = papa_client::Result<Vec<ProcessInfo>>;

    fn on(&mut self, happening: Happening<Self::Sample>) -> ControlFlow<Exit> {
        match happening {
            Happening::Key(key) => {
                if let Some(exit) = ends_by(key) {
                    return ControlFlow::Break(exit);
                }
            }
            Happening::Resized(columns, rows) => self.size = (columns, rows),
            Happening::Sample(Ok(processes)) => {
                self.table = table(&chosen(processes, &self.names), &mut self.users);
                self.trouble = None;
            }
            Happening::Sample(Err(error)) => {
                self.trouble = Some(format!("papad does not answer: {error}"));
            }
        }
        ControlFlow::Continue(())
    }

    fn draw(&self, screen: &mut Screen) -> Result<()> {
        let (columns, rows) = self.size;
        let lines = self.output.fit(&self.table, columns);
        let trouble: Vec<String> =
            self.trouble.iter().map(|it| it.chars().take(columns.into()).collect()).collect();
        let room = usize::from(rows).saturating_sub(trouble.len());
        screen.lines(&[cut(lines, room), trouble].concat())
    }
}

/// Of a table's lines as many as there is room for, and how many more there are.
fn cut(mut lines: Vec<String>, room: usize) -> Vec<String> {
    if lines.len() > room {
        let shown = room.saturating_sub(1);
        // The header is no process.
        let left = lines.len() - shown.max(1);
        lines.truncate(shown);
        if room > 0 {
            lines.push(format!("... and {left} more"));
        }
    }
    lines
}

/// Those that the names stand for, as they would be if they were not watched from here.
fn chosen(mut processes: Vec<ProcessInfo>, names: &[String]) -> Vec<ProcessInfo> {
    for process in processes.iter_mut().filter(|process| process.is_running()) {
        process.watchers = process.watchers.saturating_sub(1);
    }
    let is_one = |name: &[u8]| names.iter().any(|it| names::matches(it, name));
    processes.retain(|process| names.is_empty() || is_one(process.name.as_bytes()));
    processes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_counted() {
        let lines = || ["NAME", "a", "b", "c"].map(str::to_owned).to_vec();
        assert_eq!(cut(lines(), 4), lines());
        assert_eq!(cut(lines(), 3), ["NAME", "a", "... and 2 more"]);
        assert_eq!(cut(lines(), 1), ["... and 3 more"]);
        assert!(cut(lines(), 0).is_empty());
    }
}
