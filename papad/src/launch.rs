//! From the command line to a keeper and a server, each with a title that ps and top show.
//!
//! The program runs itself again under the title of its part: argv\[0\] says which part it is, and
//! what a part is handed comes as its standard input.

use std::env;
use std::ffi::{CString, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat, umask};
use nix::sys::wait::wait;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, getppid, pipe2, setsid};

use crate::cli::Options;
use crate::sys::{self, Fork};
use crate::{keeper, log, server, systemd};

const KEEPER: &str = "papad: keeper";
const SERVER: &str = "papad: server";

/// The program itself, even if its file was replaced since.
pub(crate) const SELF: &str = "/proc/self/exe";

/// Tells keepers where the program was found. Servers, and so hosted processes, do not see it.
const INSTALLED: &str = "PAPAD_INSTALLED";

/// Does the part that argv\[0\] names: keeper, server, or, under any other name, what was asked for.
pub(crate) fn run(options: &Options) -> ExitCode {
    if options.debug {
        log::say_more();
    }
    let title = env::args_os().next().unwrap_or_default();
    if title.as_bytes().starts_with(SERVER.as_bytes()) {
        set_name(SERVER);
        log::begin(true);
        log::flushed(server::run(options))
    } else if title.as_bytes().starts_with(KEEPER.as_bytes()) {
        set_name(KEEPER);
        log::begin(false);
        log::flushed(keeper::run(options))
    } else {
        // A daemon is nobody's service: what a service manager passed is not for it.
        let passed = if options.daemonize { 0 } else { systemd::count_passed() };
        let started = sys::close_inherited_on_exec(passed).and_then(|()| {
            if let Some(path) = &options.log_file {
                log::check_file(path).map_err(|error| {
                    io::Error::other(format!("the log file {}: {error}", path.display()))
                })?;
            }
            // Ignored, as who runs papad may have it, it would keep the ends of children secret.
            sys::heed(libc::SIGCHLD)?;
            if options.daemonize { daemonize() } else { Err(become_keeper(&starter(), &[])) }
        });
        log::flushed(started.unwrap_or_else(|error| fail(&format!("cannot start: {error}"))))
    }
}

/// Reports what keeps papad from starting, in one line.
pub(crate) fn fail(why: &str) -> ExitCode {
    log::write_plain(&format!("papad: {why}"));
    ExitCode::FAILURE
}

/// Starts a server whose standard input is its end of the link.
pub(crate) fn start_server(program: &Path, link: OwnedFd) -> io::Result<Child> {
    let keeper = env::args_os().next().unwrap_or_default();
    let starter = keeper.as_bytes().strip_prefix(KEEPER.as_bytes()).unwrap_or_default();
    let title = [SERVER.as_bytes(), starter].concat();
    let mut server = Command::new(program);
    server.arg0(OsString::from_vec(title)).args(env::args_os().skip(1));
    server.stdin(Stdio::from(link)).stdout(Stdio::null());
    without(&mut server, &systemd::VARIABLES);
    without(&mut server, &[INSTALLED]);
    server.spawn()
}

/// Starts a keeper whose standard input is what another has left.
pub(crate) fn start_keeper(left: OwnedFd) -> io::Result<Child> {
    let server = env::args_os().next().unwrap_or_default();
    let starter = server.as_bytes().strip_prefix(SERVER.as_bytes()).unwrap_or_default();
    let mut keeper = Command::new(SELF);
    keeper.arg0(OsString::from_vec([KEEPER.as_bytes(), starter].concat()));
    keeper.args(env::args_os().skip(1)).stdin(Stdio::from(left)).stdout(Stdio::null());
    // It is not to be hit by what the terminal sends to whoever started the old one.
    keeper.process_group(0).spawn()
}

/// What the keeper before has left, if there was one: it is the standard input then.
pub(crate) fn take_estate() -> Option<OwnedFd> {
    let stdin = fs::read_link("/proc/self/fd/0").ok()?;
    let is_estate = stdin.as_os_str().as_bytes().starts_with(b"/memfd:papad-estate");
    if is_estate { take_stdin().ok() } else { None }
}

