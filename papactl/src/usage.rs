//! What running processes use, as `/proc` tells: see proc_pid_stat(5).

use std::time::Duration;

use papa_client::ProcessInfo;

use crate::procfs;

/// Clock ticks in a second, where user space is told of them: `USER_HZ`.
const TICKS: u64 = 100;

/// Processor time and memory of one process, without its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time since it was started, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Bytes of memory that are resident.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
}

impl Usage {
    /// What a process uses; `None` if it has ended, or cannot be seen from here.
    pub(crate) fn of(process: &ProcessInfo) -> Option<Self> {
        if !process.is_running() {
            return None;
        }
        parse(&procfs::of(process.pid, "stat")?, &procfs::of(process.pid, "status")?)
    }
}

/// What the files `stat` and `status` of a process say.
fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name stands in parentheses and may itself contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    // A process on its way out has no memory left.
    let kib = resident.and_then(|it| it.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Some(Usage {
        cpu: Duration::from_millis(ticks * 1000 / TICKS),
        memory: kib.unwrap_or(0) * 1024,
        threads: number(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_read_from_the_files_of_a_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 0 0 0 150 50 3 4 20 0 5 0 1050 1000 12\n";
        let usage = parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n").unwrap();
        let cpu = Duration::from_secs(2);
        assert_eq!(usage, Usage { cpu, memory: 2 << 20, threads: 5 });
        assert_eq!(parse(stat, "Name:\ta\n").unwrap().memory, 0);
        assert_eq!(parse("7 (a) R", ""), None);
    }
}
