//! `papactl get`

use clap::Args;
use papa_client::Papa;

use crate::complete;
use crate::context::Context;
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
        let mut bytes = value.value.clone();
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
