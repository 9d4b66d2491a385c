//! `papactl socket rm`

use clap::Args;

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::shape::Named;

/// Have papad close sockets and forget them
///
/// Processes that have them keep them. The file of a Unix socket is deleted.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Names, or beginnings of names with a *
    #[arg(value_name = "NAME", required = true, add = complete::sockets())]
    names: Vec<String>,
}

impl Rm {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let mut removed = Vec::new();
        for name in &self.names {
            removed.extend(papa.remove_sockets(name)?);
        }
        if context.output.is_json() {
            let removed: Vec<Named> =
                removed.iter().map(|name| Named::new(name.as_bytes())).collect();
            output::json(&removed)?;
        }
        Ok(Exit::DONE)
    }
}
