//! Ctrl-C, and the other signals by which a program is asked to end.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// What a signal does for a shell: 128 and its number.
const SIGNALED: i32 = 128;

/// From when this is made on, the first of these signals does not end papactl but makes a descriptor
/// readable; a second one ends it at once. What papactl was started to ignore, as by nohup(1), it
/// ignores still.
#[derive(Debug)]
pub(crate) struct Interrupts {
    stream: UnixStream,
    has_come: Arc<AtomicBool>,
}

impl Interrupts {
    pub(crate) fn begin() -> io::Result<Self> {
        let (stream, writer) = UnixStream::pair()?;
        let has_come = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            // In this order: the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, SIGNALED + signal, Arc::clone(&has_come))?;
            flag::register(signal, Arc::clone(&has_come))?;
            low_level::pipe::register(signal, writer.try_clone()?)?;
        }
        Ok(Self { stream, has_come })
    }

    /// Whether one of the signals has come.
    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Relaxed)
    }
}

/// Readable when one of the signals has come.
impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Whether papactl was started to ignore a signal.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) & (1 << (signal - 1)) != 0
}

/// The signals that are ignored, as proc_pid_status(5) tells: the lowest bit is signal 1.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_a_mask() {
        assert_eq!(ignored("Name:\tsh\nSigIgn:\t0000000000001001\nSigCgt:\tff\n"), 0x1001);
        assert_eq!(ignored("Name:\tsh\n"), 0);
    }
}
