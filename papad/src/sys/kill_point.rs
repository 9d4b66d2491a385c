//! Places where a test may have papad killed, to show that what follows is recovered.
//!
//! A test build ends the process that comes there, server or keeper, by SIGKILL at the point NAME
//! when the file `$PAPAD_KILL_POINTS/NAME` exists, and removes that file first, so that each arming
//! kills once; a file that says `always` is left there, and so is one that says `crash`, by which it
//! ends by SIGABRT instead. One that says `stop` has it stopped there once. A release has no such
//! code.

/// Ends this process if a test has armed this point.
#[cfg(feature = "kill-points")]
pub(crate) fn kill_point(name: &str) {
    use nix::sys::signal::{Signal, kill};

    let signal = match says(name).as_deref() {
        Some(b"crash") => std::process::abort(),
        Some(b"stop") => Signal::SIGSTOP,
        _ => Signal::SIGKILL,
    };
    if is_armed(name) {
        // To oneself, it cannot fail.
        let _ = kill(nix::unistd::getpid(), signal);
    }
}

/// Ends this process if a test has armed this point.
#[cfg(not(feature = "kill-points"))]
pub(crate) fn kill_point(_name: &str) {}

/// Ends the server here if a test has armed this point for what this concerns: `NAME-WHAT`.
#[cfg(feature = "kill-points")]
pub(crate) fn kill_point_of(name: &str, what: &[u8]) {
    kill_point(&format!("{name}-{}", what.escape_ascii()));
}

/// Ends the server here if a test has armed this point for what this concerns.
#[cfg(not(feature = "kill-points"))]
pub(crate) fn kill_point_of(_name: &str, _what: &[u8]) {}

/// Takes the arming of a point, if there is one.
#[cfg(feature = "kill-points")]
fn is_armed(name: &str) -> bool {
    says(name).is_some_and(|text| text == b"always")
        || path(name).is_some_and(|path| std::fs::remove_file(path).is_ok())
}

/// Where the arming of a point would be.
#[cfg(feature = "kill-points")]
fn path(name: &str) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("PAPAD_KILL_POINTS")?;
    Some(std::path::Path::new(&folder).join(name))
}

/// What the arming of a point says, if there is one.
#[cfg(feature = "kill-points")]
fn says(name: &str) -> Option<Vec<u8>> {
    std::fs::read(path(name)?).ok()
}

/// What a test wants to happen on a child's way to exec.
#[derive(Clone, Copy, Default)]
pub(super) struct Armed {
    /// The server is killed between clone and the child's record.
    pub(super) cloned: bool,
    /// The server is killed between the child's record and exec.
    pub(super) recorded: bool,
    /// The child is stopped before it calls exec.
    pub(super) stopped: bool,
}

/// What is to happen to a child that is made now, or to its server.
#[cfg(feature = "kill-points")]
pub(super) fn armed_for_child() -> Armed {
    SERVER.store(std::process::id() as i32, std::sync::atomic::Ordering::Relaxed);
    let stopped = is_armed("before-exec");
    Armed { cloned: is_armed("cloned"), recorded: is_armed("recorded"), stopped }
}

/// In a release, nothing.
#[cfg(not(feature = "kill-points"))]
pub(super) fn armed_for_child() -> Armed {
    Armed::default()
}

/// The server's pid, for a child that shares its memory and not its pid.
#[cfg(feature = "kill-points")]
static SERVER: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(0);

/// Kills the server from a child that has not called exec.
#[cfg(feature = "kill-points")]
pub(super) fn kill_from_child() {
    let server = nix::unistd::Pid::from_raw(SERVER.load(std::sync::atomic::Ordering::Relaxed));
    let _ = nix::sys::signal::kill(server, nix::sys::signal::SIGKILL);
}

/// No test has armed this point.
#[cfg(not(feature = "kill-points"))]
pub(super) fn kill_from_child() {}
