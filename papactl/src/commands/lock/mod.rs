//! `papactl lock`

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueHint};
use papa_client::{ErrorKind, Lock as Held};

use crate::complete;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::text;
use crate::time;

mod guarded;

use guarded::{Guarded, News};

/// Run a command while holding a lock
///
/// At any time one command at most runs under a lock of a name. The lock is a value of papad's, which
/// "papactl values" shows, and which vanishes when papactl ends, however it ends. The exit status is
/// the command's.
///
/// Ctrl-C is for the command alone; SIGTERM and SIGHUP are passed on to it. If the lock is lost
/// while the command runs, since papad's server was killed or somebody removed the value, it is taken
/// again at once; if somebody else was faster, the command is sent SIGTERM. It is sent that, too, when
/// papactl itself is killed.
#[derive(Debug, Args)]
pub(crate) struct Lock {
    /// The lock's name
    #[arg(value_name = "NAME", add = complete::values())]
    name: String,

    /// Wait so long for the lock, and no longer: 500ms, 10s, 1m. Otherwise for as long as it takes
    #[arg(long, value_name = "TIME", value_parser = time::duration)]
    wait: Option<Duration>,

    /// Do not wait for the lock
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,

    /// The program and its arguments
    #[arg(
        value_name = "COMMAND",
        last = true,
        required = true,
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

impl Lock {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let mut lock = self.acquire(context)?;
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(Failure::new(Exit::USAGE, "there is no command to run"));
        };
        let mut command = Command::new(program);
        command.args(arguments);
        let mut guarded = Guarded::start(&mut command).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::NotFound => Exit::NO_COMMAND,
                _ => Exit::CANNOT_RUN,
            };
            let program = text::printable(program.as_encoded_bytes());
            Failure::new(exit, format!("{program} cannot be run: {error}"))
        })?;
        let mut is_lost = false;
        loop {
            match guarded.wait(Some(&lock).filter(|_| !is_lost))? {
                News::Ended(status) => {
                    // What is lost cannot be given back, and there is nothing more to do about it.
                    let _ = lock.release();
                    return Ok(Exit::of_child(status));
                }
                News::LookAtLock => match self.again(&lock, context) {
                    Again::Held => {}
                    Again::Taken(taken) => lock = *taken,
                    Again::Lost(why) => {
                        is_lost = true;
                        say(&format!(
                            "the lock {} is lost: {why}; the command is ended",
                            self.name
                        ));
                        guarded.terminate();
                    }
                },
            }
        }
    }

    fn acquire(&self, context: &Context) -> Result<Held> {
        // This says what to do where no papad is.
        let papa = context.connect()?;
        let got = if self.no_wait || self.wait == Some(Duration::ZERO) {
            Held::try_acquire(&context.endpoint, &self.name)?
        } else {
            let patience = self.wait.unwrap_or(Duration::MAX);
            match Held::acquire(&context.endpoint, &self.name, patience) {
                Ok(lock) => Some(lock),
                Err(error) if error.kind() == ErrorKind::Timeout => None,
                Err(error) => return Err(error.into()),
            }
        };
        got.ok_or_else(|| {
            let value = papa.get(&self.name).ok().flatten();
            let holder = value.map_or("somebody else".into(), |value| holder(&value));
            let what = format!("the lock {} is held by {holder}", self.name);
            Failure::new(Exit::TOO_LATE, what).hint("without --no-wait and --wait it is waited for")
        })
    }

    /// Takes a lock again that was lost.
    fn again(&self, lock: &Held, context: &Context) -> Again {
        match lock.check() {
            Ok(true) => return Again::Held,
            // A papad that does not answer gives it to nobody else.
            Err(error) if error.kind() == ErrorKind::Timeout => return Again::Held,
            Ok(false) | Err(_) => {}
        }
        match Held::try_acquire(&context.endpoint, &self.name) {
            Ok(Some(lock)) => {
                say(&format!("the lock {} was lost for a moment, and is taken again", self.name));
                Again::Taken(Box::new(lock))
            }
            Ok(None) => Again::Lost("somebody else has it".into()),
            Err(error) => Again::Lost(error.to_string()),
        }
    }
}

/// How it is with a lock that might have been lost.
enum Again {
    Held,
    Taken(Box<Held>),
    Lost(String),
}

/// Who has set a lock's value: papa-client writes its pid into it.
fn holder(value: &[u8]) -> String {
    let pid = || {
        let (pid, _) = str::from_utf8(value).ok()?.strip_prefix("pid-")?.split_once('.')?;
        pid.parse::<u32>().ok()
    };
    match pid() {
        Some(pid) => format!("pid {pid}"),
        None => format!("whoever has set it to {}", text::printable(value)),
    }
}

/// Says something while the command runs, which has the same standard error.
fn say(what: &str) {
    // Where that is closed there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "papactl: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_told_by_its_pid() {
        assert_eq!(holder(b"pid-42.17.0"), "pid 42");
        assert_eq!(holder(b"maintenance\n"), "whoever has set it to maintenance\\x0a");
        assert_eq!(holder(b"pid-x.1"), "whoever has set it to pid-x.1");
    }
}
