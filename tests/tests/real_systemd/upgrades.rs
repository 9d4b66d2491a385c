//! `systemctl reload` upgrades papad, waits for that, and knows how it went.

use papad_tests::eventually;

use crate::hosted::Hosted;
use crate::machine::Machine;
use crate::roots::Root;
use crate::start_papad;

pub(crate) fn a_reload_waits_and_knows(root: &Root) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, 10);
    let mut session = machine.session();
    let (keeper, server) = (machine.keeper(), machine.server());

    for (program, reason) in [
        ("printf '#!/bin/sh\\nexit 1\\n' >/tmp/papad", "not upgraded"),
        ("echo no program >/tmp/papad", "not upgraded"),
    ] {
        machine.run("test -e /root/good || cp /usr/local/bin/papad /root/good");
        machine.run(&format!("{program}; install -m 755 /tmp/papad /usr/local/bin/"));
        machine.run_failing("systemctl reload papad");
        let log = machine.journal("-n 10");
        assert!(log.contains(reason), "{log}");
        assert_eq!(machine.active(), [true; 3]);
        assert_eq!((machine.keeper(), machine.server()), (keeper.clone(), server.clone()));
    }
    machine.run("rm /usr/local/bin/papad");
    machine.run_failing("systemctl reload papad");
    assert_eq!(machine.server(), server);

    machine.run("install -m 755 /root/good /usr/local/bin/papad");
    machine.run("systemctl reload papad");
    // It came back when the new version served, and not before.
    assert_ne!(machine.server(), server);
    assert_eq!(machine.keeper(), keeper);

    // The new version ends at once: the old one is put back.
    machine.run(&format!("kill -9 {}", machine.server()));
    hosted.check(&machine, "the kill of a new version");
    session.expect_closed();
    wait_for_upgrade(&machine);
    assert_eq!(machine.keeper(), keeper);
    hosted.check(&machine, "all of it");
}

/// Upgrades again, as soon as the one before is over.
fn wait_for_upgrade(machine: &Machine) {
    eventually("the upgrade before is over", || {
        let (status, _) = machine.try_run("systemctl reload papad");
        status == 0
    });
}
