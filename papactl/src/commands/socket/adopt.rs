//! `papactl socket adopt`

use clap::Args;

use super::inherited::Inherited;
use super::tell;
use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;

/// Hand papad a socket that this command was started with
///
/// The socket is bound already: by systemd for a socket unit, or by whoever else runs this command
/// with an open descriptor. It goes over papad's Unix socket: name that with --endpoint.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// Its name in papad
    #[arg(value_name = "NAME", add = complete::sockets())]
    name: String,

    /// The number of the descriptor
    ///
    /// Without it the one of this name, or the only one, of those that were passed as
    /// sd_listen_fds(3) says.
    #[arg(long, value_name = "N")]
    fd: Option<i32>,
}

impl Adopt {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let number = match self.fd {
            Some(number) => number,
            None => Inherited::from_env().pick(&self.name)?,
        };
        // Before a connection of papactl's own takes a number.
        let socket = super::inherited::duplicate(number)?;
        let info = context.connect()?.adopt(&self.name, socket)?;
        tell(context, &info)
    }
}
