//! A machine on which IPv6 is off.

use std::fs;

use crate::enable_papad;
use crate::machine::Machine;
use crate::roots::Root;

pub(crate) fn papad_starts_where_ipv6_is_off(root: &Root) {
    let machine = Machine::boot_prepared(root, |system| {
        let settings = system.join("etc/sysctl.d");
        fs::create_dir_all(&settings).unwrap();
        let off = "net.ipv6.conf.all.disable_ipv6=1\nnet.ipv6.conf.lo.disable_ipv6=1\n";
        fs::write(settings.join("no-ipv6.conf"), off).unwrap();
    });
    assert_eq!(machine.run("cat /proc/net/if_inet6"), "");
    enable_papad(&machine);
    machine.run("papactl run p -- sleep 100000");
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    machine.run("papactl stop p");
    assert_eq!(machine.run("systemctl is-system-running"), "running");

    // Whatever else keeps the one socket from being opened, papad does without it.
    machine.run(
        "systemctl stop papad.service papad.socket; \
         mkdir /etc/systemd/system/papad-ipv6.socket.d; \
         printf '[Socket]\\nFreeBind=no\\n' >/etc/systemd/system/papad-ipv6.socket.d/fails.conf; \
         systemctl daemon-reload; systemctl start papad.service",
    );
    assert_eq!(machine.active(), [true, true, false]);
    machine.run("papactl run q -- sleep 100000");
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    machine.run("papactl stop q");
}
