//! Starting papad where nobody answers.

use std::env;
use std::error::Error as _;
use std::fs::{File, Metadata, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Uid;

use crate::deadline::Deadline;
use crate::endpoint::{Address, Endpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::papa::Papa;
use crate::start_log::StartLog;
use crate::{sys, user_dirs};

/// How long to wait before it is looked again whether somebody else has started papad: at first,
/// and at last, when each wait has been twice as long as the one before. Of a crowd that waits,
/// each takes time from the one who starts.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// So many bytes of what papad says are enough for an error.
const MAX_SAID: usize = 1024;

/// Connects; where nobody answers, starts papad and connects to that.
///
/// Whoever has the lock starts; everybody else who found nobody waits until there is one who
/// answers, or for the lock. The port, or the path, is what decides in the end: a papad that finds
/// it taken does not start, and its client connects to whoever has it.
pub(crate) fn connect_or_start(endpoint: &Endpoint) -> Result<Papa> {
    let deadline = Deadline::after(endpoint.deadline);
    if let Some(papa) = connect(endpoint, deadline)? {
        return Ok(papa);
    }
    let place = place(endpoint);
    let _lock = match wait_for_turn(endpoint, &place, deadline)? {
        Turn::Ours(lock) => lock,
        Turn::Over(papa) => return Ok(papa),
    };
    if let Some(papa) = connect(endpoint, deadline)? {
        return Ok(papa);
    }
    let started = start(endpoint, &place, deadline);
    match (connect(endpoint, deadline)?, started) {
        (Some(papa), _) => Ok(papa),
        (None, Err(error)) => Err(with_refused_directory(error, endpoint, &place)),
        (None, Ok(())) => Err(not_started("papad was started, and does not answer")),
    }
}

/// `None` if nobody answers.
fn connect(endpoint: &Endpoint, deadline: Deadline) -> Result<Option<Papa>> {
    match Papa::connect_within(endpoint, deadline.left_of(endpoint.deadline)) {
        Ok(papa) => Ok(Some(papa)),
        Err(error) if error.kind() == ErrorKind::NotRunning => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where papad is to be started: the first place that nobody else can make theirs.
fn place(endpoint: &Endpoint) -> Endpoint {
    if !endpoint.is_of_user() {
        return endpoint.clone();
    }
    let mut places = endpoint.candidates().into_iter();
    let place = places.find(|place| place.unix_path().is_none_or(user_dirs::prepare));
    // The last one is a port.
    place.unwrap_or_else(|| endpoint.clone())
}

/// Adds why only the port was left as a place, where that is so: somebody else may have made the
/// directory that is meant for this user.
fn with_refused_directory(error: Error, endpoint: &Endpoint, place: &Endpoint) -> Error {
    let candidates = endpoint.candidates();
    let last = candidates.iter().rev().find_map(Endpoint::unix_path).and_then(Path::parent);
    match last {
        Some(directory) if candidates.len() > 1 && !place.is_unix() && error.source().is_none() => {
            not_started(&format!(
                "{error}; its socket was not made in {}, which is not this user's alone: remove \
                 that, or name a directory in XDG_RUNTIME_DIR",
                directory.display()
            ))
        }
        _ => error,
    }
}

/// What comes of waiting for the lock.
enum Turn {
    /// It is held, by who starts a papad. `None` if there is no place for its file: what lies there
    /// may be somebody else's, who would decide when papad is started.
    Ours(Option<Flock<File>>),
    /// Somebody else has started this one.
    Over(Papa),
}

/// Waits for the lock, or for a papad that answers.
///
/// The file is left where it is: removing it would let a second one in.
fn wait_for_turn(endpoint: &Endpoint, place: &Endpoint, deadline: Deadline) -> Result<Turn> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    // Nor is a FIFO to be waited for until somebody reads it.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let Ok(mut file) = options.open(lock_path(place)) else {
        return Ok(Turn::Ours(None));
    };
    let is_own = |file: &Metadata| file.is_file() && file.uid() == Uid::effective().as_raw();
    if !file.metadata().is_ok_and(|metadata| is_own(&metadata)) {
        return Ok(Turn::Ours(None));
    }
    let mut pause = FIRST_PAUSE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Turn::Ours(Some(lock))),
            Err((returned, Errno::EWOULDBLOCK | Errno::EINTR)) => file = returned,
            Err(_) => return Ok(Turn::Ours(None)),
        }
        if deadline.has_passed() {
            let what = "somebody else has been starting papad for too long";
            return Err(Error::new(ErrorKind::Timeout, what));
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
        if let Some(papa) = connect(endpoint, deadline)? {
            return Ok(Turn::Over(papa));
        }
    }
}

