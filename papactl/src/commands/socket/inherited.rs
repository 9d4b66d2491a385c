//! Descriptors that papactl was started with.

use std::env;
use std::os::fd::{OwnedFd, RawFd};
use std::process;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The first number that is passed: see `sd_listen_fds(3)`.
const FIRST: RawFd = 3;

/// What was passed by the rules of `sd_listen_fds(3)`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Inherited {
    count: usize,
    /// Of the first ones, if names were passed.
    names: Vec<String>,
}

impl Inherited {
    pub(super) fn from_env() -> Self {
        Self::of(process::id(), |name| env::var(name).ok())
    }

    /// What these variables say to the process `pid`; nothing if they are for another one.
    fn of(pid: u32, variable: impl Fn(&str) -> Option<String>) -> Self {
        if variable("LISTEN_PID").and_then(|it| it.parse().ok()) != Some(pid) {
            return Self::default();
        }
        let count = variable("LISTEN_FDS").and_then(|it| it.parse().ok()).unwrap_or(0);
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        Self { count, names: names.split(':').map(str::to_owned).collect() }
    }

    /// The number of the one of this name, or else of the only one.
    pub(super) fn pick(&self, name: &str) -> Result<RawFd> {
        let named = self.names.iter().take(self.count).position(|it| it == name);
        let index = match (named, self.count) {
            (Some(index), _) => index,
            (None, 1) => 0,
            (None, count) => {
                let what = match count {
                    0 => "no descriptor was passed".to_owned(),
                    _ => format!("of the {count} descriptors that were passed none is {name}"),
                };
                let hint = "say which one it is with --fd";
                return Err(Failure::new(Exit::USAGE, what).hint(hint));
            }
        };
        let index = RawFd::try_from(index).unwrap_or(RawFd::MAX - FIRST);
        Ok(FIRST + index)
    }
}

/// A duplicate of a descriptor of this process. It is fetched through a pidfd, as that of any
/// process could be: so nothing has to be promised about what else uses the number.
pub(super) fn duplicate(number: RawFd) -> Result<OwnedFd> {
    let fetch = || {
        let this = pidfd_open(getpid(), PidfdFlags::empty())?;
        pidfd_getfd(this, number, PidfdGetfdFlags::empty())
    };
    fetch().map_err(|errno| {
        let what = format!("descriptor {number} cannot be had: {errno}");
        Failure::new(Exit::USAGE, what).hint(format!("start papactl with it, as with {number}<&0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(pid: &str, count: &str, names: Option<&str>) -> Inherited {
        Inherited::of(7, |name| match name {
            "LISTEN_PID" => Some(pid.to_owned()),
            "LISTEN_FDS" => Some(count.to_owned()),
            _ => names.map(str::to_owned),
        })
    }

    #[test]
    fn the_one_of_the_name_is_picked_or_the_only_one() {
        let two = inherited("7", "2", Some("http:https"));
        assert_eq!((two.pick("http").unwrap(), two.pick("https").unwrap()), (3, 4));
        assert_eq!(two.pick("web").unwrap_err().exit(), Exit::USAGE);
        assert_eq!(inherited("7", "1", Some("http")).pick("web").unwrap(), 3);
        assert_eq!(inherited("7", "1", None).pick("web").unwrap(), 3);
        // A name beyond what was passed names nothing.
        assert!(inherited("7", "1", Some("a:b")).pick("b").is_ok_and(|number| number == 3));
    }

    #[test]
    fn what_is_for_another_process_is_not_taken() {
        for inherited in [inherited("8", "1", None), inherited("7", "x", None)] {
            assert!(inherited.pick("web").is_err());
        }
    }
}
