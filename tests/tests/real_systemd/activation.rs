//! papad.socket and papad-ipv6.socket.

use crate::hosted::Hosted;
use crate::machine::Machine;
use crate::roots::Root;
use crate::start_papad;

pub(crate) fn a_connection_starts_papad(root: &Root) {
    for endpoint in ["/run/papad.sock", "tcp://127.0.0.1:20202", "tcp://[::1]:20202"] {
        let machine = Machine::boot(root);
        machine.run("systemctl enable --now papad.socket papad-ipv6.socket");
        assert_eq!(machine.active(), [false, true, true]);
        assert_eq!(machine.run("stat -c '%a %U' /run/papad.sock"), "600 root");
        machine.run(&format!("papactl --endpoint {endpoint} set greeting hello"));
        assert_eq!(machine.active(), [true; 3]);
        let stored = machine.run("papactl -e /run/papad.sock get greeting");
        assert_eq!(stored, "hello");
    }
}

pub(crate) fn papad_outlives_its_socket_units(root: &Root) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, 10);
    let mut session = machine.session();
    machine.run("systemctl stop papad.socket");
    assert_eq!(machine.active(), [true, false, false]);
    session.ask_expecting("get greeting", "hello");
    assert_eq!(machine.run("papactl get greeting"), "hello");

    // The next papad has them again.
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    assert_eq!(machine.active(), [true; 3]);
    hosted.check(&machine, "a stop of the socket units");
}
