//! The command line as a whole.

use std::io::Write;

use clap::{Parser, Subcommand};
use papa_client::Endpoint;

use crate::commands;
use crate::context::{Context, Global};
use crate::descriptors::{self, Standard};
use crate::exit::{self, Exit};
use crate::failure::{Failure, Result};

/// Run, look at, read, stop and wait for the processes that papad hosts
///
/// papad holds processes, their output, listening sockets and values, while whoever started them
/// comes and goes. NAMEs may end in *, which stands for any rest; quote it from the shell.
#[derive(Debug, Parser)]
#[command(name = "papactl", version, after_long_help = exit::HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(Box<commands::run::Run>),
    Ps(commands::ps::Ps),
    Logs(commands::logs::Logs),
    Inspect(commands::inspect::Inspect),
    Top(commands::top::Top),
    Wait(commands::wait::Wait),
    Stop(commands::stop::Stop),
    Signal(commands::signal::Signal),
    Pause(commands::pause::Pause),
    Resume(commands::pause::Resume),
    Restart(commands::restart::Restart),
    Rm(commands::rm::Rm),
    Sockets(commands::sockets::Sockets),
    Socket(commands::socket::Socket),
    Get(commands::get::Get),
    Set(commands::set::Set),
    Unset(commands::unset::Unset),
    Values(commands::values::Values),
    Lock(commands::lock::Lock),
    Status(commands::status::Status),
    Doctor(commands::doctor::Doctor),
    Log(commands::log::Log),
    Upgrade(commands::upgrade::Upgrade),
    Shutdown(commands::shutdown::Shutdown),
}

impl Command {
    fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Run(it) => it.run(context),
            Self::Ps(it) => it.run(context),
            Self::Logs(it) => it.run(context),
            Self::Inspect(it) => it.run(context),
            Self::Top(it) => it.run(context),
            Self::Wait(it) => it.run(context),
            Self::Stop(it) => it.run(context),
            Self::Signal(it) => it.run(context),
            Self::Pause(it) => it.run(context),
            Self::Resume(it) => it.run(context),
            Self::Restart(it) => it.run(context),
            Self::Rm(it) => it.run(context),
            Self::Sockets(it) => it.run(context),
            Self::Socket(it) => it.run(context),
            Self::Get(it) => it.run(context),
            Self::Set(it) => it.run(context),
            Self::Unset(it) => it.run(context),
            Self::Values(it) => it.run(context),
            Self::Lock(it) => it.run(context),
            Self::Status(it) => it.run(context),
            Self::Doctor(it) => it.run(context),
            Self::Log(it) => it.run(context),
            Self::Upgrade(it) => it.run(context),
            Self::Shutdown(it) => it.run(context),
        }
    }

    /// The standard descriptors that it reads and writes itself.
    fn needs(&self, is_json: bool) -> Vec<Standard> {
        match self {
            Self::Set(it) if it.reads_input() && is_json => vec![Standard::Input, Standard::Output],
            Self::Set(it) if it.reads_input() => vec![Standard::Input],
            Self::Set(_) | Self::Unset(_) | Self::Signal(_) | Self::Pause(_) | Self::Resume(_)
                if !is_json =>
            {
                vec![]
            }
            // What processes write to standard error goes there.
            Self::Logs(_) | Self::Lock(_) => vec![Standard::Output, Standard::Error],
            Self::Run(it) if it.is_attached() => vec![Standard::Output, Standard::Error],
            _ => vec![Standard::Output],
        }
    }

    /// Whether its exit status is a process's, so that papactl's own trouble must have another.
    fn ends_as_a_process(&self) -> bool {
        match self {
            Self::Run(it) => it.is_attached(),
            Self::Wait(it) => it.is_for_end(),
            Self::Lock(_) => true,
            _ => false,
        }
    }
}

impl Cli {
    pub(crate) fn run(self) -> Exit {
        let is_json = self.global.is_json();
        let ends_as_a_process = self.command.ends_as_a_process();
        let context = match self.global.context() {
            Ok(context) => context,
            Err(failure) => {
                return told(&failure, &Endpoint::of_user(), is_json);
            }
        };
        let checked = descriptors::check(&self.command.needs(is_json));
        match checked.and_then(|()| self.command.run(&context)) {
            Ok(exit) => exit,
            Err(failure) => match told(&failure, &context.endpoint, is_json) {
                exit @ (Exit::DONE
                | Exit::USAGE
                | Exit::INTERRUPTED
                | Exit::CANNOT_RUN
                | Exit::NO_COMMAND) => exit,
                _ if ends_as_a_process => Exit::OWN_TROUBLE,
                exit => exit,
            },
        }
    }
}

/// Says what went wrong.
pub(crate) fn told(failure: &Failure, endpoint: &Endpoint, is_json: bool) -> Exit {
    if let Some(report) = failure.report(endpoint) {
        let line = if is_json { serde_json::to_string(&report).ok() } else { None };
        let line = line.unwrap_or_else(|| report.to_string());
        // Where standard error is closed there is nobody to tell.
        let _ = writeln!(anstream::stderr(), "{line}");
    }
    failure.exit()
}
