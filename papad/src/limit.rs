//! Telling a bound of the system that was met from what should never happen.

use std::io;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
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
                | Errno::ENOBUFS
                | Errno::ETOOMANYREFS
        )
    )
}

/// Makes a call again until no signal interrupts it.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// Makes a call again that a signal interrupted, or that the kernel has no memory for at this moment,
/// until it has. Only for calls that have done nothing when they say so.
pub(crate) fn patiently<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call().map_err(|error| (error.raw_os_error().map(Errno::from_raw), error)) {
            Ok(done) => return Ok(done),
            Err((Some(Errno::ENOMEM | Errno::ENOBUFS), _)) => thread::sleep(WAIT_FOR_ROOM),
            Err((Some(Errno::EINTR), _)) => {}
            Err((_, error)) => return Err(error),
        }
    }
}

/// poll(2), for which want of memory is as a signal that interrupts it, but not at once: whoever waits
/// goes on with what time is left.
pub(crate) fn poll(fds: &mut [PollFd], timeout: PollTimeout) -> nix::Result<i32> {
    match nix::poll::poll(fds, timeout) {
        Err(Errno::ENOMEM) => {
            thread::sleep(WAIT_FOR_ROOM);
            Err(Errno::EINTR)
        }
        result => result,
    }
}

/// Whether this can be read, or has ended, within that time.
pub(crate) fn is_readable_within(fd: impl AsFd, patience: Duration) -> io::Result<bool> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
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
    // A keeper that does not respond has a full queue.
    if is_met(error) || error.kind() == io::ErrorKind::TimedOut {
        Code::Limit
    } else {
        Code::Internal
    }
}
