//! Whether this version can take over from the one that runs, found out without changing anything.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use super::replay::Replayed;
use crate::journal;
use crate::link::Held;
use crate::ring::Ring;

/// How often the journal is read that is being written meanwhile.
const READINGS: u32 = 5;

/// Reads all that is held as a recovery would; says what keeps this version from taking over.
///
/// The server that runs could not read `skipped` records itself. One that it is writing may be read
/// in part; more, if it writes them while they are read, and others the next time.
pub(super) fn rehearse(mut held: HashMap<Held, OwnedFd>, skipped: u64) -> Result<(), String> {
    let (_, journal) = super::take_journal(&mut held).ok_or("there is no journal")?;
    let mut unread = u64::MAX;
    for _ in 0..READINGS {
        let mut replayed = Replayed::default();
        let read = journal::replay(&journal, |verb, fields| replayed.apply(verb, fields));
        unread = read.map_err(|error| format!("the journal cannot be read: {error}"))?;
        if unread <= skipped + 1 {
            break;
        }
    }
    if unread > skipped + 1 {
        return Err(format!("{unread} records of the journal cannot be read by this version"));
    }
    for (name, fd) in &held {
        if let Held::Ring(_) = name {
            Ring::check(fd.as_fd()).map_err(|error| format!("{name} cannot be read: {error}"))?;
        }
    }
    Ok(())
}
