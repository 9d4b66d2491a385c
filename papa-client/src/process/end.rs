//! How processes end, and the signals that end them.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::str::FromStr;

use papa_protocol::exact;
use papa_protocol::text::shown;

use crate::error::{Error, Result};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// By itself, with this exit status: 0 to 255.
    Exited(i32),
    /// By this signal.
    Signaled(Signal),
    /// Nobody knows: it ended while papad's keeper, or papad as a whole, had been killed, and the
    /// kernel does not tell.
    Unknown,
}

impl End {
    /// Whether it ended with exit status 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Exited(0)
    }

    /// The exit status, unless a signal ended it.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended it.
    #[must_use]
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Signaled(signal) => Some(signal),
            _ => None,
        }
    }

    /// The same as the standard library says it.
    #[must_use]
    pub fn status(self) -> Option<ExitStatus> {
        match self {
            Self::Exited(code) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
            Self::Signaled(Signal(number)) => Some(ExitStatus::from_raw(number)),
            Self::Unknown => None,
        }
    }

    pub(crate) fn of_status(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(number)) => Self::Signaled(Signal(number)),
            (None, None) => Self::Unknown,
        }
    }
}

impl From<exact::End> for End {
    fn from(end: exact::End) -> Self {
        match end {
            exact::End::Exit(code) => Self::Exited(code),
            exact::End::Signal(number) => Self::Signaled(Signal(number)),
            exact::End::Unknown => Self::Unknown,
        }
    }
}

/// `exit status 1`, `signal TERM`.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown end"),
        }
    }
}

/// A signal: see signal(7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(pub(crate) i32);

macro_rules! signals {
    ($($name:ident = $number:ident, $what:literal;)*) => {
        impl Signal {
            $(#[doc = $what] pub const $name: Self = Self(libc::$number);)*

            const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

signals! {
    HUP = SIGHUP, "The terminal hung up; for daemons by custom: read the configuration again.";
    INT = SIGINT, "Interrupt, as by Ctrl-C.";
    QUIT = SIGQUIT, "Quit, as by Ctrl-\\, with a core dump.";
    ILL = SIGILL, "An instruction that is none.";
    TRAP = SIGTRAP, "A breakpoint.";
    ABRT = SIGABRT, "abort(3).";
    BUS = SIGBUS, "A bad access to memory: there is nothing behind it.";
    FPE = SIGFPE, "A division by zero, or its like.";
    KILL = SIGKILL, "Ends a process for sure; it cannot be caught.";
    USR1 = SIGUSR1, "For the program's own use.";
    SEGV = SIGSEGV, "A bad access to memory.";
    USR2 = SIGUSR2, "For the program's own use.";
    PIPE = SIGPIPE, "A write that nobody reads.";
    ALRM = SIGALRM, "A timer of alarm(2) has ended.";
    TERM = SIGTERM, "Please end.";
    CHLD = SIGCHLD, "A child has ended or stopped.";
    CONT = SIGCONT, "Go on after a stop.";
    STOP = SIGSTOP, "Stops a process until [`Signal::CONT`]; it cannot be caught.";
    TSTP = SIGTSTP, "Stop, as by Ctrl-Z.";
    TTIN = SIGTTIN, "A read from the terminal in the background.";
    TTOU = SIGTTOU, "A write to the terminal in the background.";
    URG = SIGURG, "A socket has urgent data.";
    XCPU = SIGXCPU, "The limit of processor time is reached.";
    XFSZ = SIGXFSZ, "The limit of a file's size is reached.";
    VTALRM = SIGVTALRM, "A timer of processor time has ended.";
    PROF = SIGPROF, "A timer for profiling has ended.";
    WINCH = SIGWINCH, "The window's size has changed; for some daemons: end gracefully.";
    IO = SIGIO, "A descriptor is ready.";
    PWR = SIGPWR, "The power fails.";
    SYS = SIGSYS, "A system call that is none, or is not allowed.";
}

impl Signal {
    /// The greatest number of a signal.
    const MAX: i32 = 64;

    /// The signal of this number; `None` if there is none.
    #[must_use]
    pub const fn new(number: i32) -> Option<Self> {
        match number {
            1..=Self::MAX => Some(Self(number)),
            _ => None,
        }
    }

    /// The signal's number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0
    }

    /// A real-time signal by its name: `RTMIN`, `RTMIN+n`, `RTMAX` or `RTMAX-n`.
    fn real_time(name: &str) -> Option<Self> {
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        // Digits alone: another sign is none of these.
        let distance = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| is_number)
        };
        let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
            (Some(""), _) => first,
            (_, Some("")) => last,
            (Some(rest), _) => first.checked_add(distance(rest.strip_prefix('+')?)?)?,
            (_, Some(rest)) => last.checked_sub(distance(rest.strip_prefix('-')?)?)?,
            (None, None) => return None,
        };
        (first..=last).contains(&number).then_some(Self(number))
    }

    /// All signals that have a name here.
    pub fn named() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(signal, _)| *signal)
    }
}

