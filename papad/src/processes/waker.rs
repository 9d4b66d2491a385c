//! How a waiting session learns that there is something new.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// A descriptor that becomes readable when woken. Waking twice costs no second system call.
pub(crate) struct Waker {
    fd: EventFd,
    is_awake: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Waker> {
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Waker { fd, is_awake: AtomicBool::new(false) })
    }

    pub(crate) fn wake(&self) {
        if !self.is_awake.swap(true, Ordering::SeqCst) {
            // Apart from a signal, it can only fail when the counter is full: then it is readable.
            while self.fd.write(1) == Err(Errno::EINTR) {}
        }
    }

    /// Makes the next wake count. To be called before looking for what is new.
    pub(crate) fn rearm(&self) {
        // Emptied before the flag falls: a wake in between finds the flag set, and what it stands
        // for is looked for after this. One that has set the flag and not written yet makes the
        // descriptor readable once more than needed.
        while self.fd.read() == Err(Errno::EINTR) {}
        self.is_awake.store(false, Ordering::SeqCst);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
