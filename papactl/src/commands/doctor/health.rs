//! What papad itself tells of how it is.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use papa_client::{Overflow, ProcessInfo, Status};

use super::limits::{self, nearness};
use crate::finding::{Finding, Verdict};
use crate::procfs;
use crate::shape::{self, Limit};
use crate::text;
use crate::time;

/// For so long the end of a server is worth a look.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);

/// So many names are told; of more, how many.
const MOST_NAMES: usize = 5;

/// Everything that can be said from these.
pub(crate) fn findings(status: &Status, processes: &[ProcessInfo]) -> Vec<Finding> {
    let is_there = |pid| procfs::seen(pid).is_some();
    let outputs: Vec<Output> = processes.iter().map(Output::of).collect();
    let mut findings = vec![
        pids(status.pid, status.server, is_there),
        restarts(status.starts, &status.last_end, served(status.server)),
        records(status.skipped, status.aside),
        descriptors(status.descriptors, status.descriptors_allowed),
    ];
    findings.extend(limits::findings(&Limit::all(status)));
    findings.extend([lost(&outputs), blocked(&outputs)]);
    findings.extend(memory(status.output_dropped, status.output_waiting));
    findings
}

/// For how long a server has run.
fn served(server: i32) -> Option<Duration> {
    procfs::age(&procfs::of(server, "stat")?, &fs::read_to_string("/proc/uptime").ok()?)
}

/// Whether papad's two processes can be seen from here.
fn pids(keeper: i32, server: i32, is_there: impl Fn(i32) -> bool) -> Finding {
    let hidden: Vec<String> = [("keeper", keeper), ("server", server)]
        .into_iter()
        .filter(|(_, pid)| !is_there(*pid))
        .map(|(what, pid)| format!("{what} (pid {pid})"))
        .collect();
    if hidden.is_empty() {
        return Finding::ok("pids", format!("the keeper is pid {keeper}, the server {server}"));
    }
    let what = format!("there is no {} here", hidden.join(" and no "));
    Finding::warn("pids", what).advice(
        "papad may be in another pid namespace, a container: what is looked up by pid is not to \
         be trusted; run papactl in there",
    )
}

/// Whether a server has ended that should not have, by what papad calls `starts` and `last_end`.
fn restarts(starts: u64, last_end: &str, served: Option<Duration>) -> Finding {
    let how = match last_end.split_once('-') {
        None if last_end == "none" => {
            return Finding::ok("restarts", "its first server runs still");
        }
        // It has handed over.
        Some(("exit", "0")) => {
            return Finding::ok("restarts", format!("its server was started {starts} times"));
        }
        Some(("exit", code)) => format!("ended with exit status {code}"),
        Some(("signal", number)) => {
            let signal = number.parse().ok().and_then(|it: i32| Signal::try_from(it).ok());
            let signal = signal.map_or_else(|| format!("signal {number}"), |it| it.to_string());
            format!("was ended by {signal}")
        }
        _ => "ended, and nobody knows how".to_owned(),
    };
    let ago = served.map(|time| format!(" {} ago", time::short(time))).unwrap_or_default();
    let what = format!("the server before this one {how}{ago}; it was started {starts} times");
    if served.is_some_and(|time| time > RECENT) {
        return Finding::ok("restarts", what);
    }
    Finding::warn("restarts", what).advice("\"papactl log\" may show why")
}

/// Whether papad holds everything that it was given.
fn records(skipped: u64, aside: u64) -> Finding {
    let what = match (skipped, aside) {
        (0, 0) => return Finding::ok("records", "everything that is recorded can be read"),
        (skipped, 0) => format!("{skipped} records of the journal could not be read"),
        (0, aside) => {
            format!("{aside} records or buffers are left out, since servers died of them")
        }
        (skipped, aside) => format!(
            "{skipped} records of the journal could not be read, and {aside} are left out, since \
             servers died of them"
        ),
    };
    Finding::bad("records", what).advice("papad's log names them: make again what is missing")
}

