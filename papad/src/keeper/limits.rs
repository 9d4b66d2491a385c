//! How many descriptors papad may have, and how long its files may be.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::Uid;

/// Descriptors that the keeper may have open beyond the server's limit: the server, not the
/// keeper, is to be the one that meets it and answers with an error.
const RESERVED_DESCRIPTORS: u64 = 64;

/// One more for so many that papad may have: carriers in systemd's store have two ends for some
/// thousands of descriptors, and twice as many while another keeper's are emptied.
const RESERVED_ONE_IN: u64 = 1024;

/// The most descriptors papad asks for, where it may (`nr_open`'s usual value).
const WANTED_DESCRIPTORS: u64 = 1 << 20;

/// Asks for as many descriptors as papad may have; returns the limits it was started with.
pub(super) fn raise_descriptor_limit() -> (u64, u64) {
    let resource = Resource::RLIMIT_NOFILE;
    let (soft, hard) = getrlimit(resource).unwrap_or((1024, 1024));
    let allowed = if Uid::effective().is_root() { hard.max(WANTED_DESCRIPTORS) } else { hard };
    // Fewer descriptors mean fewer processes, not another papad.
    if setrlimit(resource, allowed, allowed).is_err() {
        let _ = setrlimit(resource, hard, hard);
    }
    (soft, hard)
}

/// Lets papad's files be as long as they may: its memory files are files, too. Returns the limits it
/// was started with if that has changed them.
pub(super) fn lift_file_size_limit() -> Option<(u64, u64)> {
    let resource = Resource::RLIMIT_FSIZE;
    let before @ (soft, hard) = getrlimit(resource).ok()?;
    if soft == RLIM_INFINITY {
        return None;
    }
    // To go beyond the hard limit takes CAP_SYS_RESOURCE.
    let lifted = setrlimit(resource, RLIM_INFINITY, RLIM_INFINITY)
        .or_else(|_| if soft < hard { setrlimit(resource, hard, hard) } else { Err(Errno::EPERM) });
    lifted.is_ok().then_some(before)
}

/// The limit at which the server answers with an error while the keeper still has descriptors.
pub(crate) fn leave_room_for_keeper() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, without_keepers(soft), hard)?;
    Ok(())
}

fn without_keepers(limit: u64) -> u64 {
    let reserved = RESERVED_DESCRIPTORS + limit / RESERVED_ONE_IN;
    if limit > 2 * reserved { limit - reserved } else { limit }
}

/// The server's limit on descriptors, without what it may have for a while by a [`Reserve`].
pub(crate) fn lasting_descriptor_limit() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    soft.min(without_keepers(hard))
}

/// The few descriptors beyond its limit that a server may have to hand over with, for as long as
/// this lives.
pub(crate) struct Reserve {
    soft: u64,
    hard: u64,
}

impl Reserve {
    pub(crate) fn take() -> Reserve {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
        // Without it, what is lacking is told when it is met.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft + RESERVED_DESCRIPTORS), hard);
        Reserve { soft, hard }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard);
    }
}
