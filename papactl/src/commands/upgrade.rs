//! `papactl upgrade`

use std::path::{self, PathBuf};

use clap::{Args, ValueHint};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::shape::Upgraded;

/// Have another version of papad take over, while everything goes on
///
/// Install the new program where the old one was, by a rename as install(1) does it. If it cannot
/// take over, the old one goes on, and papactl says why.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The program; without it what is found now where papad was started from
    #[arg(value_name = "PATH", value_hint = ValueHint::ExecutablePath)]
    program: Option<PathBuf>,
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        // papad is somewhere else.
        let program = self.program.map(path::absolute).transpose();
        let program =
            program.map_err(|error| Failure::io("there is no working directory", &error))?;
        let papa = context.connect()?;
        let version = papa.upgrade(program.as_deref())?;
        if context.output.is_json() {
            output::json(&Upgraded { version })?;
        } else {
            output::line(format_args!("papad {version} answers at {} now", papa.endpoint()))?;
        }
        Ok(Exit::DONE)
    }
}
