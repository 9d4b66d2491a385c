//! `papactl unset`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use papa_client::Name;

use super::get::no_value;
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::shape::Named;

/// Remove stored values
#[derive(Debug, Args)]
pub(crate) struct Unset {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::values())]
    names: Vec<String>,

    /// Only if the value is OLD now; for one name
    #[arg(long = "if", value_name = "OLD")]
    old: Option<OsString>,
}

impl Unset {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let mut removed: Vec<Name> = Vec::new();
        match (&self.old, &self.names[..]) {
            (None, names) => {
                for name in names {
                    removed.extend(papa.remove_values(name)?);
                }
            }
            (Some(old), [name]) => {
                if papa.get(name)?.is_none() {
                    return Err(no_value(name));
                }
                if !papa.compare_and_unset(name, old.as_bytes())? {
                    let what = format!("{name} was not removed: the condition does not hold");
                    return Err(Failure::new(Exit::CONFLICT, what));
                }
                removed.push(Name::new(name)?);
            }
            (Some(_), _) => {
                return Err(Failure::new(Exit::USAGE, "--if is for one name"));
            }
        }
        if context.output.is_json() {
            let removed: Vec<Named> =
                removed.iter().map(|name| Named::new(name.as_bytes())).collect();
            output::json(&removed)?;
        }
        Ok(Exit::DONE)
    }
}
