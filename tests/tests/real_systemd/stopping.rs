//! `systemctl stop` and `systemctl kill`, as docs/systemd.md tells of them.

use papad_tests::eventually;

use crate::hosted::Hosted;
use crate::machine::Machine;
use crate::roots::Root;
use crate::start_papad;

/// The pids of the processes that are named, in the order of the names.
fn pid(machine: &Machine, name: &str) -> String {
    papad_tests::pid_of(&machine.session().ask(format!("list processes {name}"))).to_string()
}

pub(crate) fn a_stop_leaves_processes_and_no_store(root: &Root) {
    let machine = start_papad(root);
    machine.run("papactl run p -- sleep 100000; papactl set greeting hello");
    let p = pid(&machine, "p");

    // The socket units start it again as soon as somebody connects.
    let warning = machine.run("systemctl stop papad.service");
    assert!(warning.contains("papad.socket"), "{warning}");
    assert_eq!(machine.active(), [false, true, true]);
    machine.run_failing("papactl get greeting");
    assert_eq!(machine.active(), [true; 3]);
    machine.run(&format!("kill -0 {p}"));
    let mut session = machine.session();
    session.ask_expecting("list processes", "");

    machine.run("systemctl stop papad.service papad.socket");
    assert_eq!(machine.active(), [false; 3]);
    session.expect_closed();
    machine.run_failing("papactl ps");
    machine.run_failing("test -e /run/papad.sock");
    machine.run(&format!("kill -0 {p}"));
    assert_eq!(machine.property("papad.service", "NFileDescriptorStore"), "0");
    machine.run("systemctl start papad.service");
    assert_eq!(machine.active(), [true; 3]);
    assert_eq!(machine.session().ask("list processes"), "");

    // With what it hosts.
    machine.run("papactl run q -- sleep 100000");
    let q = pid(&machine, "q");
    machine.run("systemctl stop papad-stop-hosted.service papad.service papad.socket");
    machine.run_failing(&format!("kill -0 {q}"));
}

pub(crate) fn a_kill_reaches_whom_it_names(root: &Root) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, 10);
    for signal in ["TERM", "INT", "KILL", "ABRT"] {
        let kill = format!("systemctl kill --kill-whom=main --signal={signal} papad");
        machine.replace_papad(&kill);
        hosted.check(&machine, &kill);
    }
    // Without that, hosted processes get it, too: they belong to the unit.
    let p = pid(&machine, "p2");
    machine.replace_papad("systemctl kill papad");
    machine.run(&format!("while kill -0 {p} 2>/dev/null; do :; done"));
    eventually("papad has seen that they have ended", || {
        let mut session = machine.session();
        !session.ask("list processes").contains("running=True")
    });
    assert_eq!(machine.run("papactl get greeting"), "hello");
}
