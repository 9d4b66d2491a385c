//! What a process has open.

use crate::procfs;

/// What kind each open descriptor of a process is, sorted: `socket`, `pipe`, `/dev/null`,
/// `/memfd:NAME`, ... Two looks at a process that has lost and gained nothing are equal.
#[must_use]
pub fn kinds_of_files(pid: i32) -> Vec<String> {
    let kind = |target: String| match target.split_once(':') {
        Some((kind, _)) if !target.starts_with('/') => kind.to_owned(),
        _ => target,
    };
    let mut kinds: Vec<String> = procfs::open_files(pid).into_values().map(kind).collect();
    kinds.sort();
    kinds
}
