//! wait.

use papad_tests::{Fifo, Papad, ScratchDir};
use serde_json::json;

use crate::ctl::{Ctl, Ran};

/// Has a shell run this line as a process of this name.
fn run(ctl: &Ctl, name: &str, line: &str) {
    ctl.ok(&["run", name, "--", "/bin/sh", "-c", line]);
}

#[test]
fn it_ends_as_the_process_did_and_takes_nothing() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    for (ctl, fifo) in [(Ctl::of(&papad), "tcp"), (Ctl::over_unix(&papad), "unix")] {
        let go_on = Fifo::new(&scratch, fifo);
        let name = |it: &str| format!("{fifo}.{it}");
        run(&ctl, &name("a"), &format!("echo one; read x <{}; exit 3", go_on.path()));
        let waiting = ctl.start(&["wait", &name("a")]);
        go_on.send_line();
        let ran = Ran::of(waiting);
        assert_eq!((ran.status, ran.text(), ran.error()), (Some(3), String::new(), String::new()));
        assert_eq!(ctl.run(&["wait", &name("a")]).status, Some(3));

        run(&ctl, &name("b"), "kill -TERM $$");
        run(&ctl, &name("c"), "exit 0");
        // The order is the one given: that of the names would be another.
        assert_eq!(ctl.run(&["wait", &name("c"), &name("b"), &name("a")]).status, Some(143));
        assert_eq!(ctl.run(&["wait", &name("*")]).status, Some(3));
        assert_eq!(ctl.run(&["wait", &name("c")]).status, Some(0));
        let ran = ctl.run(&["wait", &name("b"), &name("c"), "--json"]);
        let mut ends: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        for end in ends.as_array_mut().unwrap() {
            end["id"] = json!(end["id"].is_string());
            end["pid"] = json!(end["pid"].is_number());
        }
        assert_eq!(
            ends,
            json!([
                {"name": name("b"), "id": true, "pid": true, "exit_status": null, "signal": "TERM"},
                {"name": name("c"), "id": true, "pid": true, "exit_status": 0, "signal": null},
            ])
        );
    }
}

#[test]
fn it_waits_through_kills_of_the_server() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let go_on = Fifo::new(&scratch, "fifo");
    run(&ctl, "job", &format!("read x <{}; exit 3", go_on.path()));
    let waiting = ctl.start(&["wait", "job"]);
    papad.kill_server();
    papad.kill_server();
    go_on.send_line();
    assert_eq!(Ran::of(waiting).status, Some(3));
}

#[test]
fn its_own_trouble_has_a_status_of_its_own() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(ctl.fails(&["wait", "job"]).0, 125);
    assert_eq!(ctl.run(&["wait"]).status, Some(2));
    assert_eq!(ctl.run(&["wait", "job", "--timeout", "soon"]).status, Some(2));
    // A wildcard may stand for nothing.
    assert_eq!(ctl.run(&["wait", "job*"]).status, Some(0));
    run(&ctl, "job", "exec sleep 1000");
    assert_eq!(
        ctl.fails(&["wait", "job", "--timeout", "1ms"]),
        (125, "papactl: job still runs after 1ms; \"papactl stop job\" ends it".to_owned())
    );
}

#[test]
fn a_process_is_waited_for_until_it_says_that_it_is_ready() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "go");
    let line = format!("echo begun; read go <{}; echo up and ready; exec sleep 1000", fifo.path());
    let words = ["run", "web", "--ready", "begun", "--", "/bin/sh", "-c", &line];
    assert!(ctl.ok(&words).starts_with("web runs as pid "));
    assert_eq!(ctl.fails(&["wait", "web", "--ready", ""]).0, 2, "anything contains that");
    let (status, error) = ctl.fails(&["wait", "web", "--ready", "and ready", "-t", "1ms"]);
    assert_eq!(status, 6);
    assert!(
        error.starts_with("papactl: web runs, and has not written \"and ready\" within 1ms;"),
        "{error}"
    );
    let waiting = ctl.start(&["wait", "web", "--ready", "and ready"]);
    fifo.send("");
    assert_eq!(Ran::of(waiting).status, Some(0));
    // It is ready still, and nothing was taken.
    assert_eq!(
        ctl.ok(&["run", "web", "--ready", "up", "--", "/bin/sh", "-c", &line]).lines().count(),
        1
    );
    assert_eq!(ctl.ok(&["logs", "web"]), "begun\nup and ready\n");

    let words = ["run", "job", "--ready", "up", "--", "/bin/sh", "-c", "exit 3"];
    let expected = "papactl: job has ended (exit status 3) before it was ready; \"papactl logs job\" \
                    shows what it has written";
    assert_eq!(ctl.fails(&words), (1, expected.to_owned()));
    assert_eq!(ctl.fails(&["wait", "job", "--ready", "up"]), (1, expected.to_owned()));
}
