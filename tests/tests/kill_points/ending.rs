//! Kills between the record of a process's end and everything that follows from it.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::kills::{Expected, Patient, Random, watch_to_end};
use papad_tests::{Fifo, eventually, pid_of, shell};

use crate::armed::Armed;

fn watch(armed: &Armed, name: &str, out: &str, code: i32) {
    let expected = Expected { out: out.as_bytes(), err: b"", code };
    let mut patient = Patient::new(&armed.papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), name, expected);
    patient.leave();
}

#[test]
fn killed_after_the_end_is_recorded() {
    let armed = Armed::start();
    let gate = Fifo::new(&armed.scratch, "gate");
    let before = armed.files();
    let script = shell(&format!("echo out; read go < {}; exit 7", gate.path()));
    let line = armed.papad.session().ask(format!("make process p {script}"));

    let mut session = armed.kill_at("exit-journaled", || gate.send_line());
    session.ask_expecting("list processes", line.replace("running=True", "running=False"));
    drop(session);
    armed.expect_children(&[]);
    watch(&armed, "p", "out\n", 7);
    armed.papad.session().ask_expecting("list processes", "");
    armed.expect_files(&before);
}

#[test]
fn killed_at_the_end_of_each_of_several_processes() {
    const COUNT: i32 = 10;
    let armed = Armed::start();
    // One for each: whoever begins to read first would have the first line.
    let gate = |code: i32| Fifo::new(&armed.scratch, &format!("gate.{code}"));
    let gates: Vec<Fifo> = (0..COUNT).map(gate).collect();
    let before = armed.files();
    let mut session = armed.papad.session();
    let mut pids = Vec::new();
    for (code, gate) in gates.iter().enumerate() {
        let script = shell(&format!("read go < {}; exit {code}", gate.path()));
        pids.push(pid_of(&session.ask(format!("make process p.{code} {script}"))));
    }
    drop(session);
    for (number, (pid, gate)) in pids.iter().zip(&gates).enumerate() {
        drop(armed.kill_at("exit-journaled", || {
            let pid = Pid::from_raw(*pid);
            // Half of them end by a signal.
            if number % 2 == 0 { kill(pid, Signal::SIGTERM).unwrap() } else { gate.send_line() }
        }));
    }
    armed.expect_children(&[]);
    let mut session = armed.papad.session();
    let ended = session.ask("list processes");
    assert_eq!(ended.matches("running=False").count(), COUNT as usize, "{ended}");
    let mut codes: Vec<i32> = Vec::new();
    session.watch("p.*", COUNT as usize);
    for (name, recording) in session.watch_on() {
        let code = recording.code.unwrap();
        assert!(code == -15 || name == format!("p.{code}"), "{name} has ended with {code}");
        codes.push(code);
    }
    assert_eq!(codes.iter().filter(|code| **code == -15).count(), COUNT as usize / 2);
    drop(session);
    armed.expect_files(&before);
}

#[test]
fn killed_after_the_end_of_a_removed_process_is_recorded() {
    let armed = Armed::start();
    let before = armed.files();
    let mut session = armed.papad.session();
    let pid = pid_of(&session.ask("make process p /bin/sleep 1000"));
    session.ask_expecting("remove processes p", "");
    drop(session);
    let mut session = armed.kill_at("exit-journaled", || {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    });
    eventually("it has left the list", || session.ask("list processes").is_empty());
    drop(session);
    armed.expect_children(&[]);
    armed.expect_files(&before);
}

#[test]
fn killed_after_the_end_of_a_process_whose_descendant_writes_on() {
    let armed = Armed::start();
    let (gate, done) = (Fifo::new(&armed.scratch, "gate"), Fifo::new(&armed.scratch, "done"));
    let before = armed.files();
    let script = format!(
        "(read go < {0}; echo late; echo $? > {1}) & echo out; echo said > {1}; read go < {0}",
        gate.path(),
        done.path()
    );
    let line = armed.papad.session().ask(format!("make process p {}", shell(&script)));
    assert_eq!(done.read_line(), "said");
    drop(armed.kill_at("exit-journaled", || {
        kill(Pid::from_raw(pid_of(&line)), Signal::SIGTERM).unwrap();
    }));
    watch(&armed, "p", "out\n", -15);
    armed.papad.session().ask_expecting("list processes", "");
    // papad reads on without keeping, so that the descendant is neither held up nor killed, and
    // that, too, outlives a kill.
    let server = armed.papad.kill_server();
    drop(armed.papad.session());
    assert_ne!(armed.papad.server_pid(), server);
    gate.send_line();
    assert_eq!(done.read_line(), "0");
    armed.expect_children(&[]);
    let keeper = |files: &[Vec<String>; 2]| files[0].clone();
    eventually("the keeper lets go of the pipes", || keeper(&armed.files()) == keeper(&before));
}
