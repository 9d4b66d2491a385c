//! Whether lines go to systemd's journal, which has a time and a priority for each of them itself
//! (sd-daemon(3)).

use std::env;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::fstat;

use super::Level;

/// What systemd sets: the device and inode of the stream to the journal, in decimal.
const STREAM: &str = "JOURNAL_STREAM";

static IS_STDERR: AtomicBool = AtomicBool::new(false);

/// Finds out whether standard error is that stream. A process may have inherited the variable and
/// have another standard error.
pub(super) fn look() {
    let stream = env::var(STREAM).ok();
    let is_stderr = stream.is_some() && stream == of_stderr();
    IS_STDERR.store(is_stderr, Ordering::Relaxed);
}

fn of_stderr() -> Option<String> {
    let stat = fstat(io::stderr()).ok()?;
    Some(format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Whether standard error is the journal's stream.
pub(super) fn is_stderr() -> bool {
    IS_STDERR.load(Ordering::Relaxed)
}

/// What a line begins with to have a priority of syslog(3) in the journal.
pub(super) fn prefix(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug => "<7>",
    }
}
