//! Kills while a process is made: it exists and is known, or neither.

use std::fs;

use papad_tests::kills::{Expected, Patient, Random, watch_to_end};
use papad_tests::{Fifo, eventually, is_root, pid_of, procfs, shell};

use crate::armed::Armed;

/// What the process that is made writes, and how it ends.
const EXPECTED: Expected = Expected { out: b"out\n", err: b"err\n", code: 5 };

/// Makes a process that adds its pid to `started` and waits for `gate` before it goes on.
fn make_line(started: &str, gate: &Fifo) -> String {
    let script = "echo $$ >> STARTED; read go < GATE; echo out; echo err >&2; exit 5";
    let script = script.replace("STARTED", started).replace("GATE", gate.path());
    format!("make process p {}", shell(&script))
}

fn killed_before_there_is_a_process(point: &str) {
    let armed = Armed::start();
    let (started, gate) = (armed.scratch.join("started"), Fifo::new(&armed.scratch, "gate"));
    let make = make_line(&started, &gate);
    let before = armed.files();

    let mut session = armed.ask_and_kill_at(point, &make);
    session.ask_expecting("list processes", "");
    session.ask_for_error("watch processes p");
    drop(session);
    armed.expect_files(&before);
    armed.expect_children(&[]);
    assert!(!fs::exists(&started).unwrap(), "it was started without being known");

    let pid = pid_of(&armed.papad.session().ask(&make));
    gate.send_line();
    let mut patient = Patient::new(&armed.papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "p", EXPECTED);
    assert_eq!(fs::read_to_string(&started).unwrap(), format!("{pid}\n"));
    patient.leave();
    armed.expect_files(&before);
    armed.expect_children(&[]);
}

#[test]
fn killed_between_holding_its_descriptors_and_the_journal() {
    killed_before_there_is_a_process("held");
}

#[test]
fn killed_between_the_journal_and_clone() {
    killed_before_there_is_a_process("journaled");
}

fn killed_while_the_child_is_on_its_way(point: &str) {
    let armed = Armed::start();
    let (started, gate) = (armed.scratch.join("started"), Fifo::new(&armed.scratch, "gate"));
    let make = make_line(&started, &gate);
    let before = armed.files();

    let mut session = armed.ask_and_kill_at(point, &make);
    let line = session.ask("list processes");
    let pid = pid_of(&line);
    assert!(line.starts_with(&format!("p pid={pid} running=True started=")), "{line}");
    armed.expect_children(&[pid]);
    eventually("it runs", || fs::read_to_string(&started).is_ok_and(|pids| !pids.is_empty()));
    assert_eq!(procfs::stat(pid).unwrap().comm, "sh");
    session.ask_expecting(&make, &line);
    drop(session);

    gate.send_line();
    let mut patient = Patient::new(&armed.papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "p", EXPECTED);
    assert_eq!(fs::read_to_string(&started).unwrap(), format!("{pid}\n"));
    patient.leave();
    armed.expect_children(&[]);
    armed.expect_files(&before);
}

#[test]
fn killed_by_the_child_before_it_has_recorded_itself() {
    killed_while_the_child_is_on_its_way("cloned");
}

#[test]
fn killed_by_the_child_between_its_record_and_exec() {
    killed_while_the_child_is_on_its_way("recorded");
}

#[test]
fn killed_while_a_child_that_cannot_exec_is_on_its_way() {
    for point in ["held", "journaled", "cloned", "recorded"] {
        for options in ["/no/such/program", "working_dir=/no/such/folder /bin/true"] {
            let armed = Armed::start();
            let before = armed.files();
            let make = format!("make process p {options}");
            let mut session = armed.ask_and_kill_at(point, &make);
            session.ask_expecting("list processes", "");
            session.ask_for_error(&make);
            session.ask_expecting("list processes", "");
            assert_eq!(session.run("/bin/echo other").text(), "other\n", "{point}");
            drop(session);
            armed.expect_children(&[]);
            armed.expect_files(&before);
        }
    }
}

#[test]
fn killed_once_for_each_of_many_processes() {
    let armed = Armed::start();
    let points = ["held", "journaled", "cloned", "recorded"];
    let mut pids = Vec::new();
    for number in 0..20 {
        let make = format!("make process p.{number} /bin/sleep 1000");
        let mut session = armed.ask_and_kill_at(points[number % points.len()], &make);
        pids.push(pid_of(&session.ask(&make)));
        let list = session.ask("list processes");
        assert_eq!(list.lines().count(), pids.len(), "{list}");
    }
    armed.expect_children(&pids);
}

/// Whoever a process is made for may send it signals as soon as it is theirs.
#[test]
fn a_process_that_its_user_stops_before_exec_goes_on() {
    if !is_root("making a process for somebody else") {
        return;
    }
    let armed = Armed::start();
    armed.arm("before-exec");
    let mut session = armed.papad.session();
    let made = session.ask("make process p uid=65534 /bin/sleep 1000");
    assert!(!armed.is_armed("before-exec"));
    let pid = pid_of(&made);
    eventually("its program runs", || procfs::stat(pid).is_some_and(|stat| stat.comm == "sleep"));
}
