//! Standard output: lines and tables for people, JSON for programs.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use ratatui::crossterm::terminal;
use serde::Serialize;

use crate::failure::{Failure, Result};

mod table;

pub(crate) use table::{Column, Row, Table, cell, number};

/// How to write.
#[derive(Debug)]
pub(crate) struct Output {
    is_json: bool,
    in_colour: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool, in_colour: bool) -> Self {
        Self { is_json, in_colour }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Whether standard output is to have colours.
    pub(crate) fn in_colour(&self) -> bool {
        self.in_colour
    }

    /// The lines of a table that fits this width.
    pub(crate) fn fit(&self, table: &Table, width: u16) -> Vec<String> {
        let text = table.render(Some(width), self.in_colour);
        text.lines().map(str::to_owned).collect()
    }

    /// Writes a table as wide as the terminal; elsewhere as wide as it is.
    pub(crate) fn table(&self, table: &Table) -> Result<()> {
        line(table.render(terminal_width(), self.in_colour))
    }
}

/// Writes one JSON text, on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::io("what was answered cannot be said in JSON", &error.into()))?;
    line(text)
}

/// Writes a line, with what it has of colours only where these are wanted.
pub(crate) fn line(line: impl Display) -> Result<()> {
    Ok(writeln!(anstream::stdout(), "{line}")?)
}

/// Writes bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether standard output is a terminal on which things can be drawn in place.
pub(crate) fn is_screen() -> bool {
    // What such a terminal cannot do: see term(7).
    is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Columns of the terminal, if standard output is one.
pub(crate) fn terminal_width() -> Option<u16> {
    if !is_terminal() {
        return None;
    }
    // A terminal that does not know its size says 0.
    terminal::size().ok().map(|(columns, _)| columns).filter(|columns| *columns > 0)
}