/// Where papad was started from, as its keepers know it. What is there now may be another program.
/// A keeper that a server had to start knows the file alone, and not by which links it was found.
pub(crate) fn installed() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os(INSTALLED) {
        return Ok(PathBuf::from(path));
    }
    let path = fs::read_link(SELF)?.into_os_string().into_vec();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
    Ok(PathBuf::from(OsString::from_vec(path.to_vec())))
}

/// Refuses a script, which its interpreter could not read: what is run is the open file, and by the
/// time the interpreter looks for that, it is closed.
pub(crate) fn refuse_script(program: &File) -> io::Result<()> {
    let mut start = [0; 2];
    let count = program.read_at(&mut start, 0)?;
    if start[..count] == *b"#!" {
        return Err(io::Error::other("it is a script; name the program that the script runs"));
    }
    Ok(())
}

/// Where this program was found, by the name that it was called by.
fn found_at() -> Option<PathBuf> {
    let called = PathBuf::from(env::args_os().next()?);
    let found = if called.as_os_str().as_bytes().contains(&b'/') {
        vec![std::path::absolute(called).ok()?]
    } else {
        let directories = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&directories).map(|directory| directory.join(&called)).collect()
    };
    let file = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let this = file(Path::new(SELF))?;
    found.into_iter().find(|path| path.is_absolute() && file(path) == Some(this))
}

/// What this part was handed as its standard input, which becomes /dev/null.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let handed = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(handed)
}

/// Says to whoever ran `papad --daemonize` that papad answers, and lets go of their terminal.
pub(crate) fn announce_ready(ready: OwnedFd, options: &Options) -> io::Result<()> {
    settle_log(options)?;
    File::from(ready).write_all(b"\n")
}

/// Has lines go where they are to go once papad is ready. Until then, what it was started with as
/// standard error shows what keeps it from starting. A daemon lets go of that, unless it is a file,
/// which has its log from then on, too.
pub(crate) fn settle_log(options: &Options) -> io::Result<()> {
    if let Some(path) = &options.log_file {
        log::to_file(path);
    }
    if options.daemonize && !is_file(io::stderr()) {
        log::flush();
        dup2_stderr(null()?)?;
        log::reopen();
    }
    Ok(())
}

fn without(command: &mut Command, variables: &[&str]) {
    for variable in variables {
        command.env_remove(variable);
    }
}

/// Runs the keeper in place of this process; returns only if that failed.
fn become_keeper(starter: &str, without_variables: &[&str]) -> io::Error {
    let title =
        if starter.is_empty() { KEEPER.to_owned() } else { format!("{KEEPER} from {starter}") };
    let mut keeper = Command::new(SELF);
    without(&mut keeper, without_variables);
    if let Some(path) = found_at() {
        keeper.env(INSTALLED, path);
    }
    keeper.arg0(title).args(env::args_os().skip(1)).exec()
}

/// The name of the program that runs this one.
fn starter() -> String {
    let comm = fs::read_to_string(format!("/proc/{}/comm", getppid()));
    comm.map(|comm| comm.trim_end().to_owned()).unwrap_or_default()
}

/// Leaves the terminal, the session and the working directory, and waits until papad answers.
fn daemonize() -> io::Result<ExitCode> {
    let starter = starter();
    let (reader, ready) = pipe2(OFlag::O_CLOEXEC)?;
    match sys::fork()? {
        Fork::Parent => {
            drop(ready);
            let mut said = Vec::new();
            File::from(reader).read_to_end(&mut said)?;
            if !said.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            // Whoever has started this reads what is wrong on standard error, which the keeper
            // writes before it ends. If it cannot be waited for, it has ended.
            let _ = wait();
            Ok(ExitCode::FAILURE)
        }
        Fork::Child => {
            setsid()?;
            env::set_current_dir("/")?;
            umask(Mode::S_IWGRP | Mode::S_IRWXO);
            dup2_stdin(ready)?;
            dup2_stdout(null()?)?;
            Err(become_keeper(&starter, &systemd::VARIABLES))
        }
    }
}

fn null() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Whether what is logged here is kept, and so of use to a daemon.
fn is_file(output: impl AsFd) -> bool {
    fstat(output).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// The name that top and `ps -o comm` show.
fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // A title is a courtesy: without it papad works as well.
        let _ = prctl::set_name(&name);
    }
}
