//! Whom the kernel kills when memory runs out: the process with the highest score, to which
//! everyone may add (`proc_pid_oom_score_adj(5)`).

use std::fs;
use std::io;

use crate::log;

/// Where a process reads and writes what is added to its own score, from -1000 to 1000.
const FILE: &str = "/proc/self/oom_score_adj";

/// What papad asks for: nearly everything else goes first. At -1000 it could not be killed even if
/// it were the cause.
const WANTED: i32 = -900;

/// How far anyone may go down who was not started below that. Less needs `CAP_SYS_RESOURCE`.
const ALLOWED_TO_ALL: i32 = 0;

/// Makes papad one of the last to be killed, as far as it may. Returns what it was started with if
/// that has changed: hosted processes get it back.
pub(crate) fn lower_score() -> Option<i32> {
    let lowered = started_with().and_then(|before| {
        for wanted in [WANTED, ALLOWED_TO_ALL].into_iter().filter(|&wanted| wanted < before) {
            match fs::write(FILE, wanted.to_string()) {
                Ok(()) => return Ok(Some(before)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    });
    lowered.unwrap_or_else(|error| {
        log::debug!("keeper", "the score for want of memory stays as it is: {error}");
        None
    })
}

fn started_with() -> io::Result<i32> {
    let text = fs::read_to_string(FILE)?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
