//! Kills while a long journal is replaced by a short one.

use std::fs;

use papad_tests::kills::{Expected, Patient, Random, watch_to_end};
use papad_tests::{Fifo, eventually, field, pid_of, procfs, shell};

use crate::armed::Armed;

/// A journal longer than this many bytes is compacted; what is in it here is far less.
const LONG: u64 = 256 * 1024;

/// The lengths of the journals that the keeper holds.
fn journals(armed: &Armed) -> Vec<u64> {
    let keeper = armed.papad.keeper_pid();
    procfs::open_files(keeper)
        .into_iter()
        .filter(|(_, target)| target.contains("papad-journal"))
        .map(|(fd, _)| fs::metadata(format!("/proc/{keeper}/fd/{fd}")).unwrap().len())
        .collect()
}

fn killed_during_compaction(point: &str) {
    let armed = Armed::start();
    let gate = Fifo::new(&armed.scratch, "gate");
    let before = armed.files();
    let mut session = armed.papad.session();
    let script = shell(&format!("echo out; read go < {}; exit 9", gate.path()));
    session.ask(format!("make process p {script}"));
    session.ask("make process ended /bin/true");
    let socket = session.ask("make socket s");
    eventually("one process has ended", || {
        session.ask("list processes ended").contains("running=False")
    });
    let processes = session.ask("list processes");
    drop(session);

    let mut last = String::new();
    let mut number = 0;
    let mut session = armed.kill_at(point, || {
        let mut patient = Patient::new(&armed.papad);
        while armed.is_armed(point) {
            number += 1;
            last = format!("{number} {}.", "x".repeat(2000));
            patient.ask(&format!("set v {last}"));
            patient.ask("set w gone");
            patient.ask("set w");
        }
    });
    // What was last told to be kept is, whether the new journal was in force or not.
    session.ask_expecting("list values", format!("v {last}"));
    session.ask_expecting("list processes", &processes);
    session.ask_expecting("list sockets", &socket);
    // The next command compacts, if that was not done.
    eventually(
        "one short journal is held",
        || matches!(journals(&armed).as_slice(), [length] if *length < LONG),
    );

    // What is in the journal now is enough for the next server, too.
    drop(session);
    armed.papad.kill_server();
    let mut session = armed.papad.session();
    session.ask_expecting("list values", format!("v {last}"));
    session.ask_expecting("list processes", &processes);
    session.ask_expecting("list sockets", &socket);
    armed.expect_children(&[pid_of(processes.lines().last().unwrap())]);
    session.ask_expecting(format!("make socket s port={}", field(&socket, "port")), &socket);
    session.ask_expecting("remove sockets s", "");
    session.ask_expecting("set v", "");
    drop(session);
    gate.send_line();
    let mut patient = Patient::new(&armed.papad);
    let mut random = Random::from_environment();
    let (p, ended) = ((&b"out\n"[..], 9), (&b""[..], 0));
    for (name, (out, code)) in [("p", p), ("ended", ended)] {
        watch_to_end(&mut patient, &mut random, name, Expected { out, err: b"", code });
    }
    patient.leave();
    armed.expect_files(&before);
}

#[test]
fn killed_between_writing_the_new_journal_and_having_it_held() {
    killed_during_compaction("compaction-written");
}

#[test]
fn killed_after_the_new_journal_is_held() {
    killed_during_compaction("compaction-held");
}
