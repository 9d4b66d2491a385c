//! Telling a bound of the system that was met from what should never happen.

use std::io;

use nix::errno::Errno;
use papa_protocol::exact::Code;

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

/// What the failure of a request is called that ended in this error.
pub(crate) fn code_of(error: &io::Error) -> Code {
    if is_met(error) { Code::Limit } else { Code::Internal }
}
