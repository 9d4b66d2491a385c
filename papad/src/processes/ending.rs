//! How processes end.

use papa_protocol::exact::End;
use papa_protocol::frame::UNKNOWN_CODE;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this exit status.
    Exited(u8),
    /// By the signal of this number.
    Signaled(u8),
    /// Nobody knows: whoever took its status did not tell.
    Unknown,
}

/// The greatest number of a signal (`signal(7)`).
const LAST_SIGNAL: i32 = 64;

impl Ending {
    /// The ending that is written as this number: see [`Ending::code`].
    pub(crate) fn of_code(code: i32) -> Ending {
        match (u8::try_from(code), u8::try_from(-i64::from(code))) {
            (Ok(status), _) => Ending::Exited(status),
            (_, Ok(signal)) if code >= -LAST_SIGNAL => Ending::Signaled(signal),
            _ => Ending::Unknown,
        }
    }

    /// The ending that wait(2) tells as this status.
    pub(crate) fn of_wait_status(status: i32) -> Ending {
        if libc::WIFEXITED(status) {
            Ending::of_code(libc::WEXITSTATUS(status))
        } else if libc::WIFSIGNALED(status) {
            Ending::of_code(-libc::WTERMSIG(status))
        } else {
            Ending::Unknown
        }
    }

    /// One number for it, as papa 1.0 and the journal have it: the exit status, minus the number
    /// of the signal, or [`UNKNOWN_CODE`].
    pub(crate) fn code(self) -> i32 {
        match self {
            Ending::Exited(status) => i32::from(status),
            Ending::Signaled(signal) => -i32::from(signal),
            Ending::Unknown => UNKNOWN_CODE,
        }
    }
}

/// As protocol 2 tells it.
impl From<Ending> for End {
    fn from(ending: Ending) -> End {
        match ending {
            Ending::Exited(status) => End::Exit(i32::from(status)),
            Ending::Signaled(signal) => End::Signal(i32::from(signal)),
            Ending::Unknown => End::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_read_back_from_its_number() {
        let exits = (0..=u8::MAX).map(Ending::Exited);
        let signals = (1..=64).map(Ending::Signaled);
        for ending in exits.chain(signals).chain([Ending::Unknown]) {
            assert_eq!(Ending::of_code(ending.code()), ending);
        }
    }

    #[test]
    fn a_number_that_no_process_ends_with_is_no_known_ending() {
        for code in [256, i32::MAX, -65, -255, i32::MIN] {
            assert_eq!(Ending::of_code(code), Ending::Unknown, "{code}");
        }
    }

    #[test]
    fn a_wait_status_is_an_exit_or_a_signal() {
        assert_eq!(Ending::of_wait_status(3 << 8), Ending::Exited(3));
        assert_eq!(Ending::of_wait_status(255 << 8), Ending::Exited(255));
        assert_eq!(Ending::of_wait_status(libc::SIGKILL), Ending::Signaled(9));
        // A core was dumped.
        assert_eq!(Ending::of_wait_status(libc::SIGABRT | 0x80), Ending::Signaled(6));
        // Stopped, which is no end.
        assert_eq!(Ending::of_wait_status(0x7f), Ending::Unknown);
    }
}
