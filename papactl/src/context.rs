//! What every command is given: where papad is, and how to write.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use anstream::AutoStream;
use clap::{Args, ValueEnum, ValueHint};
use nix::unistd::{Uid, User};
use papa_client::{Endpoint, ErrorKind, Papa};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::text::printable;

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where papad is: an absolute path of a Unix socket, or a port
    ///
    /// An absolute path, a port, unix:///PATH, tcp://127.0.0.1:PORT or tcp://[::1]:PORT. Unless given
    /// it is your own Unix socket, and if nobody answers there, port 20202. Root's is
    /// /run/papad.sock; yours papad.sock in $XDG_RUNTIME_DIR or /run/user/UID, or in /tmp/papad-UID.
    #[arg(
        long,
        short = 'e',
        global = true,
        value_name = "ENDPOINT",
        env = "PAPA_ENDPOINT",
        value_hint = ValueHint::FilePath,
        help_heading = "Options of every command"
    )]
    endpoint: Option<OsString>,

    /// Let papad belong to this user, too, beside you and root
    #[arg(
        long,
        global = true,
        value_name = "USER",
        value_hint = ValueHint::Username,
        help_heading = "Options of every command"
    )]
    trust: Option<String>,

    /// Write JSON, for programs
    ///
    /// The shapes are in papactl-json(7). Errors are JSON on standard error.
    #[arg(long, global = true, help_heading = "Options of every command")]
    json: bool,

    /// When to write in colour
    ///
    /// auto: on a terminal, unless NO_COLOR is set.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Options of every command"
    )]
    color: Color,
}

/// When to write in colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) endpoint: Endpoint,
    pub(crate) output: Output,
}

impl Global {
    pub(crate) fn context(&self) -> Result<Context> {
        let choice = match self.color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        let in_colour = AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let mut endpoint = match &self.endpoint {
            Some(text) => parse(text)?,
            None => Endpoint::of_user(),
        };
        if let Some(user) = &self.trust {
            endpoint = endpoint.owned_by(uid(user)?.as_raw());
        }
        Ok(Context { endpoint, output: Output::new(self.json, in_colour) })
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
}

impl Context {
    /// Connects to the papad that runs.
    pub(crate) fn connect(&self) -> Result<Papa> {
        Papa::connect(&self.endpoint).map_err(|error| match error.kind() {
            ErrorKind::NotRunning => {
                let what = match self.endpoint.candidates().len() {
                    1 => format!("no papad is running at {}", self.endpoint),
                    // It names all places, and which of them has something else.
                    _ => error.to_string(),
                };
                Failure::new(Exit::NOT_RUNNING, what).hint(format!(
                    "start one with \"{}\", or say where it is with --endpoint or PAPA_ENDPOINT",
                    starting(&self.endpoint)
                ))
            }
            _ => error.into(),
        })
    }
}

/// The command that has a papad answer there.
pub(crate) fn starting(endpoint: &Endpoint) -> String {
    // As "papactl run" starts it at the user's own endpoint.
    let port = match endpoint.candidates().len() {
        1 => String::new(),
        _ => format!(" --try-port {}", Endpoint::DEFAULT_PORT),
    };
    match (endpoint.unix_path(), endpoint.tcp_address()) {
        (Some(path), _) => {
            let path = printable(path.as_os_str().as_bytes());
            format!("papad --daemonize -u {}{port}", shell_words::quote(&path))
        }
        (None, Some(address)) if address.port() != Endpoint::DEFAULT_PORT => {
            format!("papad --daemonize -p {}", address.port())
        }
        (None, _) => "papad --daemonize".to_owned(),
    }
}

/// What the option or the environment says.
fn parse(text: &OsStr) -> Result<Endpoint> {
    Endpoint::parse(text).map_err(|error| {
        let failure = Failure::new(Exit::USAGE, error.to_string());
        let is_environments = env::var_os("PAPA_ENDPOINT").is_some_and(|it| it == text);
        if is_environments {
            failure.hint("it is PAPA_ENDPOINT of the environment")
        } else {
            failure
        }
    })
}

/// A user by name or by number.
pub(crate) fn uid(user: &str) -> Result<Uid> {
    if let Ok(number) = user.parse() {
        return Ok(Uid::from_raw(number));
    }
    match User::from_name(user) {
        Ok(Some(user)) => Ok(user.uid),
        Ok(None) => Err(Failure::new(Exit::USAGE, format!("there is no user {user}"))),
        Err(errno) => {
            Err(Failure::io(format!("the user {user} cannot be looked up"), &errno.into()))
        }
    }
}

/// A user's name, or the number if there is none.
pub(crate) fn user_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_papad_is_started_where_it_was_missed() {
        for (endpoint, command) in [
            (Endpoint::tcp(Endpoint::DEFAULT_PORT), "papad --daemonize"),
            (Endpoint::tcp(7000), "papad --daemonize -p 7000"),
            (Endpoint::unix("/run/my papad"), "papad --daemonize -u '/run/my papad'"),
        ] {
            assert_eq!(starting(&endpoint), command);
        }
    }
}
