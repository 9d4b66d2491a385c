//! Telling a bound of the system that was met from what should never happen.

use std::io;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use papa_protocol::exact::Code;

use crate::log;

/// How long to wait before trying again what there was no room for.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(100);

/// Whether an error says that there is no more of something: descriptors, memory, disk, or
/// processes.
pub(crate) fn is_met(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::EMFILE
                | Errno::ENFILE
                | Errno::ENOMEM
                | Errno::ENOSPC
                | Errno::EDQUOT
                | Errno::EFBIG
                | Errno::EAGAIN
        )
    )
}

/// Tries what must be done, however long it takes until there is room for that: to end instead
/// would leave everything to a next server that can do no better. `what` says it once for the log.
pub(crate) fn insist(mut attempt: impl FnMut() -> io::Result<()>, what: impl FnOnce() -> String) {
    let mut what = Some(what);
    while let Err(error) = attempt() {
        if let Some(what) = what.take() {
            log::error!("server", "{}: {error}", what());
        }
        thread::sleep(WAIT_FOR_ROOM);
    }
}

/// What the failure of a request is called that ended in this error.
pub(crate) fn code_of(error: &io::Error) -> Code {
    if is_met(error) { Code::Limit } else { Code::Internal }
}