/// Reads a name, with or without `SIG` and in any case, or a number: `HUP`, `SIGHUP`, `hup`, `1`,
/// `RTMIN+3`, `RTMAX-1`.
impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = Self::NAMES.iter().find(|(_, it)| *it == name).map(|(signal, _)| *signal);
        let numbered = || text.parse().ok().and_then(Self::new);
        named.or_else(|| Self::real_time(name)).or_else(numbered).ok_or_else(|| {
            let (max, shown) = (Self::MAX, shown(text.as_bytes()));
            let right = format!("one like HUP or RTMIN+3, or 1 to {max}");
            Error::usage(format!("A signal must be {right}, not \"{shown}\""))
        })
    }
}

/// The name without `SIG`, or the number of one that has no name here.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(signal, _)| signal == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_time_signals_have_names_that_count_from_both_ends() {
        let number = |name: &str| name.parse::<Signal>().map(Signal::number).ok();
        let (first, last) = (libc::SIGRTMIN(), libc::SIGRTMAX());
        for (name, expected) in [
            ("RTMIN", Some(first)),
            ("SIGRTMIN+3", Some(first + 3)),
            ("rtmax", Some(last)),
            ("RTMAX-1", Some(last - 1)),
            ("RTMIN+0", Some(first)),
            ("RTMAX-99", None),
            ("RTMIN+99", None),
            ("RTMIN+99999999999", None),
            ("RTMIN-1", None),
            ("RTMAX+1", None),
            ("RTMIN+-1", None),
            ("RTMIN+", None),
            ("RTMIN3", None),
        ] {
            assert_eq!(number(name), expected, "{name}");
        }
    }

    #[test]
    fn an_end_is_what_the_standard_library_would_say() {
        for raw in [0, 1 << 8, 255 << 8, 9, 15] {
            let status = ExitStatus::from_raw(raw);
            assert_eq!(End::of_status(status).status(), Some(status));
        }
        // A core was dumped, which an end does not tell.
        assert_eq!(End::of_status(ExitStatus::from_raw(0x86)), End::Signaled(Signal::ABRT));
        assert_eq!(End::Unknown.status(), None);
    }

    #[test]
    fn ends_and_signals_are_shown_by_name() {
        assert_eq!(End::Exited(3).to_string(), "exit status 3");
        assert_eq!(End::Signaled(Signal::KILL).to_string(), "signal KILL");
        assert_eq!(Signal::new(40).unwrap().to_string(), "40");
        assert_eq!((Signal::new(0), Signal::new(65)), (None, None));
    }

    #[test]
    fn a_signal_is_read_by_name_and_by_number() {
        for text in ["HUP", "SIGHUP", "hup", "sighup", "1"] {
            assert_eq!(text.parse::<Signal>().unwrap(), Signal::HUP, "{text}");
        }
        assert_eq!("40".parse::<Signal>().unwrap().number(), 40);
        for text in ["", "SIG", "0", "65", "-1", "+", "HANGUP", "SIGSIGHUP"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
        assert!(Signal::named().all(|it| it.to_string().parse::<Signal>().unwrap() == it));
    }
}
