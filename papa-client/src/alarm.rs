//! Time that is up, as a descriptor.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// A descriptor that becomes readable when its time has come.
pub(crate) struct Alarm(TimerFd);

impl Alarm {
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map(Self)
    }

    /// Has it become readable after some time, or not at all, until this is called again.
    pub(crate) fn set(&self, after: Option<Duration>) {
        // Neither is ever refused: the time is valid.
        let _ = match after {
            None => self.0.unset(),
            Some(time) => {
                // A timer of no time at all would be one that is switched off.
                let time = TimeSpec::from_duration(time.max(Duration::from_nanos(1)));
                self.0.set(Expiration::OneShot(time), TimerSetTimeFlags::empty())
            }
        };
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
