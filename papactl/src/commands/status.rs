//! `papactl status`

use anstyle::{AnsiColor, Style};
use clap::Args;
use papa_client::Endpoint;

use super::doctor::{health, limits, sockets};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::finding::Finding;
use crate::output::{self, Column, Table, cell, number};
use crate::shape;
use crate::text;
use crate::time;

/// So many sessions are shown, so that with the summary all is on a screen of 24 rows.
const MOST_SESSIONS: usize = 7;

/// Show on one screen whether all is well with papad
///
/// The first line says it. Below it is what needs attention, and what to do about it; then how much
/// papad holds, and whom it speaks with. The exit status is 0 if all is well, and 1 if something
/// needs attention. Of more than 7 sessions, --json tells all.
#[derive(Debug, Args)]
pub(crate) struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "all commands are run alike")]
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let status = papa.status()?;
        let mut findings = health::findings(&status, &papa.processes("*")?);
        findings.extend(sockets::findings(&papa.sockets("*")?));
        findings.retain(|finding| !finding.is_ok());
        let exit = if findings.is_empty() { Exit::DONE } else { Exit::FAILED };
        if context.output.is_json() {
            output::json(&shape::Status::new(papa.endpoint(), &status, findings))?;
            return Ok(exit);
        }
        output::line(verdict(papa.endpoint(), &status, &findings))?;
        for finding in &findings {
            output::line(finding)?;
        }
        output::line("")?;
        for (what, how) in summary(&status) {
            output::line(format_args!("{what:<11}  {how}"))?;
        }
        output::line("")?;
        context.output.table(&sessions(&status))?;
        let more = status.sessions.len().saturating_sub(MOST_SESSIONS);
        if more > 0 {
            output::line(format_args!("... and {more} more"))?;
        }
        Ok(exit)
    }
}

fn verdict(endpoint: &Endpoint, status: &papa_client::Status, findings: &[Finding]) -> String {
    let (colour, is) = match findings {
        [] => (AnsiColor::Green, "is well"),
        _ => (AnsiColor::Red, "needs attention"),
    };
    let style = Style::new().bold().fg_color(Some(colour.into()));
    format!("papad {} at {endpoint} {style}{is}{style:#}", status.version)
}

/// How much there is of everything, and of what there may be.
fn summary(status: &papa_client::Status) -> Vec<(&'static str, String)> {
    let ended = status.processes.saturating_sub(status.running);
    let commit = status.commit.as_ref().map(|it| format!(", commit {it}")).unwrap_or_default();
    let mut summary = vec![
        ("running for", format!("{}{commit}", time::short(status.uptime))),
        ("pids", format!("keeper {}, server {}", status.pid, status.server)),
        ("server", format!("start {}, before it: {}", status.starts, status.last_end)),
        ("processes", format!("{} running, {ended} ended", status.running)),
        ("sockets", status.sockets.to_string()),
        ("values", status.values.to_string()),
        ("memory", memory(status)),
        ("descriptors", format!("{} of {}", status.descriptors, status.descriptors_allowed)),
        ("journal", text::size(status.journal)),
        ("sessions", status.sessions.len().to_string()),
    ];
    summary.extend(limits::noted(&shape::Limit::all(status)).map(|noted| ("limits", noted)));
    summary
}

/// What the server takes, and all output; and what became of output that was too much.
fn memory(status: &papa_client::Status) -> String {
    let of_memory = status.limits.iter().find(|limit| limit.name == "output-memory");
    let mut memory = vec![text::size(status.memory)];
    memory.extend(of_memory.map(|limit| format!("output {}", text::size(limit.used))));
    if status.output_dropped > 0 {
        memory.push(format!("{} of output dropped", text::size(status.output_dropped)));
    }
    if status.output_waiting > 0 {
        memory.push(format!("{} processes wait for it", status.output_waiting));
    }
    memory.join(", ")
}

fn sessions(status: &papa_client::Status) -> Table {
    let mut table = Table::new(&[
        Column::fixed("SESSION"),
        Column::fixed("PEER"),
        Column::ranked("AGE", 2),
        Column::ranked("PROTOCOL", 1),
        Column::cut("DOING"),
    ]);
    for session in status.sessions.iter().take(MOST_SESSIONS) {
        table.row(vec![
            number(session.number),
            cell(&session.peer),
            number(time::short(time::since(session.since))),
            number(session.protocol),
            cell(&session.doing),
        ]);
    }
    table
}
