//! `papactl get`

use clap::Args;
use papa_client::Papa;

use crate::complete;
use crate::context::Context;
use crate::escape;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::shape::StoredValue;

/// Print a stored value
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The value's name
    #[arg(value_name = "NAME", add = complete::values())]
    name: String,

    /// Print no newline after it
    #[arg(long, short = 'n')]
    no_newline: bool,

    /// Send a terminal the value's bytes as they are
    ///
    /// Otherwise a terminal is shown control characters as \xHH, and not sent them; newlines, tabs
    /// and colours are sent. A file or a pipe is always sent every byte as it is.
    #[arg(long)]
    raw: bool,
}

impl Get {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa: Papa = context.connect()?;
        let values = papa.values(&self.name)?;
        let value = values.first().filter(|value| value.name == *self.name);
        let value = value.ok_or_else(|| no_value(&self.name))?;
        if context.output.is_json() {
            output::json(&StoredValue::new(value))?;
            return Ok(Exit::DONE);
        }
        let is_sent_as_it_is = self.raw || !output::is_terminal();
        let mut bytes =
            if is_sent_as_it_is { value.value.clone() } else { escape::whole(&value.value) };
        if !self.no_newline {
            bytes.push(b'\n');
        }
        output::bytes(&bytes)?;
        Ok(Exit::DONE)
    }
}

pub(crate) fn no_value(name: &str) -> Failure {
    let what = format!("there is no value of the name {name}");
    Failure::new(Exit::NOT_FOUND, what).hint("\"papactl values\" shows those that there are")
}