/// How near the end of descriptors is.
fn descriptors(used: u64, allowed: u64) -> Finding {
    let what = format!("{used} of {allowed} descriptors are in use");
    match nearness(used, allowed) {
        Verdict::Ok => Finding::ok("descriptors", what),
        verdict => Finding { verdict, ..Finding::ok("descriptors", what) }.advice(
            "start papad with a higher limit (LimitNOFILE= of the unit, or ulimit -n); a process \
             with recorded output takes three",
        ),
    }
}

/// How it is with a process's output.
#[derive(Debug)]
struct Output {
    name: String,
    lost: u64,
    unread: u64,
    buffer: u64,
    blocks: bool,
    is_running: bool,
    watchers: u64,
    /// Whether somebody has taken some of it: it is collected, and what is lost is missed.
    is_collected: bool,
}

impl Output {
    fn of(info: &ProcessInfo) -> Self {
        Self {
            name: info.name.to_string(),
            lost: info.lost,
            unread: shape::unread(info),
            buffer: info.bufsize,
            blocks: info.overflow == Overflow::Block,
            is_running: info.is_running(),
            watchers: info.watchers,
            // What is gone was taken or lost.
            is_collected: info.first > info.lost,
        }
    }

    /// Whether it waits to write, and nobody is there who could go on reading.
    fn is_stuck(&self) -> bool {
        self.blocks && self.is_running && self.watchers == 0 && self.unread >= self.buffer
    }
}

/// Whether output was pushed out that somebody should have had. Of a process whose output nobody
/// ever takes, the last of it is kept, which is what the buffer is for.
fn lost(outputs: &[Output]) -> Finding {
    let (losers, others): (Vec<&Output>, Vec<&Output>) =
        outputs.iter().filter(|it| it.lost > 0).partition(|it| it.is_collected);
    if let [_, ..] = losers[..] {
        let bytes = losers.iter().map(|it| it.lost).sum();
        let what =
            format!("{} of {} was lost before anybody read it", text::size(bytes), list(&losers));
        return Finding::warn("output", what)
            .advice("read it more often, or give the process a larger buffer or overflow=block");
    }
    if others.is_empty() {
        return Finding::ok("output", "none was lost");
    }
    Finding::ok("output", format!("nobody takes that of {}: the last of it is kept", list(&others)))
}

/// Whether somebody waits for a reader who does not come.
fn blocked(outputs: &[Output]) -> Finding {
    let stuck: Vec<&Output> = outputs.iter().filter(|it| it.is_stuck()).collect();
    if stuck.is_empty() {
        return Finding::ok("blocked", "no process waits to be read");
    }
    let what = format!("{} cannot write: the buffer is full, and nobody watches", list(&stuck));
    Finding::bad("blocked", what)
        .advice(format!("\"papactl logs --take {}\" reads and makes room", stuck[0].name))
}

/// Whether all output takes as much memory as it may.
fn memory(dropped: u64, waiting: u64) -> Option<Finding> {
    let what = match (dropped, waiting) {
        (0, 0) => return None,
        (dropped, 0) => format!(
            "{} of unread output were dropped, since all output took more memory than it may",
            text::size(dropped)
        ),
        (_, waiting) => {
            format!("{waiting} processes wait to write until all output takes less memory")
        }
    };
    let finding = if waiting > 0 { Finding::bad } else { Finding::warn };
    Some(finding("output-memory", what).advice(
        "read what processes write (\"papactl top\" shows who keeps most), or start papad with a \
         greater --output-memory",
    ))
}

