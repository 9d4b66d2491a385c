//! What `/proc` tells of processes, see proc(5). A process may end between any two looks, so what
//! concerns one process comes as an `Option`.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

/// The fields of `/proc/PID/stat` that tests look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Process id.
    pub pid: i32,
    /// The name, of at most 15 bytes.
    pub comm: String,
    /// `R`, `S`, `T`, `Z`, ...
    pub state: char,
    /// Parent's process id.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// How many threads it has.
    pub threads: u32,
    /// When it started, in clock ticks since boot. With `pid` it names a process for good.
    pub started: u64,
}

impl Stat {
    /// Ended, and not yet waited for. A first thread that has ended while others have not yet is no
    /// end: they have open what it had.
    #[must_use]
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

/// The process `pid`.
#[must_use]
pub fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself contain any character.
    let (before, rest) = text.rsplit_once(')')?;
    let comm = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        pid,
        comm,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Every process there is.
#[must_use]
pub fn processes() -> Vec<Stat> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// What each thread of `pid` does: a line with its name, its state, where in the kernel it waits,
/// and the system call, as far as this user may see that.
#[must_use]
pub fn threads(pid: i32) -> String {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return String::new();
    };
    let line = |task: fs::DirEntry| {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest.get(..1).unwrap_or(""));
        let (comm, wchan, call) = (read("comm"), read("wchan"), read("syscall"));
        let (comm, wchan, call) = (comm.trim(), wchan.trim(), call.trim());
        format!("{pid} {comm}: {state} {wchan} {call}\n")
    };
    tasks.flatten().map(line).collect()
}

/// The processes whose parent is `pid`.
#[must_use]
pub fn children(pid: i32) -> Vec<Stat> {
    processes().into_iter().filter(|process| process.parent == pid).collect()
}

/// The value of one line of `/proc/PID/status`, such as `SigIgn` or `Groups`.
#[must_use]
pub fn status_field(pid: i32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name == field).then(|| value.trim().to_owned())
    })
}

/// The open descriptors of `pid`, each with what it leads to: `/dev/null`, `pipe:[123]`, ...
#[must_use]
pub fn open_files(pid: i32) -> BTreeMap<i32, String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            Some((number, target.to_string_lossy().into_owned()))
        })
        .collect()
}

/// A limit of `pid` as `/proc/PID/limits` shows it: soft and hard, `unlimited` or a number.
/// `name` is the kernel's, such as `Max open files`.
#[must_use]
pub fn limit(pid: i32, name: &str) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let mut fields = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

/// The inodes of the TCP sockets that listen on `port` of 127.0.0.1, from `/proc/net/tcp`. Somebody
/// else may have that port of another address.
#[must_use]
pub fn tcp_listeners(port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    tcp_sockets(port, LISTEN)
}

/// Whether somebody has a connection from this port of 127.0.0.1 that neither end has closed.
#[must_use]
pub fn is_connected_from(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    !tcp_sockets(port, ESTABLISHED).is_empty()
}

/// The inodes of the TCP sockets at this port of 127.0.0.1 and in this state.
fn tcp_sockets(port: u16, state: &str) -> Vec<u64> {
    // An address is shown as the number that its bytes are in memory.
    let loopback = format!("{:08X}", u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets()));
    fs::read_to_string("/proc/net/tcp")
        .unwrap()
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local_address, local_port) = fields.get(1)?.split_once(':')?;
            let same_port = u16::from_str_radix(local_port, 16).ok()? == port;
            let is_one = local_address == loopback && same_port && *fields.get(3)? == state;
            is_one.then(|| fields.get(9)?.parse().ok()).flatten()
        })
        .collect()
}
