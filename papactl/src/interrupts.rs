//! Ctrl-C, and the other signals by which a program is asked to end.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

/// From when this is made on, these signals do not end papactl but make a descriptor readable. What
/// papactl was started to ignore, as by nohup(1), it ignores still.
#[derive(Debug)]
pub(crate) struct Interrupts(UnixStream);

impl Interrupts {
    pub(crate) fn begin() -> io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        let ignored = ignored();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            if ignored & (1 << (signal - 1)) == 0 {
                pipe::register(signal, writer.try_clone()?)?;
            }
        }
        Ok(Self(reader))
    }
}

/// Readable when one of the signals has come.
impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The signals that are ignored, as proc_pid_status(5) tells: the lowest bit is signal 1.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
