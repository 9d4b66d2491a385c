//! Servers that die one after the other: papad is not given up, nor anything that it holds.

use std::fs;

use papad_tests::exact::{Exact, number_of, script, wait_for_keeper};
use papad_tests::kills::{Expected, Patient, Random, watch_to_end};
use papad_tests::{Fifo, ScratchDir, eventually, pid_of, procfs, shell};

use crate::armed::Armed;

#[test]
fn servers_that_die_when_they_are_ready_are_started_with_growing_pauses_and_never_given_up() {
    let armed = Armed::start();
    let gate = Fifo::new(&armed.scratch, "gate");
    let script = shell(&format!("echo before; read go < {}; echo after; exit 3", gate.path()));
    let line = armed.papad.session().ask(format!("make process p {script}"));
    armed.arm_to_crash("ready");
    armed.papad.kill_server();
    // The first ones come at once, for a second; then there are pauses, and they grow.
    armed.papad.wait_for_log("the server ended by signal 6; starting it again in 40ms");
    gate.send_line();
    armed.disarm("ready");
    let line_after = armed.papad.session().ask("list processes p");
    assert_eq!(pid_of(&line_after), pid_of(&line));
    let expected = Expected { out: b"before\nafter\n", err: b"", code: 3 };
    let mut patient = Patient::new(&armed.papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "p", expected);
}

/// Has every server die at `point` from now on, and waits until one answers all the same, with
/// the line on papad of its `status`.
fn die_until_set_aside(armed: &Armed, point: &str) -> String {
    armed.arm_for_good(point);
    armed.papad.kill_server();
    let mut exact = Exact::tcp(&armed.papad);
    armed.papad.wait_for_log("set aside, since servers died of it");
    let deaths = armed.papad.log().matches("the server ended by signal 9").count();
    // The one that was killed from here, and three that died of it.
    assert_eq!(deaths, 4, "{}", armed.papad.log());
    exact.ask("status").remove(0)
}

#[test]
fn a_record_that_kills_servers_is_set_aside_and_everything_else_lives() {
    let armed = Armed::start();
    let mut exact = Exact::tcp(&armed.papad);
    exact.ask("set before 1");
    exact.ask("set poison 1");
    exact.ask("set after 1");
    let process = exact.ask_line(format!("make process p {}", script("echo out; sleep 1000")));
    let socket = exact.ask_line("make socket s");
    wait_for_keeper(&mut exact);
    exact.leave();
    let before = armed.files();

    let status = die_until_set_aside(&armed, "replay-poison");
    assert_eq!((number_of(&status, "aside"), number_of(&status, "skipped")), (1, 0));
    armed.papad.wait_for_log("set aside, since servers died of it: 1 set poison 1");
    let mut exact = Exact::tcp(&armed.papad);
    assert_eq!(exact.ask("list values"), ["name=after value=1", "name=before value=1"]);
    assert_eq!(exact.ask_line("list sockets"), socket);
    let list = exact.ask_line("list processes");
    assert_eq!(number_of(&list, "pid"), number_of(&process, "pid"));
    drop(exact);
    armed.expect_files(&before);

    // The next server leaves it alone, too, and so does one after compaction.
    armed.papad.kill_server();
    let mut exact = Exact::tcp(&armed.papad);
    for number in 0..200 {
        exact.ask(format!("set long \"{number} {}\"", "x".repeat(2000)));
    }
    let status = exact.ask("status").remove(0);
    assert!(number_of(&status, "journal") < 256 * 1024, "{status}");
    armed.papad.kill_server();
    let mut exact = Exact::tcp(&armed.papad);
    assert_eq!(number_of(&exact.ask("status")[0], "aside"), 1);
    assert_eq!(number_of(&exact.ask("status")[0], "skipped"), 0);
    exact.ask_for("not-found", "get poison");
    exact.ask("get after");
    // It may be set again. That is another record.
    armed.disarm("replay-poison");
    exact.ask("set poison 2 if=absent");
    armed.papad.kill_server();
    assert_eq!(Exact::tcp(&armed.papad).ask("get poison"), ["2"]);
}

#[test]
fn a_process_whose_record_is_set_aside_runs_on_and_its_output_is_read() {
    let armed = Armed::start();
    let (gate, done) = (Fifo::new(&armed.scratch, "gate"), armed.scratch.join("done"));
    let mut session = armed.papad.session();
    let lines = "i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i + 1)); done";
    let line = shell(&format!("read go < {}; {lines}; echo > {done}", gate.path()));
    let pid = pid_of(&session.ask(format!("make process poison {line}")));
    session.ask("make process other /bin/sleep 1000");
    drop(session);

    let status = die_until_set_aside(&armed, "replay-process-poison");
    assert_eq!(number_of(&status, "aside"), 1);
    let mut session = armed.papad.session();
    assert!(session.ask("list processes").starts_with("other pid="));
    assert!(procfs::stat(pid).is_some());
    // Without a reader its pipe would be full, or kill it.
    gate.send_line();
    eventually("it gets to its end", || fs::exists(&done).unwrap());
    eventually("it is reaped", || procfs::stat(pid).is_none());
}

#[test]
fn a_buffer_that_kills_servers_is_set_aside_and_its_process_stays() {
    let armed = Armed::start();
    let gate = Fifo::new(&armed.scratch, "gate");
    let mut session = armed.papad.session();
    for name in ["first", "poison", "last"] {
        let script = shell(&format!("echo {name}; read go < {}; exit 4", gate.path()));
        session.ask(format!("make process {name} {script}"));
    }
    drop(session);

    let status = die_until_set_aside(&armed, "ring-poison");
    assert_eq!(number_of(&status, "aside"), 1);
    armed.papad.wait_for_log("set aside, since servers died of it: ring 2");
    let mut patient = Patient::new(&armed.papad);
    let mut random = Random::from_environment();
    (0..3).for_each(|_| gate.send_line());
    for (name, out) in [("first", &b"first\n"[..]), ("poison", b""), ("last", b"last\n")] {
        watch_to_end(&mut patient, &mut random, name, Expected { out, err: b"", code: 4 });
    }
}

#[test]
fn a_value_on_disk_that_kills_servers_is_set_aside_too() {
    let scratch = ScratchDir::new();
    let args = ["--state-dir", &scratch.join("state")];
    let armed = Armed::start_with(ScratchDir::new(), &args);
    let mut session = armed.papad.session();
    session.ask_expecting("set a 1", "");
    session.ask_expecting("set poison 1", "");
    drop(session);
    // Both the journal and the disk have it.
    let status = die_until_set_aside(&armed, "replay-poison");
    assert_eq!(number_of(&status, "aside"), 1);
    armed.papad.session().ask_expecting("list values", "a 1");
    armed.disarm("replay-poison");
    armed.papad.session().ask_expecting("set poison 2", "");

    // From nothing, there is the disk alone.
    let Armed { papad, scratch: own, .. } = armed;
    drop(papad);
    let armed = Armed::start_armed(own, &args, "replay-poison");
    armed.papad.session().ask_expecting("list values", "a 1");
    assert_eq!(number_of(&Exact::tcp(&armed.papad).ask("status")[0], "aside"), 1);
}
