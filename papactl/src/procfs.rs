//! What `/proc` tells: see proc(5). What it does not tell, or not to this user, is not known.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Clock ticks in a second, where user space is told of them: `USER_HZ`.
const TICKS: u64 = 100;

/// A socket that listens, as a table of the kernel's has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// An address and port, or a path.
    pub(crate) address: String,
    pub(crate) inode: u64,
}

/// A process, as much of it as everybody may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pid: i32,
    pub(crate) name: String,
    pub(crate) uid: u32,
}

/// A file of a process's, as text.
pub(crate) fn of(pid: i32, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}")).ok()
}

/// All processes, in the order of their pids.
pub(crate) fn processes() -> Vec<Seen> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut all: Vec<Seen> = pids.filter_map(seen).collect();
    all.sort_by_key(|process| process.pid);
    all
}

/// One process, if there is one.
pub(crate) fn seen(pid: i32) -> Option<Seen> {
    let uid = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    Some(Seen { pid, name: of(pid, "comm")?.trim_end().to_owned(), uid })
}

/// How many tasks (threads) a user has.
pub(crate) fn tasks_of(uid: u32) -> u64 {
    let own = processes().into_iter().filter(|process| process.uid == uid);
    own.filter_map(|process| threads(&of(process.pid, "status")?)).sum()
}

fn threads(status: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// How many tasks there are in a control group of version 2, and how many there may be, by the text of
/// `/proc/PID/cgroup`; `None` if there may be any number.
pub(crate) fn tasks_of_group(text: &str) -> Option<(u64, u64)> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let read = |file: &str| -> Option<u64> {
        let text = fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?;
        text.trim().parse().ok()
    };
    Some((read("pids.current")?, read("pids.max")?))
}

/// What the descriptors of a process lead to; empty where this user may not know.
pub(crate) fn open_files(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| String::from_utf8_lossy(link.as_os_str().as_bytes()).into_owned()).collect()
}

/// The processes that have one of these sockets open, as far as this user may know.
pub(crate) fn holders(sockets: &[Listener]) -> Vec<Seen> {
    let is_one = |file: &String| sockets.iter().any(|it| *file == format!("socket:[{}]", it.inode));
    let all = processes().into_iter();
    all.filter(|process| open_files(process.pid).iter().any(is_one)).collect()
}

/// All sockets that listen, over TCP and at paths.
pub(crate) fn listeners() -> Vec<Listener> {
    let read = |table: &str| fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    [tcp_listeners(&read("tcp")), tcp_listeners(&read("tcp6")), unix_listeners(&read("unix"))]
        .concat()
}

/// Those of `/proc/net/tcp` or `tcp6`.
fn tcp_listeners(table: &str) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    let listener = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if *fields.get(3)? != LISTEN {
            return None;
        }
        let (host, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let address = SocketAddr::new(ip(host)?, port).to_string();
        Some(Listener { address, inode: fields.get(9)?.parse().ok()? })
    };
    table.lines().filter_map(listener).collect()
}

/// An address as these tables show it: its bytes by fours, each as a number of this machine's byte
/// order.
fn ip(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match text.len() {
        8 => Some(IpAddr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(bytes))
        }
        _ => None,
    }
}

/// Those of `/proc/net/unix`.
fn unix_listeners(table: &str) -> Vec<Listener> {
    const ACCEPTS: u32 = 1 << 16;
    let listener = |line: &str| {
        // Number, references, protocol, flags, type, state, inode; the path may have spaces. The
        // inode is padded.
        let fields: Vec<&str> = line.split_ascii_whitespace().take(7).collect();
        let flags = u32::from_str_radix(fields.get(3)?, 16).ok()?;
        let inode = fields.get(6)?;
        let (_, path) = line.split_once(&format!(" {inode} "))?;
        let inode = inode.parse().ok()?;
        (flags & ACCEPTS != 0).then(|| Listener { address: path.to_owned(), inode })
    };
    table.lines().filter_map(listener).collect()
}

/// For how long a process has run, by its `stat` and by `/proc/uptime`.
pub(crate) fn age(stat: &str, uptime: &str) -> Option<Duration> {
    // The name stands in parentheses and may itself contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let started: u64 = rest.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    let uptime = Duration::try_from_secs_f64(uptime).ok()?;
    Some(uptime.saturating_sub(Duration::from_millis(started * 1000 / TICKS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_found_in_the_tables() {
        let tcp = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4EEA 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 71 1
   1: 0100007F:4EEA 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 72 1
";
        let one = |address: &str, inode| vec![Listener { address: address.to_owned(), inode }];
        assert_eq!(tcp_listeners(tcp), one("127.0.0.1:20202", 71));
        let tcp6 = "   0: 00000000000000000000000001000000:4EEA \
                    00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 73 1\n";
        assert_eq!(tcp_listeners(tcp6), one("[::1]:20202", 73));
        let unix = "\
Num       RefCount Protocol Flags    Type St Inode Path
ffff0001: 00000002 00000000 00010000 0001 01 74 /run/my papad
ffff0002: 00000003 00000000 00000000 0001 03 75 /run/my papad
ffff0003: 00000003 00000000 00000000 0001 03 76
";
        assert_eq!(unix_listeners(unix), one("/run/my papad", 74));
    }

    #[test]
    fn an_age_is_counted_from_the_boot() {
        let stat = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1050 0 0\n";
        assert_eq!(age(stat, "20.75 3.00\n"), Some(Duration::from_millis(10_250)));
        assert_eq!(age("", "20.75 3.00\n"), None);
    }
}
