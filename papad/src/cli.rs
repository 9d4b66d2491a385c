//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::prelude::*;
use nix::unistd::{Uid, User};

use papa_protocol::options::MAX_BUFSIZE;
use papa_protocol::size;

use crate::bounds::{self, Allowed, Bound};
use crate::hosted_nofile::HostedNofile;

/// The port papa's clients try first.
pub(crate) const DEFAULT_PORT: u16 = 20202;

/// Bytes of output kept for a process that asks for no size of its own.
pub(crate) const DEFAULT_BUFSIZE: u64 = 2 * 1024 * 1024;

/// What `--help` prints before it tells of bounds.
const HELP: &str = "\
papad - a process kernel: holds sockets, processes, their output and values
        while process managers come and go

Usage: papad [OPTIONS]

Options:
  -p, --port PORT          listen on 127.0.0.1:PORT and [::1]:PORT
                           (default 20202; 0 lets the system choose)
      --try-port PORT      the same if nobody else has it; go on without it if so
  -u, --unix-socket PATH   listen on this Unix socket; without -p, on it alone
  -d, --debug              log more
      --log-file PATH      log to this file when ready, and until then to standard
                           error; beyond 1m it is moved to PATH.1
      --daemonize          go to the background; returns when papad answers
      --bufsize SIZE       output kept per process: bytes, or with k, m or g
                           (default 2m)
      --hosted-nofile SOFT[:HARD]
                           descriptor limit of hosted processes (default: at
                           most 1024, and the hard limit papad has)
      --state-dir DIR      keep values in this directory, across a reboot, too
      --allow-uid UID      let this user in, too (number or name; repeatable);
                           papad's own user and root always are. The user gets
                           all of papad's rights: of root's papad, root's own
      --version            print the version
      --help               print this help

Bounds; beyond one, a request gets an error, and nothing that is there is lost:
";

/// What `--help` prints after that.
const TRY_IT: &str = "
Try it: telnet localhost 20202, then type help.
";

/// What `--help` prints.
pub(crate) fn help() -> String {
    [HELP, &bounds::help(), TRY_IT].concat()
}

/// What papad was asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// `None` when only a Unix socket is wanted.
    pub(crate) port: Option<u16>,
    /// Whether papad goes on without the port if somebody else has it.
    pub(crate) port_is_optional: bool,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) debug: bool,
    pub(crate) log_file: Option<PathBuf>,
    pub(crate) daemonize: bool,
    /// Bytes.
    pub(crate) bufsize: u64,
    pub(crate) hosted_nofile: HostedNofile,
    /// Where values are kept on disk.
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) allowed: Allowed,
    pub(crate) allowed_uids: Vec<Uid>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Run(Box<Options>),
    Version,
    Help,
}

/// Reads the words after the program's name.
pub(crate) fn parse<I>(words: I) -> Result<Request, lexopt::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString>,
{
    let mut port = None;
    let mut options = Options {
        port: None,
        port_is_optional: false,
        unix_socket: None,
        debug: false,
        log_file: None,
        daemonize: false,
        bufsize: DEFAULT_BUFSIZE,
        hosted_nofile: HostedNofile::default(),
        state_dir: None,
        allowed: Allowed::default(),
        allowed_uids: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(word) = parser.next()? {
        match word {
            Short('p') | Long("port") => {
                port = Some(value_of(&mut parser, "--port", port_number)?);
                options.port_is_optional = false;
            }
            Long("try-port") => {
                port = Some(value_of(&mut parser, "--try-port", port_number)?);
                options.port_is_optional = true;
            }
            Short('u') | Long("unix-socket") => {
                options.unix_socket = Some(absolute(parser.value()?, "Unix socket")?);
            }
            Short('d') | Long("debug") => options.debug = true,
            Long("log-file") => {
                options.log_file = Some(absolute(parser.value()?, "log file")?);
            }
            Long("daemonize") => options.daemonize = true,
            Long("bufsize") => options.bufsize = value_of(&mut parser, "--bufsize", bufsize)?,
            Long("hosted-nofile") => {
                options.hosted_nofile =
                    value_of(&mut parser, "--hosted-nofile", HostedNofile::parse)?;
            }
            Long("state-dir") => {
                options.state_dir = Some(absolute(parser.value()?, "state directory")?);
            }
            Long("allow-uid") => {
                options.allowed_uids.push(value_of(&mut parser, "--allow-uid", user)?);
            }
            Long("version") => return Ok(Request::Version),
            Short('h') | Long("help") => return Ok(Request::Help),
            other => {
                let bound = match other {
                    Long(option) => Bound::of_option(option).zip(Some(format!("--{option}"))),
                    _ => None,
                };
                let Some((bound, option)) = bound else { return Err(other.unexpected()) };
                let allowed = value_of(&mut parser, &option, |text| bound.parse(text))?;
                options.allowed.set(bound, allowed);
            }
        }
    }
    options.port = match (port, &options.unix_socket) {
        (None, None) => Some(DEFAULT_PORT),
        (port, _) => port,
    };
    Ok(Request::Run(Box::new(options)))
}

/// The value of an option, as `parse` reads it. An error names the option.
fn value_of<T, E: fmt::Display>(
    parser: &mut lexopt::Parser,
    option: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, lexopt::Error> {
    let value = parser.value()?;
    let invalid = |why: String| format!("invalid value {} of {option}: {why}", value.display());
    let text = value.to_str().ok_or_else(|| invalid("it is not UTF-8".to_owned()))?;
    Ok(parse(text).map_err(|error| invalid(error.to_string()))?)
}

fn port_number(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port is a number from 0 to 65535".to_owned())
}

/// A path that means the same from every directory: papad may leave the one it was started in.
fn absolute(path: OsString, of: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!("the path of the {of} must be absolute"))
    }
}

