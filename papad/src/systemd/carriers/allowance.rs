//! How many descriptors papad may have in carriers.
//!
//! The kernel counts what is in flight for each user, and lets a process send no more (ETOOMANYREFS)
//! when its user has more than that process's soft limit on descriptors. Capabilities of the first
//! user namespace lift that.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

/// So many are left for what keeper, server and clients send each other, and for passes.
const HEADROOM: u64 = 512;

/// `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE`, as bits.
const LIFTING: u64 = 1 << 21 | 1 << 24;

/// The most descriptors of processes that carriers may have together.
pub(super) fn allowance() -> usize {
    if is_unlimited() {
        return usize::MAX;
    }
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    usize::try_from(leaving_headroom(soft)).unwrap_or(usize::MAX)
}

fn leaving_headroom(soft: u64) -> u64 {
    soft - HEADROOM.min(soft / 2)
}

fn is_unlimited() -> bool {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    has_lifting(&read("/proc/self/status")) && is_first_namespace(&read("/proc/self/uid_map"))
}

fn has_lifting(status: &str) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.unwrap_or_default() & LIFTING != 0
}

/// The first user namespace has all users under their own numbers.
fn is_first_namespace(uid_map: &str) -> bool {
    uid_map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_lift_the_limit_in_the_first_namespace_alone() {
        assert!(has_lifting("Name:\tpapad\nCapEff:\t000001ffffffffff\n"));
        assert!(!has_lifting("Name:\tpapad\nCapEff:\t0000000000000000\n"));
        assert!(!has_lifting(""));
        assert!(is_first_namespace("         0          0 4294967295\n"));
        assert!(!is_first_namespace("         0     100000      65536\n"));
    }

    #[test]
    fn some_are_left_for_messages() {
        assert_eq!(leaving_headroom(1 << 20), (1 << 20) - 512);
        assert_eq!(leaving_headroom(300), 150);
    }
}
