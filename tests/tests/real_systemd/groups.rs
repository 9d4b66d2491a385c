//! Control groups of hosted processes, below that of papad's unit.

use std::fs;

use crate::machine::Machine;
use crate::roots::Root;
use crate::start_papad;

/// A group's controllers have to be handed down from the top, as systemd does for those it knows.
fn hand_down(machine: &Machine, controller: &str) {
    let group = machine.cgroup();
    let enable = format!("+{controller}");
    for above in [group.parent().expect("it is not the top"), &group] {
        fs::write(above.join("cgroup.subtree_control"), &enable).unwrap();
    }
    machine.run(&format!(
        "for group in . system.slice; do \
         echo {enable} >/sys/fs/cgroup/$group/cgroup.subtree_control; done"
    ));
}

pub(crate) fn a_process_moves_to_a_leaf(root: &Root) {
    const UNIT: &str = "/sys/fs/cgroup/system.slice/papad.service";
    let machine = start_papad(root);
    let top = machine.cgroup().parent().expect("it is not the top").join("cgroup.controllers");
    let controllers = fs::read_to_string(top).unwrap();
    let controller = controllers.split_whitespace().next();
    if let Some(controller) = controller {
        hand_down(&machine, controller);
    }

    // What a runtime of containers does that finds itself in a group of its own.
    let enable = controller.map_or_else(
        || "true".to_owned(),
        |controller| format!("echo +{controller} >{UNIT}/cgroup.subtree_control"),
    );
    machine.run(&format!(
        "papactl run runtime -- sh -c \
         'mkdir {UNIT}/leaf; echo $$ >{UNIT}/leaf/cgroup.procs; {enable}; echo $?; exec sleep 100000'"
    ));
    machine.run("until papactl logs runtime | grep -q '^[0-9]'; do :; done");
    if machine.systemd() >= 254 {
        assert_eq!(machine.run("papactl logs runtime"), "0");
        assert_eq!(machine.run(&format!("cat {UNIT}/cgroup.procs")), "");
        assert!(machine.run(&format!("cat {UNIT}/papad/cgroup.procs")).contains(&machine.keeper()));
    }

    // papad is started all the same, and systemd leaves the group alone.
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    machine
        .run("systemctl restart papad; systemctl reload papad; papactl run next -- sleep 100000");
    machine.run(&format!("grep -q . {UNIT}/leaf/cgroup.procs"));
}
