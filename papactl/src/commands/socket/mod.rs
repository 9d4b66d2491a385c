//! `papactl socket`

use clap::{Args, Subcommand};
use papa_client::{SocketInfo, SocketType};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Result;
use crate::output;
use crate::shape::Socket as Shape;

mod adopt;
mod inherited;
mod make;
mod rm;

/// Make and remove sockets that outlive the servers behind them
#[derive(Debug, Args)]
pub(crate) struct Socket {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Make(make::Make),
    Rm(rm::Rm),
    Adopt(adopt::Adopt),
}

impl Socket {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self.command {
            Command::Make(it) => it.run(context),
            Command::Rm(it) => it.run(context),
            Command::Adopt(it) => it.run(context),
        }
    }
}

/// Says where a socket is bound that is papad's now.
fn tell(context: &Context, info: &SocketInfo) -> Result<Exit> {
    let socket = Shape::new(info);
    if context.output.is_json() {
        output::json(&socket)?;
    } else {
        // A datagram socket does not listen.
        let is_datagram = info.socket_type == SocketType::Dgram;
        let does = if is_datagram { "receives" } else { "listens" };
        output::line(format_args!("{} {does} at {}", socket.name, socket.address))?;
    }
    Ok(Exit::DONE)
}
