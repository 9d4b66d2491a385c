//! The options of `make process`.

use std::collections::BTreeSet;

use super::failure::Failure;
use super::line::Line;
use super::words::{
    bad_value, c_text, flag, parse_number, refuse_nul, umask, umask_text, unknown_option,
};
use crate::options::{
    Limit, MAX_BUFSIZE, MAX_LINGER_MS, Overflow, Pairs, ProcessOptions, Replace, Resource, Stderr,
    Stdout,
};
use crate::size;
use crate::text::shown;

const OPTIONS: &str = "uid=, gid=, dir=, umask=, bufsize=, overflow=, stdout=, stderr=, linger=, \
                       shell=, listen=, inherit=, replace=, env.NAME= and rlimit.NAME=";
/// The environment variables that `listen=` sets: see `sd_listen_fds(3)`.
const LISTEN_VARIABLES: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// Reads the options of `make process`.
pub(super) fn read(pairs: Pairs) -> Result<ProcessOptions, Failure> {
    let mut options = ProcessOptions::default();
    for (key, value) in pairs {
        match key.as_slice() {
            b"uid" => options.uid = Some(c_text("uid", value)?),
            b"gid" => options.gid = Some(c_text("gid", value)?),
            b"dir" | b"working_dir" => {
                if options.working_dir.replace(c_text("dir", value)?).is_some() {
                    return Err(Failure::usage("dir= and working_dir= are one: give one only"));
                }
            }
            b"umask" => options.umask = Some(umask(&value)?),
            b"bufsize" => options.bufsize = Some(bufsize(&value)?),
            b"overflow" => options.overflow = overflow(&value)?,
            b"stdout" => options.stdout = stdout(&value)?,
            b"stderr" => options.stderr = stderr(&value)?,
            b"linger" => options.linger_ms = Some(linger(&value)?),
            b"shell" => options.shell = flag("shell", &value)?,
            b"listen" => options.listen = sockets("listen", &value)?,
            b"inherit" => options.inherit = sockets("inherit", &value)?,
            b"replace" => options.replace = Some(replace(&value)?),
            _ => add_prefixed(&mut options, &key, value)?,
        }
    }
    check_together(&options)?;
    Ok(options)
}

fn bufsize(value: &[u8]) -> Result<u64, Failure> {
    size::parse(value)
        .filter(|&bytes| bytes <= MAX_BUFSIZE)
        .ok_or_else(|| bad_value("bufsize", "a size from 0 to 64g", value))
}

fn overflow(value: &[u8]) -> Result<Overflow, Failure> {
    match value {
        b"drop" => Ok(Overflow::Drop),
        b"block" => Ok(Overflow::Block),
        _ => Err(bad_value("overflow", "drop or block", value)),
    }
}

fn stdout(value: &[u8]) -> Result<Stdout, Failure> {
    match value {
        b"keep" => Ok(Stdout::Keep),
        b"null" => Ok(Stdout::Null),
        _ => Err(bad_value("stdout", "keep or null", value)),
    }
}

fn stderr(value: &[u8]) -> Result<Stderr, Failure> {
    match value {
        b"keep" => Ok(Stderr::Keep),
        b"null" => Ok(Stderr::Null),
        b"stdout" => Ok(Stderr::Merge),
        _ => Err(bad_value("stderr", "keep, null or stdout", value)),
    }
}

fn linger(value: &[u8]) -> Result<u64, Failure> {
    parse_number(value)
        .filter(|&milliseconds| milliseconds <= MAX_LINGER_MS)
        .ok_or_else(|| bad_value("linger", "from 0 to 3600000 milliseconds", value))
}

fn replace(value: &[u8]) -> Result<Replace, Failure> {
    match value {
        b"taken" => Ok(Replace::Taken),
        b"ended" => Ok(Replace::Ended),
        _ => Err(bad_value("replace", "taken or ended", value)),
    }
}

/// The names of `listen=` or `inherit=`, separated by commas.
fn sockets(key: &str, value: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut seen = BTreeSet::new();
    for name in value.split(|&byte| byte == b',') {
        if name.is_empty() {
            return Err(bad_value(key, "names of sockets with single commas between them", value));
        }
        if !seen.insert(name) {
            let name = shown(name);
            return Err(Failure::usage(format!(
                "{key}= must name a socket once, not twice: {name}"
            )));
        }
    }
    Ok(value.split(|&byte| byte == b',').map(<[u8]>::to_vec).collect())
}

