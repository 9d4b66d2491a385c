//! `papactl sockets`

use clap::Args;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::names;
use crate::output::{self, Column, Table, cell, number};
use crate::shape::Socket;

/// As many connections may wait as the system allows.
const MAX_BACKLOG: u32 = i32::MAX.cast_unsigned();

/// Show the sockets that papad holds
///
/// FILENO is the number of the socket in processes that refer to it as $(socket.NAME.fileno). FAULT is
/// there if one cannot be reached: a process has shut it down, or its file is gone or another's; "papactl
/// socket make", with the same options, mends it. A BACKLOG of "most" is as many as the system allows.
#[derive(Debug, Args)]
pub(crate) struct Sockets {
    /// Only these: names, or beginnings of names with a *
    #[arg(value_name = "NAME", add = complete::sockets())]
    names: Vec<String>,
}

impl Sockets {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let mut sockets = context.connect()?.sockets("*")?;
        for name in self.names.iter().filter(|name| !names::is_wildcard(name)) {
            if !sockets.iter().any(|socket| names::matches(name, socket.name.as_bytes())) {
                return Err(no_socket(name));
            }
        }
        let is_meant = |name: &[u8]| self.names.iter().any(|it| names::matches(it, name));
        sockets.retain(|socket| self.names.is_empty() || is_meant(socket.name.as_bytes()));
        let sockets: Vec<Socket> = sockets.iter().map(Socket::new).collect();
        if context.output.is_json() {
            output::json(&sockets)?;
        } else {
            context.output.table(&table(&sockets))?;
        }
        Ok(Exit::DONE)
    }
}

fn table(sockets: &[Socket]) -> Table {
    let mut columns = vec![
        Column::fixed("NAME"),
        Column::ranked("TYPE", 3),
        Column::cut("ADDRESS"),
        Column::ranked("BACKLOG", 1),
        Column::ranked("FILENO", 2),
    ];
    let has_faults = sockets.iter().any(|socket| socket.fault.is_some());
    columns.extend(has_faults.then(|| Column::fixed("FAULT")));
    let mut table = Table::new(&columns);
    for socket in sockets {
        let backlog = match socket.backlog {
            MAX_BACKLOG => "most".to_owned(),
            backlog => backlog.to_string(),
        };
        let mut row = vec![
            cell(&socket.name),
            cell(&socket.r#type),
            cell(&socket.address),
            number(backlog),
            number(socket.fileno.map(|it| it.to_string()).unwrap_or_default()),
        ];
        row.extend(has_faults.then(|| cell(socket.fault.unwrap_or_default())));
        table.row(row);
    }
    table
}

fn no_socket(name: &str) -> Failure {
    let what = format!("there is no socket of the name {name}");
    Failure::new(Exit::NOT_FOUND, what).hint("\"papactl sockets\" shows those that there are")
}
