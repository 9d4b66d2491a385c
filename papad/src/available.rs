//! How much memory there is for papad and what it hosts: the machine's, or what its control group may
//! have where that is less.

use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

/// Where control groups are found (cgroups(7), version 2).
const ROOT: &str = "/sys/fs/cgroup";

/// Bytes, where the machine does not say how many it has.
const UNKNOWN: u64 = 1 << 30;

/// Bytes.
pub(crate) fn memory() -> u64 {
    let group = fs::read_to_string("/proc/self/cgroup").ok();
    let group = group.and_then(|text| least_of_groups(Path::new(ROOT), &text));
    group.map_or_else(machine, |bytes| bytes.min(machine()))
}

fn machine() -> u64 {
    let of = |what| sysconf(what).ok().flatten().and_then(|number| u64::try_from(number).ok());
    let pages = of(SysconfVar::_PHYS_PAGES).zip(of(SysconfVar::PAGE_SIZE));
    pages.map_or(UNKNOWN, |(pages, bytes)| pages.saturating_mul(bytes))
}

/// The least that this process's control group, or any above it, may have: what `proc_pid_cgroup(5)`
/// says is the path to it.
fn least_of_groups(root: &Path, text: &str) -> Option<u64> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // One outside the namespace begins so: what it may have cannot be seen.
    let path: PathBuf =
        Path::new(path).components().filter(|part| part.as_os_str() != "..").collect();
    let bound = |group: &Path| {
        let text = fs::read_to_string(root.join(group).join("memory.max")).ok()?;
        // It says "max" if there is no bound.
        text.trim().parse().ok()
    };
    path.ancestors().filter_map(bound).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_memory() {
        assert!(machine() > 1 << 24);
        assert!(memory() <= machine());
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_counts() {
        let root = std::env::temp_dir().join(format!("papad-available-{}", std::process::id()));
        let group = root.join("a/b");
        fs::create_dir_all(&group).unwrap();
        let least = |text| least_of_groups(&root, text);
        assert_eq!(least("0::/a/b\n"), None);
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(least("0::/a/b\n"), None);
        fs::write(root.join("a/memory.max"), "4096\n").unwrap();
        assert_eq!(least("1:name=systemd:/x\n0::/a/b\n"), Some(4096));
        fs::write(group.join("memory.max"), "8192\n").unwrap();
        assert_eq!(least("0::/a/b\n"), Some(4096));
        fs::write(root.join("memory.max"), "1024\n").unwrap();
        assert_eq!(least("0::/../a\n"), Some(1024));
        assert_eq!(least("1:name=systemd:/a\n"), None);
        fs::remove_dir_all(root).unwrap();
    }
}
