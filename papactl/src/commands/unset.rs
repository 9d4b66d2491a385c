//! `papactl unset`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use papa_client::{ErrorKind, Name};

use super::get::no_value;
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::shape::Named;

/// Remove stored values
///
/// One that is not there is an error, and the others are removed all the same.
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
        let (mut removed, mut trouble): (Vec<Name>, _) = (Vec::new(), None);
        match (&self.old, &self.names[..]) {
            (None, names) => {
                for name in names {
                    match papa.remove_values(name) {
                        Ok(names) => removed.extend(names),
                        Err(error) => {
                            trouble.get_or_insert(match error.kind() {
                                ErrorKind::NotFound => no_value(name),
                                _ => Failure::from(error),
                            });
                        }
                    }
                }
            }
            (Some(old), [name]) => {
                if papa.get(name)?.is_none() {
                    return Err(no_value(name));
                }
                if !papa.compare_and_unset(name, old.as_bytes())? {
                    let what = format!("{name} was not removed: the condition does not hold");
                    let hint = format!("\"papactl get {name}\" prints what it is now");
                    return Err(Failure::new(Exit::CONFLICT, what).hint(hint));
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
        trouble.map_or(Ok(Exit::DONE), Err)
    }
}
