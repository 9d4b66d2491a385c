//! A reboot: hosted processes are stopped while what they use is there, and values on disk come
//! back.

use std::fs;
use std::path::Path;

use crate::enable_papad;
use crate::machine::Machine;
use crate::roots::Root;

/// A directory that is mounted, and one that has papad keep values on disk.
fn prepare(system: &Path) {
    let units = system.join("etc/systemd/system");
    fs::create_dir_all(units.join("papad.service.d")).unwrap();
    fs::create_dir_all(system.join("var/backing")).unwrap();
    fs::create_dir_all(system.join("srv/data")).unwrap();
    fs::write(
        units.join("srv-data.mount"),
        "[Mount]\nWhat=/var/backing\nWhere=/srv/data\nType=none\nOptions=bind\n\
         [Install]\nWantedBy=local-fs.target\n",
    )
    .unwrap();
    fs::write(
        units.join("papad.service.d/values.conf"),
        "[Service]\nStateDirectory=papad\nStateDirectoryMode=0700\nExecStart=\n\
         ExecStart=/usr/local/bin/papad --state-dir /var/lib/papad\n",
    )
    .unwrap();
}

pub(crate) fn hosted_processes_end_before_mounts(root: &Root) {
    let mut machine = Machine::boot_prepared(root, prepare);
    machine.run("systemctl enable --now srv-data.mount");
    enable_papad(&machine);
    machine.run("papactl set greeting hello");
    machine.run(
        "papactl run ends -- sh -c \
         'trap \"echo asked to end >/srv/data/log; exit\" TERM; echo ready; while :; do sleep 0.1; done'",
    );
    // Whoever does not end when asked is killed, and holds the shutdown up for no longer.
    machine.run("papactl run stays -- sh -c 'trap \"\" TERM; echo ready; exec sleep 100000'");
    machine.run("for p in ends stays; do until papactl logs $p | grep -q ready; do :; done; done");
    machine.run(
        "mkdir -p /etc/systemd/system/papad-stop-hosted.service.d; \
         printf '[Service]\\nExecStop=\\nExecStop=-/usr/local/bin/papactl stop --group --kill --grace 1s *\\n' \
         >/etc/systemd/system/papad-stop-hosted.service.d/soon.conf; systemctl daemon-reload",
    );

    machine.reboot();
    // It was written to what is mounted there, not to the directory below.
    assert_eq!(machine.run("cat /var/backing/log"), "asked to end");
    assert_eq!(machine.active(), [true; 3]);
    assert_eq!(machine.run("papactl get greeting"), "hello");
    assert_eq!(machine.session().ask("list processes"), "");
    let log = machine.run("journalctl -b -1 -q -o cat -u papad-stop-hosted.service");
    assert!(log.contains("stays has ended (signal KILL)"), "{log}");
}
