//! Descriptors that systemd passes at the start: those of a socket unit, and what its store has.

use std::env;
use std::os::fd::OwnedFd;
use std::process;
use std::str::FromStr;

use crate::{log, sys};

pub(super) const PID: &str = "LISTEN_PID";
pub(super) const COUNT: &str = "LISTEN_FDS";
pub(super) const NAMES: &str = "LISTEN_FDNAMES";

/// How many descriptors were passed to this very process. They are numbered from 3 on, without a
/// gap, and stay open when it runs another program.
pub(crate) fn count() -> u32 {
    let number = |variable| env::var(variable).ok().and_then(|text| u32::from_str(&text).ok());
    match number(PID) {
        Some(pid) if pid == process::id() => number(COUNT).unwrap_or(0),
        _ => 0,
    }
}

/// Takes what was passed, each with its name. One that came without a name has an empty one.
pub(crate) fn take() -> Vec<(String, OwnedFd)> {
    let taken = sys::take_inherited(count());
    let fds = taken.unwrap_or_else(|error| {
        log::error!("keeper", "what systemd passed cannot be taken: {error}");
        Vec::new()
    });
    let names = env::var(NAMES).unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    let passed = names.zip(fds).collect();
    // This process may run another keeper, which is handed all of it in another way.
    sys::forget_variables(&[PID, COUNT, NAMES]);
    passed
}
