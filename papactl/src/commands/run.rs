//! `papactl run`

use std::error::Error as _;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueHint};
use papa_client::{ErrorKind, Papa, Process, ProcessBuilder, ProcessInfo};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, with_cause};
use crate::interrupts::Interrupts;
use crate::names;
use crate::output;
use crate::readiness;
use crate::shape;
use crate::time;
use crate::users::Users;

mod attach;
mod environment;
mod specification;

/// So many differences are enough to see what is wrong.
const MAX_DIFFERENCES: usize = 4;

/// Run a command, and return while papad keeps it running
///
/// papad is started, too, if none answers. The process outlives this shell, and what it writes is
/// kept until somebody takes it: see papactl logs. It gets this shell's environment, directory and
/// umask, as with nohup, unless options say otherwise; but no variables that speak of this terminal,
/// login or service, as TERM, SHLVL and SSH_CLIENT do: see --env.
///
/// The same command by the same NAME again, in the same environment, is the process that runs. One
/// that has ended is replaced if all of its output was taken.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Run {
    /// A name for the process
    #[arg(value_name = "NAME", add = complete::processes())]
    name: String,

    /// The program and its arguments, after --
    #[arg(
        value_name = "COMMAND",
        required = true,
        last = true,
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,

    /// Follow its output, and end with its exit status
    ///
    /// Its standard output and error are written to this one's. Ctrl-C detaches, and so does a closed
    /// terminal or pipe: the process runs on. Output and end stay for others, except with --rm and
    /// --overflow block, which take them.
    #[arg(long, short = 'a')]
    attach: bool,

    /// Take its output and its end, so that it leaves the list when it has ended
    #[arg(long, requires = "attach")]
    rm: bool,

    /// Send a terminal what the process has written, byte by byte
    ///
    /// Otherwise a terminal is shown control characters as \xHH, and not sent them: they could
    /// change its title, or what is on it. Newlines, tabs and colours are sent. A file or a pipe is
    /// always sent every byte as it is.
    #[arg(long, requires = "attach")]
    raw: bool,

    /// Return when it has written this text, and not before
    ///
    /// What it has written before counts, too, as long as papad keeps that. The exit status is 1 if
    /// it ends first, and 6 if that takes longer than --ready-timeout; it runs on then.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "attach",
        value_parser = NonEmptyStringValueParser::new()
    )]
    ready: Option<String>,

    /// How long that may take: 10s, 1m30s, 500ms, or a number of seconds
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = time::duration,
        requires = "ready"
    )]
    ready_timeout: Duration,

    /// Replace one of this name that has ended, even if its output was not taken
    #[arg(long)]
    replace: bool,

    /// The papad to start if none answers
    ///
    /// Unless given it is that of PAPAD_BIN, or papad somewhere in PATH.
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::ExecutablePath)]
    papad: Option<PathBuf>,

    #[command(flatten)]
    specification: specification::Specification,
}

impl Run {
    /// Whether it ends as the process does.
    pub(crate) fn is_attached(&self) -> bool {
        self.attach
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let interrupts = self.attach.then(Interrupts::begin).transpose();
        let interrupts =
            interrupts.map_err(|error| Failure::io("Ctrl-C cannot be waited for", &error))?;
        let papa = self.connect(context)?;
        let (process, is_new) = self.make(&papa)?;
        if let Some(interrupts) = interrupts {
            if !is_new {
                attach::note(already(process.info()));
            }
            let takes = self.rm || self.specification.blocks();
            let form = attach::Form { is_new, takes, is_raw: self.raw };
            return attach::follow(&papa, &process, form, &interrupts);
        }
        if let Some(text) = &self.ready {
            readiness::wait_for(&papa, &process, text, Instant::now(), self.ready_timeout)?;
        }
        let info = process.info();
        if context.output.is_json() {
            output::json(&shape::Process::new(info, Users::default().of(info)))?;
        } else if is_new {
            output::line(format_args!("{} runs as pid {}", info.name, info.pid))?;
        } else {
            output::line(already(info))?;
        }
        Ok(Exit::DONE)
    }

    fn connect(&self, context: &Context) -> Result<Papa> {
        let endpoint = match &self.papad {
            Some(papad) => context.endpoint.clone().program(papad),
            None => context.endpoint.clone(),
        };
        Papa::connect_or_start(&endpoint).map_err(|error| match error.kind() {
            ErrorKind::NotRunning => {
                let hint = match error.source() {
                    Some(_) => "say which papad to start with --papad PROGRAM or PAPAD_BIN",
                    // The program has run, and said why it gave up.
                    None => "put that right, or say another place with --endpoint",
                };
                Failure::new(Exit::NOT_RUNNING, with_cause(&error)).hint(hint)
            }
            _ => error.into(),
        })
    }

    /// Makes the process, or finds the one that runs; tells which.
    fn make(&self, papa: &Papa) -> Result<(Process, bool)> {
        let builder = self.specification.builder(papa, &self.name, &self.command)?;
        let replacing = builder.clone();
        let replacing =
            if self.replace { replacing.replace_ended() } else { replacing.replace_taken() };
        let before = papa.process_named(&self.name)?.map(|process| process.id());
        let process = match replacing.make() {
            Err(error) if error.kind() == ErrorKind::Exists => {
                return Err(self.taken(papa, &builder)?.unwrap_or_else(|| error.into()));
            }
            process => process?,
        };
        let is_new = before != Some(process.id());
        if !is_new && !process.info().is_running() {
            return Err(has_ended(process.info()));
        }
        Ok((process, is_new))
    }

    /// Why the name cannot be had; `None` if it is free by now.
    fn taken(&self, papa: &Papa, builder: &ProcessBuilder<Papa>) -> Result<Option<Failure>> {
        let Some(process) = papa.process_named(&self.name)? else {
            return Ok(None);
        };
        let ProcessInfo { name, pid, .. } = process.info();
        if !process.info().is_running() {
            return Ok(Some(has_ended(process.info())));
        }
        let mut differences = builder.differences(&papa.process_again(&self.name)?);
        if differences.len() > MAX_DIFFERENCES {
            differences.truncate(MAX_DIFFERENCES);
            differences.push("more".to_owned());
        }
        let what = match names::in_a_row(&differences) {
            row if row.is_empty() => format!("{name} runs as pid {pid} and was made otherwise"),
            row => {
                let differ = if differences.len() == 1 { "differs" } else { "differ" };
                format!("{name} runs as pid {pid} and was made otherwise: {row} {differ}")
            }
        };
        let hint =
            format!("choose another name, or \"papactl stop {name}\" first and then run --replace");
        Ok(Some(Failure::new(Exit::CONFLICT, what).hint(hint)))
    }
}

fn already(info: &ProcessInfo) -> String {
    format!("{} runs already as pid {}", info.name, info.pid)
}

/// The failure where the name is that of a process that has ended, and of which something is kept.
fn has_ended(info: &ProcessInfo) -> Failure {
    let name = &info.name;
    let end = info.end().map(|end| format!(" ({end})")).unwrap_or_default();
    match shape::unread(info) {
        0 => Failure::new(Exit::CONFLICT, format!("{name} has only just ended{end}"))
            .hint("try once more, or say --replace"),
        unread => {
            let what =
                format!("{name} has ended{end}, and {unread} bytes of its output are not taken");
            let hint = format!(
                "read them with \"papactl logs {name}\", and then \"papactl rm {name}\", or say \
                 --replace"
            );
            Failure::new(Exit::CONFLICT, what).hint(hint)
        }
    }
}
