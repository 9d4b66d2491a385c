//! papa's own Python client, unmodified: every call it has. The scripts are in `python/`.

use papad_tests::{Papad, run_python};

#[test]
fn values() {
    run_python(&Papad::start(), "values.py");
}

#[test]
fn sockets() {
    run_python(&Papad::start(), "sockets.py");
}

#[test]
fn processes() {
    run_python(&Papad::start(), "processes.py");
}

#[test]
fn watching() {
    run_python(&Papad::start(), "watching.py");
}

#[test]
fn exit_if_idle_ends_papad() {
    let mut papad = Papad::start();
    run_python(&papad, "exit_if_idle.py");
    assert_eq!(papad.wait_for_exit().code(), Some(0), "{}", papad.log());
}
