//! What papad.service says, and what it is for.

use papad_tests::eventually;

use crate::hosted::Hosted;
use crate::roots::Root;
use crate::start_papad;

pub(crate) fn systemd_finds_no_fault_with_the_units(root: &Root) {
    let machine = start_papad(root);
    let found = machine.run(
        "systemd-analyze verify /etc/systemd/system/papad*.service /etc/systemd/system/papad*.socket",
    );
    // Those that came with 254; older ones pass over them.
    let newer =
        ["DelegateSubgroup", "FileDescriptorStorePreserve", "RestartMaxDelaySec", "RestartSteps"];
    let is_known = |line: &&str| {
        root.systemd < 254
            && line.contains("Unknown key")
            && newer.iter().any(|key| line.contains(key))
    };
    let faults: Vec<&str> = found.lines().filter(|line| !is_known(line)).collect();
    assert_eq!(faults, [""; 0]);
    assert_eq!(machine.run("systemctl is-system-running"), "running");
}

pub(crate) fn hosted_processes_cannot_empty_the_store(root: &Root) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, 10);
    let stored = machine.property("papad.service", "NFileDescriptorStore");
    // They belong to the unit, and may send to systemd's socket. It does not listen.
    machine.run(
        "papactl run --attach thief -- sh -ec 'export NOTIFY_SOCKET=/run/systemd/notify; \
         for number in 0 1 2 3 4 5 6 7 8 9; do \
         systemd-notify FDSTOREREMOVE=1 FDNAME=carrier.$number; done'",
    );
    machine.run("papactl rm thief");
    assert_eq!(machine.property("papad.service", "NFileDescriptorStore"), stored);
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    hosted.check(&machine, "a theft");
}

pub(crate) fn papad_is_started_however_often_it_ends(root: &Root) {
    let machine = start_papad(root);
    let hosted = Hosted::make(&machine, 10);
    for _ in 0..8 {
        machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    }
    hosted.check(&machine, "eight kills");
    assert_eq!(machine.property("papad.service", "ActiveState"), "active");

    // It was asked to exit, which is no failure.
    machine.run(
        "papactl stop 'p*' writer; papactl rm '*'; papactl socket rm web; papactl unset greeting",
    );
    let keeper = machine.keeper();
    machine.session().ask("exit-if-idle");
    eventually("there is another papad", || machine.keeper() != keeper && machine.active()[0]);
}

pub(crate) fn papad_needs_netlink_to_let_anybody_in_by_tcp(root: &Root) {
    let machine = start_papad(root);
    let restrict = |families: &str| {
        machine.run(&format!(
            "mkdir -p /etc/systemd/system/papad.service.d; \
             printf '[Service]\\nRestrictAddressFamilies={families}\\n' \
             >/etc/systemd/system/papad.service.d/families.conf; \
             systemctl daemon-reload; systemctl restart papad"
        ));
    };
    restrict("AF_UNIX AF_INET AF_INET6");
    machine.run_failing("papactl --endpoint 20202 ps");
    machine.run("papactl --endpoint /run/papad.sock ps");
    eventually("the log says that it was refused", || {
        machine.journal("").contains("refused 127.0.0.1:")
    });
    restrict("AF_UNIX AF_INET AF_INET6 AF_NETLINK");
    machine.run("papactl --endpoint 20202 ps");
}

pub(crate) fn hosted_processes_have_usual_limits(root: &Root) {
    let machine = start_papad(root);
    let limits = machine.run("papactl run --attach p -- sh -c 'ulimit -Sn; ulimit -Hn'");
    let (soft, hard) = limits.split_once('\n').expect("there are two");
    assert_eq!(soft, "1024");
    let hard: u64 = hard.parse().unwrap();
    assert!(hard > 1024, "{hard}");
    assert_eq!(machine.property("papad.service", "TasksMax"), "infinity");
    assert_eq!(machine.property("papad.service", "LimitNOFILESoft"), "1048576");
}

pub(crate) fn the_journal_has_priorities(root: &Root) {
    let machine = start_papad(root);
    let log = machine.journal("--identifier=papad");
    assert!(log.lines().any(|line| line.starts_with("info keeper: ready")), "{log}");
    assert_eq!(machine.journal("--identifier=papad --priority=warning"), "");

    // Of the server, of a keeper that an upgrade has made, and of a papad that cannot start.
    machine.run("papactl run --attach p -- true");
    machine.run(&format!("kill -9 {}", machine.server()));
    eventually("the end of a server is a warning", || {
        let log = machine.journal("--identifier=papad --priority=warning");
        log.lines().any(|line| line.starts_with("warn keeper: "))
    });
    assert_eq!(machine.journal("--identifier=papad --priority=err"), "");
    machine.replace_papad("systemctl kill --kill-whom=main --signal=KILL papad");
    eventually("the server has logged an error", || {
        let log = machine.journal("--identifier=papad --priority=err");
        log.lines().any(|line| line.starts_with("error server: "))
    });
    machine.run("systemctl stop papad.service papad.socket");
    let (status, said) = machine.try_run(
        "systemd-run --quiet --wait --unit=fails papad --max-line no-size; \
         journalctl --sync; journalctl -q -o cat --unit=fails --priority=err --identifier=papad",
    );
    assert_eq!(status, 0, "{said}");
    assert!(said.starts_with("papad: "), "{said}");
}
