//! Which process has a socket open, from proc(5). Those of other users are not seen.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A process that has a socket open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) pid: i32,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Who listens at this address, or at all addresses.
pub(crate) fn of_port(address: SocketAddr) -> Option<Owner> {
    const LISTEN: &str = "0A";
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let suffix = format!(":{:04X}", address.port());
    let inodes = inodes(table, |columns| {
        let [_, local, _, state, .., inode] = columns.get(..10)? else { return None };
        (local.ends_with(&suffix) && *state == LISTEN).then_some(*inode)
    });
    find(&inodes, |_| true)
}

/// A papad that listens on a Unix socket that was bound to this path, whether its file is still there
/// or not. One in another container, for whom the path means another file, is none.
pub(crate) fn of_papads_path(path: &Path) -> Option<Owner> {
    const LISTENING: &str = "00010000";
    let path = String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned();
    let inodes = inodes("/proc/net/unix", |columns| {
        let [_, _, _, flags, _, _, inode, its_path @ ..] = columns else { return None };
        (*flags == LISTENING && its_path.join(" ") == path).then_some(*inode)
    });
    let place = |process: &str| {
        let link = |name: &str| fs::read_link(format!("/proc/{process}/{name}")).ok();
        (link("ns/mnt"), link("root"))
    };
    let own = place("self");
    find(&inodes, |owner| owner.name.starts_with("papad") && place(&owner.pid.to_string()) == own)
}

/// The inodes that the lines of a table have.
fn inodes(table: &str, inode: impl for<'a> Fn(&[&'a str]) -> Option<&'a str>) -> Vec<String> {
    let table = fs::read(table).unwrap_or_default();
    let table = String::from_utf8_lossy(&table);
    let found = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        inode(&columns).map(str::to_owned)
    });
    found.collect()
}

/// A process that has one of these sockets open.
fn find(inodes: &[String], is_meant: impl Fn(&Owner) -> bool) -> Option<Owner> {
    if inodes.is_empty() {
        return None;
    }
    let mut processes: Vec<i32> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect();
    // papad's keeper is older than its server.
    processes.sort_unstable();
    processes.into_iter().find_map(|pid| {
        let mut fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        let is_among = fds.any(|fd| {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|it| it.strip_suffix(']'));
            inode.is_some_and(|inode| inodes.iter().any(|it| it == inode))
        });
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|_| is_among)?;
        Some(Owner { name: name.trim_end().to_owned(), pid }).filter(&is_meant)
    })
}
