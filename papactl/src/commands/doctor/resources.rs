//! Resource limits that papad was started with: see setrlimit(2).

use crate::finding::{Finding, Verdict};
use crate::procfs;

use super::limits::nearness;

/// Limits that end papad, or break what it does, when they are met: as `/proc/PID/limits` names them,
/// as ulimit(1) and systemd do, and what comes of them.
const HARMFUL: [(&str, &str, &str, &str); 5] = [
    (
        "Max file size",
        "ulimit -f",
        "LimitFSIZE",
        "output, values and its journal are files to the kernel",
    ),
    ("Max cpu time", "ulimit -t", "LimitCPU", "the kernel kills it when the time is over"),
    ("Max address space", "ulimit -v", "LimitAS", "it maps what it keeps of output"),
    ("Max data size", "ulimit -d", "LimitDATA", "its memory grows with what it holds"),
    ("Max realtime timeout", "ulimit -R", "LimitRTTIME", "the kernel may kill it"),
];

/// Sessions and starts of processes need so many at least.
const FEW_TASKS: u64 = 64;

const ROOT: u32 = 0;

/// What is to be said of papad's keeper and server; nothing where this user may not know.
pub(super) fn findings(keeper: i32, server: i32) -> Vec<Finding> {
    let Some(text) = procfs::of(server, "limits").or_else(|| procfs::of(keeper, "limits")) else {
        return Vec::new();
    };
    let mut findings = harmful(&text);
    if let Some(process) = procfs::seen(keeper).filter(|process| process.uid != ROOT) {
        findings.extend(tasks(&text, procfs::tasks_of(process.uid)));
    }
    let group = procfs::of(keeper, "cgroup");
    findings.extend(group.and_then(|group| {
        let (used, allowed) = procfs::tasks_of_group(&group)?;
        Some(near("control group", used, allowed, "TasksMax= of its unit, or pids.max"))
    }));
    if findings.iter().all(Finding::is_ok) {
        return vec![Finding::ok("resources", "no limit is in papad's way")];
    }
    findings.retain(|finding| !finding.is_ok());
    findings
}

/// One for each limit that is set and should not be.
fn harmful(text: &str) -> Vec<Finding> {
    let found = HARMFUL.iter().filter_map(|(name, ulimit, setting, why)| {
        let limit = limit(text, name)?;
        let what = format!("{} is {limit} ({ulimit}): {why}", name.to_ascii_lowercase());
        let advice = format!(
            "start papad without it: \"{ulimit} unlimited\", or {setting}=infinity in its unit; \
             processes may have it as an rlimit of their own"
        );
        Some(Finding::warn("resources", what).advice(advice))
    });
    found.collect()
}

/// The tasks that papad's user has, of those that it may have.
fn tasks(text: &str, used: u64) -> Option<Finding> {
    let allowed = limit(text, "Max processes")?;
    Some(near("user", used, allowed, "ulimit -u, or LimitNPROC= of its unit"))
}

fn near(whose: &str, used: u64, allowed: u64, how: &str) -> Finding {
    let what = format!("{used} of {allowed} tasks of papad's {whose} are in use");
    let is_short = allowed.saturating_sub(used) < FEW_TASKS;
    match nearness(used, allowed) {
        Verdict::Ok if !is_short => Finding::ok("resources", what),
        Verdict::Ok => Finding::warn("resources", what).advice(format!("raise {how}")),
        verdict => {
            Finding { verdict, ..Finding::ok("resources", what) }.advice(format!("raise {how}"))
        }
    }
}

/// The soft limit of this name, unless it is unlimited.
fn limit(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                        Max cpu time              unlimited            unlimited            seconds   \n\
                        Max file size             1024000              unlimited            bytes     \n\
                        Max data size             unlimited            unlimited            bytes     \n\
                        Max processes             1000                 1000                 processes \n\
                        Max address space         unlimited            unlimited            bytes     \n";

    #[test]
    fn a_limit_that_is_in_the_way_is_told_by_its_option() {
        let found = harmful(TEXT);
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("max file size is 1024000 (ulimit -f)"), "{}", found[0]);
        assert!(!found[0].is_ok() && found[0].advice.is_some());
        assert!(harmful("").is_empty());
    }

    #[test]
    fn tasks_that_run_out_are_told_before_there_are_none() {
        let verdict = |used| tasks(TEXT, used).map(|it| it.verdict);
        assert_eq!(verdict(10), Some(Verdict::Ok));
        assert_eq!(verdict(800), Some(Verdict::Warn));
        assert_eq!(verdict(960), Some(Verdict::Bad));
        assert!(tasks("Max processes  unlimited unlimited processes", 10).is_none());
        assert_eq!(near("user", 1, 60, "it").verdict, Verdict::Warn);
    }
}