fn bufsize(text: &str) -> Result<u64, String> {
    size::parse(text.as_bytes())
        .filter(|&size| size <= MAX_BUFSIZE)
        .ok_or_else(|| "not a size in bytes, or with k, m or g".to_owned())
}

fn user(text: &str) -> Result<Uid, String> {
    if let Ok(uid) = text.parse() {
        return Ok(Uid::from_raw(uid));
    }
    match User::from_name(text) {
        Ok(Some(user)) => Ok(user.uid),
        Ok(None) => Err("no such user".to_owned()),
        Err(errno) => Err(errno.desc().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Options {
        match parse(words) {
            Ok(Request::Run(options)) => *options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_options_papad_listens_on_papas_port() {
        let options = options(&[]);
        assert_eq!(options.port, Some(20202));
        assert_eq!(options.unix_socket, None);
        assert_eq!(options.bufsize, 2 << 20);
        assert_eq!(options.allowed, Allowed::default());
    }

    #[test]
    fn a_unix_socket_alone_replaces_the_port_and_both_may_be_given() {
        assert_eq!(options(&["-u", "/run/papad"]).port, None);
        let both = options(&["-u", "/run/papad", "-p", "7"]);
        assert_eq!((both.port, both.unix_socket), (Some(7), Some("/run/papad".into())));
    }

    #[test]
    fn the_last_option_says_whether_papad_goes_on_without_a_port() {
        let port = |words: &[&str]| {
            let options = options(words);
            (options.port, options.port_is_optional)
        };
        assert_eq!(port(&["-u", "/run/papad", "--try-port", "7"]), (Some(7), true));
        assert_eq!(port(&["--try-port", "7", "-p", "8"]), (Some(8), false));
    }

    #[test]
    fn sizes_and_users_are_read_as_people_write_them() {
        let options = options(&["--bufsize=64k", "--allow-uid", "root", "--allow-uid=65534"]);
        assert_eq!(options.bufsize, 65536);
        assert_eq!(options.allowed_uids, [Uid::from_raw(0), Uid::from_raw(65534)]);
    }

    #[test]
    fn a_bound_is_set_by_its_option() {
        let options = options(&["--max-sessions", "7", "--max-buffers=1g"]);
        let mut allowed = Allowed::default();
        allowed.set(Bound::Sessions, 7);
        allowed.set(Bound::Buffers, 1 << 30);
        assert_eq!(options.allowed, allowed);
    }

    #[test]
    fn a_value_that_makes_no_sense_is_told_with_its_option() {
        let why = |words: &[&str]| parse(words).map(|_| ()).unwrap_err().to_string();
        assert_eq!(
            why(&["-p", "http"]),
            "invalid value http of --port: a port is a number from 0 to 65535"
        );
        for (option, value) in [("--bufsize", "2x"), ("--allow-uid", "no"), ("--max-sessions", "x")]
        {
            let why = why(&[option, value]);
            assert!(why.starts_with(&format!("invalid value {value} of {option}: ")), "{why}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &["-p", "65536"][..],
            &["-p"],
            &["-u", "run/papad"],
            &["--state-dir", "lib/papad"],
            &["--log-file", "log"],
            &["--bufsize", "2x"],
            &["--hosted-nofile", "2:1"],
            &["--bufsize", "65g"],
            &["--allow-uid", "no such user"],
            &["--max-sessions", "0"],
            &["--max-sessions"],
            &["stray"],
            &["--stray"],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
