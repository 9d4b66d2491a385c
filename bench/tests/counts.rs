//! What is exact, whatever the machine does meanwhile: wake-ups, threads, system calls.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::Exact;
use papad_tests::{Papad, ScratchDir, eventually, skip};

const PROCESSES: usize = 500;
const WATCHERS: usize = 100;

/// papad with that many quiet processes.
fn hosting(count: usize) -> Papad {
    let papad = Papad::start();
    let mut session = Exact::tcp(&papad);
    let requests = (0..count).map(|n| format!("make process quiet.{n} -- /bin/sleep 1000\n"));
    session.send(requests.collect::<String>());
    for _ in 0..count {
        session.reply().unwrap();
    }
    session.leave();
    papad
}

/// papad's threads: whether each sleeps, and how often it was given the processor so far.
fn threads(papad: &Papad) -> BTreeMap<String, (bool, u64)> {
    let mut threads = BTreeMap::new();
    for pid in [papad.keeper_pid(), papad.server_pid()] {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let path = thread.unwrap().path();
            // It may end meanwhile.
            let Ok(status) = fs::read_to_string(path.join("status")) else { continue };
            let counts = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
            let switches = counts.map(|(_, count)| count.trim().parse::<u64>().unwrap()).sum();
            let sleeps = status.lines().any(|line| line.starts_with("State:\tS"));
            threads.insert(path.display().to_string(), (sleeps, switches));
        }
    }
    threads
}

/// Longer than the keeper waits, after a connection, before it looks whether that was accepted.
const LONGER_THAN_A_LOOK: Duration = Duration::from_secs(6);

/// Waits until papad has done what it was asked to. A thread that waits for a processor is not
/// given one for a while, either, and is not at rest.
fn settle(papad: &Papad) -> BTreeMap<String, (bool, u64)> {
    let mut before = threads(papad);
    eventually("papad is at rest", || {
        thread::sleep(LONGER_THAN_A_LOOK);
        let now = threads(papad);
        let is_at_rest = now == before && now.values().all(|(sleeps, _)| *sleeps);
        before = now;
        is_at_rest
    });
    before
}

#[test]
fn papad_sleeps_while_nothing_happens() {
    let papad = hosting(PROCESSES);
    let watchers: Vec<Exact> = (0..WATCHERS)
        .map(|n| {
            let mut session = Exact::tcp(&papad);
            session.ask(format!("watch quiet.{n}"));
            session
        })
        .collect();

    let before = settle(&papad);
    thread::sleep(Duration::from_secs(3));

    assert_eq!(threads(&papad), before, "with {} watchers", watchers.len());
}

#[test]
fn processes_add_no_threads() {
    let (few, many) = (hosting(1), hosting(PROCESSES));
    // The thread of the session that has made them may be on its way out.
    eventually("papad has as many threads", || threads(&many).len() == threads(&few).len());
}

#[test]
fn a_get_takes_three_system_calls() {
    const GETS: u64 = 500;
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        skip("strace", "there is no such program");
        return;
    }
    let papad = Papad::start();
    let mut session = Exact::tcp(&papad);
    session.ask("set key value");
    let scratch = ScratchDir::new();
    let counts = scratch.join("counts");
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-U", "calls,name", "-o", &counts, "-p"])
        .arg(papad.server_pid().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(strace.stderr.take().unwrap()).lines();
    let first = said.next().unwrap().unwrap();
    if !first.contains("attached") {
        skip("strace", &first);
        let _ = strace.wait();
        return;
    }

    for _ in 0..GETS {
        assert_eq!(session.ask("get key"), ["value"]);
    }

    kill(Pid::from_raw(strace.id() as i32), Signal::SIGINT).unwrap();
    said.for_each(drop);
    strace.wait().unwrap();
    let counts = fs::read_to_string(counts).unwrap();
    let calls = counts.lines().filter_map(|line| {
        let (count, name) = line.trim().split_once(' ')?;
        Some((name.trim().to_owned(), count.parse::<u64>().ok()?))
    });
    let mut calls: BTreeMap<String, u64> = calls.collect();
    // What the threads were in when strace came, and are in when it goes.
    calls.retain(|_, count| *count >= GETS / 2);
    calls.remove("total");
    let each: Vec<(&str, u64)> =
        calls.iter().map(|(name, count)| (&name[..], (count + GETS / 2) / GETS)).collect();
    assert_eq!(each, [("poll", 1), ("recvmsg", 1), ("write", 1)], "{counts}");
}
