//! What a process is to be: options of `papactl run`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use nix::sys::stat::{self, Mode};
use nix::unistd::Uid;
use papa_client::{Limit, Papa, ProcessBuilder, Resource, parse_size};

use super::environment;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::time;

const ROOT: u32 = 0;
const MAX_UMASK: u32 = 0o777;

/// What a process is to be.
#[derive(Debug, Args)]
#[command(next_help_heading = "What the process finds")]
pub(super) struct Specification {
    /// Set a variable of its environment; NAME alone passes this shell's on
    ///
    /// NAME alone is for --clean-env, and for the variables that speak of this terminal, login or
    /// service and are left out otherwise: COLORTERM, COLUMNS, GPG_TTY, INVOCATION_ID,
    /// JOURNAL_STREAM, LINES, NOTIFY_SOCKET, OLDPWD, PWD, SHLVL, TERM, and those that begin with
    /// SSH_, SUDO_, TERM_, TMUX, VTE_, XDG_SEAT, XDG_SESSION_, or with the name of a terminal
    /// (KITTY_, WEZTERM_, ZELLIJ, VSCODE_ and the like).
    #[arg(long, short = 'E', value_name = "NAME[=VALUE]")]
    env: Vec<OsString>,

    /// Give it no variables but those of --env
    #[arg(long)]
    clean_env: bool,

    /// Start it in this directory
    #[arg(long, short = 'C', value_name = "DIRECTORY", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,

    /// Run it as this user, by name or number; papad must be root's
    ///
    /// A papad of root's that lets you in runs it as you, unless this is given. HOME, USER, LOGNAME
    /// and SHELL become this user's, unless --env says otherwise.
    #[arg(long, short = 'u', value_name = "USER", value_hint = ValueHint::Username)]
    user: Option<OsString>,

    /// Run it as this group, by name or number; the user's own unless given
    #[arg(long, value_name = "GROUP")]
    group: Option<OsString>,

    /// Its file mode creation mask, in octal
    #[arg(long, value_name = "OCTAL", value_parser = umask)]
    umask: Option<u32>,

    /// A resource limit of setrlimit(2): nofile=1024, core=0:unlimited
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = limit)]
    limit: Vec<(Resource, Limit)>,

    /// Give it a socket of papad's as systemd does, at 3, 4, ...: see sd_listen_fds(3)
    #[arg(long, value_name = "SOCKET")]
    listen: Vec<OsString>,

    /// Give it a socket of papad's at its own number: see papactl sockets
    #[arg(long, value_name = "SOCKET")]
    inherit: Vec<OsString>,

    /// Let /bin/sh -c run the command, as one line
    #[arg(long)]
    shell: bool,

    /// Output to keep: bytes, or a number with k, m or g; 0 keeps none
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = OUTPUT)]
    buffer: Option<u64>,

    /// When that is full, drop the oldest, or let the process wait until somebody takes some
    #[arg(long, value_name = "WHAT", default_value = "drop", help_heading = OUTPUT)]
    overflow: Overflow,

    /// Keep its standard output, or send it to /dev/null
    #[arg(long, value_name = "WHERE", default_value = "keep", help_heading = OUTPUT)]
    stdout: Stdout,

    /// Keep its standard error, send it to /dev/null, or to wherever stdout goes
    #[arg(long, value_name = "WHERE", default_value = "keep", help_heading = OUTPUT)]
    stderr: Stderr,

    /// How long after its end output of its children is waited for, at most an hour [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = time::duration, help_heading = OUTPUT)]
    linger: Option<Duration>,
}

