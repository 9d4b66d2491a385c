//! The rows of README's table "What is kept" that are about systemd.

use papad_tests::eventually;

use crate::hosted::Hosted;
use crate::machine::Machine;
use crate::roots::Root;
use crate::start_papad;

pub(crate) fn with_processes(root: &Root, count: usize) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, count);

    machine.run(
        "papactl logs -f writer >/tmp/seen & \
         until grep -q written /tmp/seen; do :; done; kill -9 $!",
    );
    hosted.check(&machine, "the kill of a manager");

    kill_server(&machine);
    hosted.check(&machine, "the kill of the server");

    let mut session = machine.session();
    machine.replace_papad("kill -9 $(systemctl show -P MainPID papad)");
    session.expect_closed();
    hosted.check(&machine, "the kill of the keeper");

    let mut session = machine.session();
    let both = format!("kill -9 {} {}", machine.server(), machine.keeper());
    machine.replace_papad(&both);
    session.expect_closed();
    hosted.check(&machine, "the kill of both");

    machine.run("systemctl restart papad");
    hosted.check(&machine, "a restart");

    machine.run("systemctl daemon-reexec");
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    hosted.check(&machine, "a kill when systemd was started anew");

    let (mut session, keeper) = (machine.session(), machine.keeper());
    machine.run("systemctl reload papad");
    session.ask_expecting("get greeting", "hello");
    assert_eq!(machine.keeper(), keeper);
    hosted.check(&machine, "an upgrade");
}

fn kill_server(machine: &Machine) {
    let mut session = machine.session();
    let server = machine.server();
    machine.run(&format!("kill -9 {server}"));
    session.expect_closed();
    eventually("there is another server", || machine.server() != server);
}
