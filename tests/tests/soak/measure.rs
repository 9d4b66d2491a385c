//! What papad's two processes take of the system.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;

use papad_tests::continuity::Subject;
use papad_tests::procfs;

/// What keeper and server have, together where nothing else is said.
#[derive(Debug, Clone, Default)]
pub(crate) struct Measure {
    /// Memory of their own, in KiB.
    keeper: u64,
    server: u64,
    /// Memory of the memory files that they hold, each counted once, in KiB.
    pub(crate) files: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
}

impl Measure {
    /// Looks at a papad at rest.
    pub(crate) fn take(subject: &Subject) -> Self {
        let parts = [subject.papad.keeper_pid(), subject.papad.server_pid()];
        let of = |pid, field| procfs::status_field(pid, field).unwrap_or_default();
        let number = |text: String| text.split(' ').next().unwrap().parse().unwrap_or(0);
        let [keeper, server] = parts.map(|pid| number(of(pid, "RssAnon")));
        let mut files = BTreeMap::new();
        let mut descriptors = 0;
        for pid in parts {
            for (descriptor, target) in procfs::open_files(pid) {
                descriptors += 1;
                if target.starts_with("/memfd:")
                    && let Ok(file) = fs::metadata(format!("/proc/{pid}/fd/{descriptor}"))
                {
                    // In units of 512 bytes (stat(2)).
                    files.insert(file.ino(), file.blocks() / 2);
                }
            }
        }
        let threads = parts.map(|pid| number(of(pid, "Threads"))).iter().sum();
        Self { keeper, server, files: files.into_values().sum(), descriptors, threads }
    }

    /// All of their memory, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        self.own() + self.files
    }

    /// Their memory but for what is in memory files, in KiB.
    pub(crate) fn own(&self) -> u64 {
        self.keeper + self.server
    }

    /// The greater of each.
    pub(crate) fn max(&self, other: &Self) -> Self {
        Self {
            keeper: self.keeper.max(other.keeper),
            server: self.server.max(other.server),
            files: self.files.max(other.files),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { keeper, server, files, descriptors, threads } = self;
        write!(
            f,
            "keeper {keeper} KiB, server {server} KiB, memory files {files} KiB, \
             {descriptors} descriptors, {threads} threads"
        )
    }
}
