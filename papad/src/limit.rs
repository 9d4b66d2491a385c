//! Telling a bound of the system that was met from what should never happen.

use std::io;

use nix::errno::Errno;
use papa_protocol::exact::Code;

/// What the failure of a request is called that ended in this error.
pub(crate) fn code_of(error: &io::Error) -> Code {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(
            Errno::EMFILE
            | Errno::ENFILE
            | Errno::ENOMEM
            | Errno::ENOSPC
            | Errno::EDQUOT
            | Errno::EFBIG,
        ) => Code::Limit,
        _ => Code::Internal,
    }
}
