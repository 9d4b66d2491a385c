//! papad as a service of real systemds: Debian systems, booted in containers, with papad's programs
//! and units installed as docs/systemd.md says.
//!
//! `tests/roots/make` makes the systems. Where they are not there, or this machine cannot boot them,
//! each test is counted as ignored, with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod activation;
mod groups;
mod hosted;
mod kept;
mod machine;
mod no_ipv6;
mod reboots;
mod roots;
mod settings;
mod stopping;
mod upgrades;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use machine::Machine;
use roots::{ROOTS, Root};

/// A test and its name.
type Test = (&'static str, fn(&Root));

/// What is tested with each release.
const TESTS: [Test; 17] = [
    ("activation::a_connection_starts_papad", activation::a_connection_starts_papad),
    ("activation::papad_outlives_its_socket_units", activation::papad_outlives_its_socket_units),
    ("groups::a_process_moves_to_a_leaf", groups::a_process_moves_to_a_leaf),
    ("kept::with_10_processes", |root| kept::with_processes(root, 10)),
    ("kept::with_400_processes", |root| kept::with_processes(root, 400)),
    ("kept::with_3000_processes", |root| kept::with_processes(root, 3000)),
    ("no_ipv6::papad_starts_where_ipv6_is_off", no_ipv6::papad_starts_where_ipv6_is_off),
    ("reboots::hosted_processes_end_before_mounts", reboots::hosted_processes_end_before_mounts),
    (
        "settings::hosted_processes_cannot_empty_the_store",
        settings::hosted_processes_cannot_empty_the_store,
    ),
    (
        "settings::papad_needs_netlink_to_let_anybody_in_by_tcp",
        settings::papad_needs_netlink_to_let_anybody_in_by_tcp,
    ),
    ("settings::hosted_processes_have_usual_limits", settings::hosted_processes_have_usual_limits),
    ("settings::the_journal_has_priorities", settings::the_journal_has_priorities),
    (
        "settings::systemd_finds_no_fault_with_the_units",
        settings::systemd_finds_no_fault_with_the_units,
    ),
    (
        "settings::papad_is_started_however_often_it_ends",
        settings::papad_is_started_however_often_it_ends,
    ),
    (
        "stopping::a_stop_leaves_processes_and_no_store",
        stopping::a_stop_leaves_processes_and_no_store,
    ),
    ("stopping::a_kill_reaches_whom_it_names", stopping::a_kill_reaches_whom_it_names),
    ("upgrades::a_reload_waits_and_knows", upgrades::a_reload_waits_and_knows),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = ROOTS.iter().flat_map(|root| TESTS.map(|(name, test)| trial(root, name, test)));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    roots::remove_installed();
    conclusion.exit_code()
}

fn trial(root: &'static Root, name: &str, test: fn(&Root)) -> Trial {
    let name = format!("systemd_{}::{name}", root.systemd);
    Trial::ignorable_test(name, move || {
        if let Some(reason) = root.obstacle() {
            return Ok(Completion::ignored_with(reason));
        }
        test(root);
        Ok(Completion::Completed)
    })
}

/// Boots a system, and starts papad in it as docs/systemd.md says.
fn start_papad(root: &Root) -> Machine {
    let machine = Machine::boot(root);
    enable_papad(&machine);
    machine
}

fn enable_papad(machine: &Machine) {
    machine.run("systemctl enable --now papad.service");
    // It goes on when sessions are served.
    assert_eq!(machine.active(), [true; 3]);
}
