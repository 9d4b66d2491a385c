//! rm.

use papad_tests::exact::{Exact, make_writer};
use papad_tests::{Papad, eventually, procfs};
use serde_json::json;

use crate::ctl::Ctl;

#[test]
fn what_has_ended_is_removed_with_its_output() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web.1", "hello");
    make_writer(&mut Exact::tcp(&papad), "web.2", "x");
    make_writer(&mut Exact::tcp(&papad), "web.3", "");
    ctl.ok(&["stop", "web.1", "web.2"]);
    // A wildcard stands for those that have ended.
    assert_eq!(
        ctl.ok(&["rm", "web.*", "none*"]),
        "web.1 is removed; 5 bytes that nobody had taken are gone\n\
         web.2 is removed; 1 byte that nobody had taken is gone\n"
    );
    assert_eq!(ctl.ok(&["rm", "web.*"]), "");
    assert_eq!(ctl.json(&["ps"])[0]["name"], json!("web.3"));
    assert_eq!(ctl.fails(&["rm", "web.1"]).0, 3);
}

#[test]
fn what_runs_is_refused_unless_it_is_to_be_forgotten() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let pid = make_writer(&mut Exact::tcp(&papad), "web", "hello");
    make_writer(&mut Exact::tcp(&papad), "job", "");
    ctl.ok(&["stop", "job"]);
    assert_eq!(
        ctl.fails(&["rm", "job", "web"]),
        (
            7,
            format!(
                "papactl: web runs as pid {pid}; \"papactl stop web\" ends it; with --running \
                 papad forgets it, and it runs on"
            )
        )
    );
    assert_eq!(ctl.json(&["ps"]).as_array().unwrap().len(), 2, "nothing was removed");
    let removed = ctl.json(&["rm", "--running", "web"]);
    assert_eq!((&removed[0]["running"], &removed[0]["pid"]), (&json!(true), &json!(pid)));
    assert_eq!(removed[0]["unread_dropped"], json!(5));
    assert!(procfs::stat(pid).is_some_and(|it| !it.is_zombie()));
    assert_eq!(ctl.json(&["ps", "web"])[0]["removed"], json!(true));
    ctl.ok(&["stop", "web"]);
    eventually("it has left the list", || ctl.json(&["ps", "web*"]) == json!([]));
}

#[test]
fn what_runs_is_killed_first_if_that_is_asked_for() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let pid = make_writer(&mut Exact::tcp(&papad), "web", "");
    make_writer(&mut Exact::tcp(&papad), "job", "");
    ctl.ok(&["stop", "job"]);
    assert_eq!(ctl.ok(&["rm", "-f", "*"]), "job is removed\nweb is removed\n");
    assert!(procfs::stat(pid).is_none_or(|it| it.is_zombie()));
    assert_eq!(ctl.json(&["ps"]), json!([]));
}

#[test]
fn values_that_an_earlier_papactl_left_are_removed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "web", "");
    for name in ["web", "gone", "other"] {
        exact.ask(format!("set papactl.restart.{name} secret"));
    }
    assert_eq!(ctl.fails(&["rm", "web"]).0, 7, "it runs");
    let left = || {
        let values = ctl.json(&["values"]);
        values.as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(left().len(), 3);
    ctl.ok(&["restart", "web"]);
    assert_eq!(left(), ["papactl.restart.gone", "papactl.restart.other"]);
    // Nothing else is removed with what is not listed.
    assert_eq!(ctl.ok(&["rm", "gone"]), "");
    assert_eq!(left(), ["papactl.restart.other"]);
    assert_eq!(ctl.ok(&["rm", "-f", "*"]), "web is removed\n");
    assert_eq!(left(), [""; 0]);
    assert_eq!(ctl.fails(&["rm", "gone"]).0, 3);
}
