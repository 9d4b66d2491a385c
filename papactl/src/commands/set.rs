//! `papactl set`

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Args;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::shape::Named;

/// Store a value
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The value's name
    #[arg(value_name = "NAME", add = complete::values())]
    name: String,

    /// The value, as it is; - reads all of standard input
    #[arg(value_name = "VALUE")]
    value: OsString,

    /// Only if the value is OLD now
    #[arg(long = "if", value_name = "OLD")]
    old: Option<OsString>,

    /// Only if there is none now
    #[arg(long, conflicts_with = "old")]
    if_absent: bool,
}

impl Set {
    /// Whether the value is what standard input has.
    pub(crate) fn reads_input(&self) -> bool {
        self.value == "-"
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let value = if self.reads_input() { standard_input()? } else { self.value.into_vec() };
        let papa = context.connect()?;
        let is_set = match (&self.old, self.if_absent) {
            (None, false) => papa.set(&self.name, value).map(|()| true)?,
            (old, _) => {
                papa.compare_and_set(&self.name, old.as_ref().map(|it| it.as_bytes()), value)?
            }
        };
        if !is_set {
            let what = format!("{} was not set: the condition does not hold", self.name);
            let hint = format!("\"papactl get {}\" prints what it is now", self.name);
            return Err(Failure::new(Exit::CONFLICT, what).hint(hint));
        }
        if context.output.is_json() {
            output::json(&Named::new(self.name.as_bytes()))?;
        }
        Ok(Exit::DONE)
    }
}

fn standard_input() -> Result<Vec<u8>> {
    let mut value = Vec::new();
    io::stdin()
        .read_to_end(&mut value)
        .map_err(|error| Failure::io("standard input cannot be read", &error))?;
    Ok(value)
}
