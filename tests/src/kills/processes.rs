//! Processes that are made, listed, killed, removed and watched: each exactly once.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Expected, Patient, Random, watch_to_end};
use crate::{ScratchDir, argument, eventually, field};

/// Makes one of several kinds of process, `name`, and follows it to its end.
pub(super) fn round(patient: &mut Patient, random: &mut Random, scratch: &ScratchDir, name: &str) {
    let started = scratch.join(name);
    match random.below(4) {
        0 => not_a_program(patient, name),
        1 => one_that_is_killed(patient, random, &started, name),
        2 => one_that_is_removed(patient, &started, name),
        _ => one_that_exits(patient, random, &started, name),
    }
    assert_eq!(patient.ask(&format!("list processes {name}")).text, "");
}

/// Each start of the process adds its pid to the file `started`.
fn make(patient: &mut Patient, name: &str, started: &str, script: &str) -> Pid {
    let script = format!("echo $$ >> {started}; {script}");
    let make = format!("make process {name} /bin/sh -c {}", argument(&script));
    let line = patient.ask(&make).text;
    let again = patient.ask(&make).text;
    assert_eq!(without_running(&again), without_running(&line), "made again");
    let listed = patient.ask(&format!("list processes {name}")).text;
    assert_eq!(without_running(&listed), without_running(&line), "listed");
    Pid::from_raw(field(&line, "pid").parse().unwrap())
}

fn without_running(line: &str) -> String {
    line.replace(" running=True", "").replace(" running=False", "")
}

fn wait_until_started(started: &str) {
    let has_written = || fs::read_to_string(started).is_ok_and(|pids| pids.ends_with('\n'));
    eventually("the process has begun", has_written);
}

#[track_caller]
fn assert_started_once(started: &str, pid: Pid) {
    assert_eq!(fs::read_to_string(started).unwrap(), format!("{pid}\n"));
}

fn not_a_program(patient: &mut Patient, name: &str) {
    let reply = patient.ask(&format!("make process {name} /no/such/program")).text;
    assert!(reply.starts_with("Error: Bad command - "), "{reply}");
}

fn one_that_exits(patient: &mut Patient, random: &mut Random, started: &str, name: &str) {
    let code = random.below(256) as i32;
    let pid = make(patient, name, started, &format!("echo out; echo err >&2; exit {code}"));
    watch_to_end(patient, random, name, Expected { out: b"out\n", err: b"err\n", code });
    assert_started_once(started, pid);
}

fn one_that_is_killed(patient: &mut Patient, random: &mut Random, started: &str, name: &str) {
    let pid = make(patient, name, started, "exec /bin/sleep 1000");
    wait_until_started(started);
    let signal = *random.pick(&[Signal::SIGTERM, Signal::SIGKILL]);
    kill(pid, signal).unwrap();
    watch_to_end(patient, random, name, Expected { out: b"", err: b"", code: -(signal as i32) });
    assert_started_once(started, pid);
}

fn one_that_is_removed(patient: &mut Patient, started: &str, name: &str) {
    let pid = make(patient, name, started, "echo out; exec /bin/sleep 1000");
    // It stays on the list until it ends, so this may be asked twice.
    assert_eq!(patient.ask(&format!("remove processes {name}")).text, "");
    wait_until_started(started);
    kill(pid, Signal::SIGKILL).unwrap();
    eventually("a removed process leaves the list when it ends", || {
        patient.ask(&format!("list processes {name}")).text.is_empty()
    });
    assert_started_once(started, pid);
}