/// Some names, and how many more there are.
fn list(outputs: &[&Output]) -> String {
    let names: Vec<&str> = outputs.iter().take(MOST_NAMES).map(|it| it.name.as_str()).collect();
    match outputs.len().saturating_sub(MOST_NAMES) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_processes_are_looked_for() {
        assert!(pids(7, 8, |_| true).is_ok());
        let finding = pids(7, 8, |pid| pid == 7);
        assert_eq!(
            (finding.verdict, finding.what.as_str()),
            (Verdict::Warn, "there is no server (pid 8) here")
        );
    }

    #[test]
    fn a_server_that_ended_badly_is_worth_a_look_for_a_day() {
        let hour = Some(Duration::from_secs(3600));
        assert!(restarts(1, "none", hour).is_ok());
        assert!(restarts(2, "exit-0", hour).is_ok());
        let finding = restarts(2, "signal-11", hour);
        assert_eq!(
            (finding.verdict, finding.what.as_str()),
            (
                Verdict::Warn,
                "the server before this one was ended by SIGSEGV 1h00m ago; it was started 2 times"
            )
        );
        for end in ["exit-1", "unknown", "signal-64"] {
            assert_eq!(restarts(2, end, None).verdict, Verdict::Warn, "{end}");
            assert!(restarts(2, end, Some(2 * RECENT)).is_ok(), "{end}");
        }
    }

    #[test]
    fn what_could_not_be_read_is_bad() {
        assert!(records(0, 0).is_ok());
        for (skipped, aside) in [(1, 0), (0, 1), (1, 1)] {
            assert_eq!(records(skipped, aside).verdict, Verdict::Bad);
        }
    }

    #[test]
    fn descriptors_that_run_out_are_told_with_what_to_do() {
        let finding = descriptors(80, 100);
        assert_eq!(
            (finding.verdict, finding.what.as_str(), finding.advice.is_some()),
            (Verdict::Warn, "80 of 100 descriptors are in use", true)
        );
        assert_eq!(descriptors(79, 100).advice, None);
    }

    fn output(name: &str, lost: u64, unread: u64, blocks: bool, watchers: u64) -> Output {
        let name = name.to_owned();
        let is_collected = true;
        Output {
            name,
            lost,
            unread,
            buffer: 4096,
            blocks,
            is_running: true,
            watchers,
            is_collected,
        }
    }

    #[test]
    fn lost_output_is_told_with_the_names() {
        assert!(lost(&[output("a", 0, 4096, false, 0)]).is_ok());
        let outputs: Vec<Output> =
            ["a", "b", "c", "d", "e", "f", "g"].map(|name| output(name, 1, 0, false, 0)).into();
        let finding = lost(&outputs);
        assert_eq!(
            (finding.verdict, finding.what.as_str()),
            (Verdict::Warn, "7 of a, b, c, d, e and 2 more was lost before anybody read it")
        );
    }

    #[test]
    fn output_that_nobody_ever_takes_needs_no_attention() {
        let never = Output { is_collected: false, ..output("a", 7, 4096, false, 0) };
        let finding = lost(&[never]);
        assert!(finding.is_ok());
        assert_eq!(finding.what, "nobody takes that of a: the last of it is kept");
    }

    #[test]
    fn output_that_takes_too_much_memory_is_told() {
        assert!(memory(0, 0).is_none());
        assert_eq!(memory(4096, 0).unwrap().verdict, Verdict::Warn);
        let finding = memory(4096, 2).unwrap();
        assert_eq!(
            (finding.verdict, finding.what.as_str()),
            (Verdict::Bad, "2 processes wait to write until all output takes less memory")
        );
    }

    #[test]
    fn who_waits_for_a_reader_is_stuck_only_if_nobody_watches() {
        for (unread, blocks, watchers, is_ok) in [
            (4096, true, 0, false),
            (4095, true, 0, true),
            (4096, false, 0, true),
            (4096, true, 1, true),
        ] {
            let outputs = [output("a", 0, unread, blocks, watchers)];
            assert_eq!(blocked(&outputs).is_ok(), is_ok, "{outputs:?}");
        }
    }
}