const OUTPUT: &str = "What becomes of its output";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Overflow {
    Drop,
    Block,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stdout {
    Keep,
    Null,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stderr {
    Keep,
    Null,
    Stdout,
}

impl Specification {
    /// Whether the process waits when its output is not taken.
    pub(super) fn blocks(&self) -> bool {
        self.overflow == Overflow::Block
    }

    /// What makes the process.
    pub(super) fn builder(
        &self,
        papa: &Papa,
        name: &str,
        command: &[OsString],
    ) -> Result<ProcessBuilder<Papa>> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| Failure::new(Exit::USAGE, "there is no command to run"))?;
        let mut builder = papa.process(name, program).args(args);
        builder = self.environment(builder)?.current_dir(self.directory()?);
        builder = builder.umask(self.umask.unwrap_or_else(own_umask));
        builder = match &self.user {
            Some(user) => builder.user(user.as_bytes()),
            None => as_caller(papa, builder)?,
        };
        if let Some(group) = &self.group {
            builder = builder.group(group.as_bytes());
        }
        for (resource, Limit { soft, hard }) in &self.limit {
            builder = builder.rlimit(*resource, *soft, *hard);
        }
        builder = builder.listen(self.listen.iter().map(|name| name.as_bytes()));
        builder = builder.inherit(self.inherit.iter().map(|name| name.as_bytes()));
        if let Some(bytes) = self.buffer {
            builder = builder.bufsize(bytes);
        }
        if let Some(time) = self.linger {
            builder = builder.linger(time);
        }
        builder = match self.overflow {
            Overflow::Drop => builder.overflow(papa_client::Overflow::Drop),
            Overflow::Block => builder.overflow(papa_client::Overflow::Block),
        };
        builder = match self.stdout {
            Stdout::Keep => builder.stdout(papa_client::Stdout::Keep),
            Stdout::Null => builder.stdout(papa_client::Stdout::Null),
        };
        builder = match self.stderr {
            Stderr::Keep => builder.stderr(papa_client::Stderr::Keep),
            Stderr::Null => builder.stderr(papa_client::Stderr::Null),
            Stderr::Stdout => builder.stderr(papa_client::Stderr::Merge),
        };
        Ok(if self.shell { builder.shell() } else { builder })
    }

    fn environment(&self, mut builder: ProcessBuilder<Papa>) -> Result<ProcessBuilder<Papa>> {
        if self.clean_env {
            builder = builder.env_clear();
        }
        let left_out = environment::left_out(self.user.is_some());
        builder = left_out.iter().fold(builder, ProcessBuilder::env_remove);
        if let Some(user) = self.user.as_deref().filter(|_| !self.clean_env) {
            builder = builder.envs(environment::of_user(user));
        }
        for variable in &self.env {
            let mut parts = variable.as_bytes().splitn(2, |&byte| byte == b'=');
            let name = OsStr::from_bytes(parts.next().unwrap_or_default());
            let value = match parts.next() {
                Some(value) => OsStr::from_bytes(value).to_owned(),
                None => env::var_os(name).ok_or_else(|| not_set(name))?,
            };
            builder = builder.env(name, value);
        }
        Ok(builder)
    }

    /// Where it starts. papad's own directory is another, so the path must be absolute.
    fn directory(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) if dir.is_absolute() => Ok(dir.clone()),
            Some(dir) => Ok(here()?.join(dir)),
            None => here(),
        }
    }
}

/// The working directory by the path that led to it, as a shell names it: through symbolic links,
/// which may lead elsewhere when the process is started again.
fn here() -> Result<PathBuf> {
    let here = env::current_dir().map_err(|error| {
        let what = format!("the current directory is not to be found: {error}");
        Failure::new(Exit::FAILED, what)
            .hint("change to one that is there, with cd, or name one with --dir")
    })?;
    let file = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let is_plain = |path: &Path| {
        let plain = |it| matches!(it, Component::RootDir | Component::Normal(_));
        path.is_absolute() && path.components().all(plain)
    };
    let named = env::var_os("PWD").map(PathBuf::from);
    let named = named.filter(|named| is_plain(named) && file(named) == file(&here));
    Ok(named.unwrap_or(here))
}

fn not_set(name: &OsStr) -> Failure {
    let name = name.display();
    let what = format!("there is no {name} in the environment to pass on");
    Failure::new(Exit::USAGE, what).hint(format!("say --env {name}=VALUE"))
}

/// As who asks for it, where papad could run it as anybody and would as root.
fn as_caller(papa: &Papa, builder: ProcessBuilder<Papa>) -> Result<ProcessBuilder<Papa>> {
    let caller = Uid::effective();
    let is_needed = !caller.is_root() && papa.owner()? == ROOT;
    Ok(if is_needed { builder.uid(caller.as_raw()) } else { builder })
}

/// This process's file mode creation mask. It can only be told by setting it.
fn own_umask() -> u32 {
    let mask = stat::umask(Mode::empty());
    stat::umask(mask);
    mask.bits()
}

fn umask(text: &str) -> Result<u32, String> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= MAX_UMASK);
    mask.ok_or_else(|| "a umask is octal, from 0 to 777".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let size = parse_size(text.as_bytes());
    size.ok_or_else(|| "a size is bytes, or a number with k, m or g".to_owned())
}

fn limit(text: &str) -> Result<(Resource, Limit), String> {
    let (name, values) = text.split_once('=').ok_or("a limit is like nofile=1024")?;
    let resource = Resource::parse(name.as_bytes()).ok_or_else(|| {
        format!("there is no limit of the name {name}; there are nofile, nproc, core, as, ...")
    })?;
    let right = "a limit's value is N, SOFT:HARD or unlimited, the soft one not above the hard one";
    Ok((resource, Limit::parse(values.as_bytes()).ok_or(right)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_umasks_and_sizes_are_read_as_they_are_written_elsewhere() {
        assert_eq!(limit("nofile=1024"), Ok((Resource::Nofile, Limit::both(1024))));
        let core = Limit { soft: 0, hard: Limit::UNLIMITED };
        assert_eq!(limit("core=0:unlimited"), Ok((Resource::Core, core)));
        assert_eq!((umask("027"), size("64k")), (Ok(0o27), Ok(65536)));
        for text in ["nofile", "files=1", "nofile=2:1", "nofile="] {
            assert!(limit(text).is_err(), "{text}");
        }
        for text in ["8", "1000", "", "-1"] {
            assert!(umask(text).is_err(), "{text}");
        }
    }
}