/// Beside a Unix socket, so that all who use that agree on it; for a port in the user's runtime
/// directory, or in `/tmp`.
fn lock_path(endpoint: &Endpoint) -> PathBuf {
    match &endpoint.address {
        Address::Unix(path) => {
            let mut path = path.clone().into_os_string();
            path.push(".lock");
            path.into()
        }
        Address::Tcp(address) => {
            let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
            let directory = runtime.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
            directory.join(format!("papad-{}-{}.lock", Uid::effective(), address.port()))
        }
    }
}

/// Runs `papad --daemonize` and waits until it says that papad answers.
fn start(endpoint: &Endpoint, place: &Endpoint, deadline: Deadline) -> Result<()> {
    let program = program(endpoint);
    let mut command = Command::new(&program);
    command.arg("--daemonize");
    match &place.address {
        Address::Unix(path) => command.arg("-u").arg(path),
        Address::Tcp(address) => command.arg("-p").arg(address.port().to_string()),
    };
    if endpoint.is_of_user() && place.is_unix() {
        // For papa's clients, which know of nothing else.
        command.arg("--try-port").arg(Endpoint::DEFAULT_PORT.to_string());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let log_file = endpoint.log_file();
    let log = log_file.as_deref().and_then(|path| StartLog::open(path, endpoint.is_of_user()));
    if let (Some(_), Some(path)) = (&log, log_file) {
        command.arg("--log-file").arg(std::path::absolute(&path).unwrap_or(path));
    }
    match log.as_ref().and_then(StartLog::duplicate) {
        Some(log) => command.stderr(log),
        None => command.stderr(Stdio::piped()),
    };
    let what = || format!("papad cannot be started ({})", program.display());
    let mut child = command.spawn().map_err(|error| not_started(&what()).because(error))?;
    if !wait(&mut child, deadline) {
        // The daemon itself is another process by now.
        let _ = child.kill();
    }
    let status = match child.wait() {
        // A program that ignores SIGCHLD is not told: see waitpid(2). Connecting will tell.
        Err(error) if error.raw_os_error() == Some(Errno::ECHILD as i32) => return Ok(()),
        status => status.map_err(|error| not_started(&what()).because(error))?,
    };
    if status.success() {
        return Ok(());
    }
    let said = match child.stderr.take() {
        Some(pipe) => said(pipe, deadline),
        None => log.map(|log| log.said(MAX_SAID)).unwrap_or_default(),
    };
    Err(not_started(&match said.trim() {
        "" => format!("{}: {status}", what()),
        said => format!("{}: {status}: {said}", what()),
    }))
}

fn program(endpoint: &Endpoint) -> PathBuf {
    let from_env = || env::var_os("PAPAD_BIN").filter(|path| !path.is_empty()).map(PathBuf::from);
    endpoint.program.clone().or_else(from_env).unwrap_or_else(|| Path::new("papad").into())
}

/// Waits until the child has ended; false if it has not in time.
fn wait(child: &mut Child, deadline: Deadline) -> bool {
    let pidfd = i32::try_from(child.id()).ok().and_then(|pid| sys::pidfd_open(pid).ok());
    pidfd.is_some_and(|pidfd| sys::wait_readable(pidfd, deadline).unwrap_or(false))
}

/// What papad has written before it gave up. Its keeper may end a moment after who started that.
fn said(mut pipe: impl Read + AsFd, deadline: Deadline) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; MAX_SAID];
    while said.len() < MAX_SAID && sys::wait_readable(&pipe, deadline).unwrap_or(false) {
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend_from_slice(buffer.get(..count).unwrap_or_default()),
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn not_started(what: &str) -> Error {
    Error::new(ErrorKind::NotRunning, what)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn the_lock_of_a_unix_socket_lies_beside_it() {
        let path = lock_path(&Endpoint::unix("/run/papad"));
        assert_eq!(path.as_os_str().as_bytes(), b"/run/papad.lock");
    }

    #[test]
    fn a_program_that_is_not_there_is_told_by_its_path() {
        let endpoint = Endpoint::unix("/nonexistent/papad").program("/nonexistent/program");
        let error = connect_or_start(&endpoint).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotRunning);
        assert!(error.to_string().contains("/nonexistent/program"), "{error}");
    }
}
