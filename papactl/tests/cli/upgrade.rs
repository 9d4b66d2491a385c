//! upgrade.

use papad_tests::{Papad, papad_program};
use serde_json::json;

use crate::ctl::Ctl;

#[test]
fn the_version_that_answers_now_is_told() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let server = papad.server_pid();
    let said = ctl.ok(&["upgrade"]);
    assert_eq!(said, format!("papad 0.1.0 answers at tcp://127.0.0.1:{} now\n", papad.port()));
    assert_ne!(papad.server_pid(), server);
}

#[test]
fn a_program_is_named_by_its_path() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let program = papad_program().to_str().unwrap();
    assert_eq!(ctl.json(&["upgrade", program]), json!({"version": "0.1.0"}));
}

#[test]
fn why_it_could_not_be_is_told_in_papads_words() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(
        ctl.fails(&["upgrade", "/bin/true"]),
        (7, "papactl: the new version ended before it could take over".to_owned())
    );
    assert_eq!(ctl.fails(&["upgrade", "/dev/null"]).0, 5);
    assert_eq!(ctl.fails(&["upgrade", "/nonexistent/papad"]).0, 3);
}
