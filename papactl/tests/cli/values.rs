//! get, set, unset, values.

use papad_tests::Papad;
use serde_json::json;

use crate::ctl::{Ctl, words};

#[test]
fn a_value_is_set_printed_listed_and_removed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["set", "greeting", "hello world"]);
    ctl.ok(&["set", "other", "1"]);
    assert_eq!(ctl.ok(&["get", "greeting"]), "hello world\n");
    assert_eq!(ctl.ok(&["get", "-n", "greeting"]), "hello world");
    assert_eq!(words(&ctl.ok(&["values", "gr*"]))[1], ["greeting", "good", "hello", "world"]);
    ctl.ok(&["unset", "greeting"]);
    let (status, error) = ctl.fails(&["get", "greeting"]);
    assert_eq!(status, 3);
    assert_eq!(
        error,
        "papactl: there is no value of the name greeting; \"papactl values\" shows those that \
         there are"
    );
}

#[test]
fn any_bytes_come_back_as_they_were() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let bytes = b"\0\xff\n \"\\\r\n".repeat(1000);
    assert_eq!(ctl.run_with_input(&["set", "bytes", "-"], &bytes).status, Some(0));
    assert_eq!(ctl.run(&["get", "-n", "bytes"]).stdout, bytes);

    ctl.run_with_input(&["set", "bytes", "-"], b"\xff\n");
    assert_eq!(
        ctl.json(&["values"]),
        json!([{"name": "bytes", "text": null, "base64": "/wo=", "for_session": false}])
    );
    // A terminal is not sent what it would obey.
    assert!(ctl.ok(&["values"]).ends_with("\\xff\\x0a\n"));
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["set", "--if-absent", "leader", "a"]);
    for words in [
        &["set", "--if-absent", "leader", "b"][..],
        &["set", "--if", "b", "leader", "c"],
        &["unset", "--if", "b", "leader"],
    ] {
        assert_eq!(ctl.fails(words).0, 7, "{words:?}");
    }
    assert_eq!(ctl.ok(&["get", "leader"]), "a\n");
    ctl.ok(&["set", "--if", "a", "leader", "b"]);
    ctl.ok(&["unset", "--if", "b", "leader"]);
    assert_eq!(ctl.json(&["values"]), json!([]));
}

#[test]
fn what_is_not_there_is_told_and_keeps_nothing_else_from_being_removed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["set", "a", "1"]);
    ctl.ok(&["set", "c", "1"]);
    let there_is_no_b = "papactl: there is no value of the name b; \"papactl values\" shows those \
                         that there are";
    assert_eq!(ctl.fails(&["values", "a", "b"]), (3, there_is_no_b.to_owned()));
    assert_eq!(ctl.json(&["values", "b*"]), json!([]));
    assert_eq!(ctl.fails(&["unset", "a", "b", "c"]), (3, there_is_no_b.to_owned()));
    assert_eq!(ctl.json(&["values"]), json!([]));
}