fn add_prefixed(options: &mut ProcessOptions, key: &[u8], value: Vec<u8>) -> Result<(), Failure> {
    if let Some(name) = key.strip_prefix(b"env.") {
        if name.is_empty() {
            return Err(Failure::usage("An environment variable must have a name: env.NAME=VALUE"));
        }
        refuse_nul("The environment", name)?;
        refuse_nul("The environment", &value)?;
        options.env.insert(name.to_vec(), value);
        Ok(())
    } else if let Some(name) = key.strip_prefix(b"rlimit.") {
        add_rlimit(options, key, name, &value)
    } else {
        Err(unknown_option(key, "make process", OPTIONS))
    }
}

/// `key` is the whole key, `name` what follows `rlimit.` in it.
fn add_rlimit(
    options: &mut ProcessOptions,
    key: &[u8],
    name: &[u8],
    value: &[u8],
) -> Result<(), Failure> {
    // Protocol 2 has one spelling for each.
    let resource = Resource::parse(name).filter(|it| it.as_str().as_bytes() == name);
    let resource = resource.ok_or_else(|| {
        let names = Resource::ALL.map(Resource::as_str).join(", ");
        let name = shown(name);
        Failure::usage(format!("rlimit.{name}= is none; a limit's name must be one of: {names}"))
    })?;
    let limit = Limit::parse(value).ok_or_else(|| {
        let right = "N, SOFT:HARD or unlimited, the soft limit not above the hard one";
        bad_value(&shown(key), right, value)
    })?;
    options.rlimits.insert(resource, limit);
    Ok(())
}

/// What each option allows, but not with the others.
fn check_together(options: &ProcessOptions) -> Result<(), Failure> {
    if options.overflow == Overflow::Block && options.bufsize == Some(0) {
        return Err(Failure::usage("overflow=block must not be given with bufsize=0"));
    }
    if let Some(name) = options.listen.iter().find(|name| name.contains(&b':')) {
        let what = "A socket in listen= must not have a \":\" in its name, which LISTEN_FDNAMES";
        return Err(Failure::usage(format!("{what} cannot hold: {}", shown(name))));
    }
    let listen: BTreeSet<&Vec<u8>> = options.listen.iter().collect();
    if let Some(name) = options.inherit.iter().find(|name| listen.contains(name)) {
        let what = "A socket must be in listen= or in inherit=, not in both";
        return Err(Failure::usage(format!("{what}: {}", shown(name))));
    }
    let is_set = |name: &&&str| options.env.contains_key(name.as_bytes());
    match LISTEN_VARIABLES.iter().find(is_set) {
        Some(name) if !options.listen.is_empty() => Err(Failure::usage(format!(
            "env.{name}= must not be given with listen=, which sets it"
        ))),
        _ => Ok(()),
    }
}

impl Line {
    /// Adds the options of a process that are not as they are by default, as `make process`
    /// takes them.
    #[must_use]
    pub fn process_options(self, options: &ProcessOptions) -> Self {
        let line = self.maybe("uid", options.uid.as_ref()).maybe("gid", options.gid.as_ref());
        let line = line.maybe("dir", options.working_dir.as_ref());
        let line = line.maybe("umask", options.umask.map(umask_text));
        let line = line.maybe("bufsize", options.bufsize.map(|bytes| bytes.to_string()));
        let line = match options.overflow {
            Overflow::Drop => line,
            Overflow::Block => line.pair("overflow", Overflow::Block.as_str()),
        };
        let line = match options.stdout {
            Stdout::Keep => line,
            Stdout::Null => line.pair("stdout", "null"),
        };
        let line = match options.stderr {
            Stderr::Keep => line,
            Stderr::Null => line.pair("stderr", "null"),
            Stderr::Merge => line.pair("stderr", "stdout"),
        };
        let line = line.maybe("linger", options.linger_ms.map(|time| time.to_string()));
        let mut line = line.maybe("shell", options.shell.then_some("1"));
        for (key, names) in [("listen", &options.listen), ("inherit", &options.inherit)] {
            if !names.is_empty() {
                line = line.pair(key, names.join(&b','));
            }
        }
        let mut line = line.maybe("replace", options.replace.map(Replace::as_str));
        for (resource, limit) in &options.rlimits {
            line = line.number(&format!("rlimit.{}", resource.as_str()), limit);
        }
        for (name, value) in &options.env {
            line = line.word([b"env.", &name[..], b"=", value].concat());
        }
        line
    }
}
