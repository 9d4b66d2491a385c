//! Standard descriptors that are closed, of the wrong direction, or full.

use std::process::{Command, Stdio};

use papad_tests::{Papad, eventually};
use serde_json::json;

use crate::ctl::{Ctl, Ran};

/// Runs papactl by a shell that redirects it like this.
fn redirected(ctl: &Ctl, words: &str, redirection: &str) -> Ran {
    let line = format!("exec \"$0\" {words} {redirection}");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(line).arg(Ctl::program()).env("PAPA_ENDPOINT", ctl.endpoint());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ran::of(command.spawn().unwrap())
}

/// Runs it, and returns its line of error; it must fail by this status.
fn refused(ctl: &Ctl, words: &str, redirection: &str, status: i32) -> String {
    let ran = redirected(ctl, words, redirection);
    assert_eq!(ran.status, Some(status), "{words} {redirection}: {ran:?}");
    ran.error()
}

#[test]
fn output_is_not_taken_where_it_cannot_be_written() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["run", "ct", "--", "/bin/echo", "precious"]);
    eventually("it has ended", || ctl.json(&["ps", "ct"])[0]["unread"] == 9);
    ctl.run(&["wait", "ct"]);
    for (redirection, why) in [
        (">&-", "standard output is closed"),
        (">/dev/full", "standard output cannot be written: No space left on device"),
        ("1</dev/null", "standard output is open for reading only"),
    ] {
        for words in ["logs --take ct", "logs ct", "rm ct", "ps", "status", "stop ct", "--help"] {
            let error = refused(&ctl, words, redirection, 1);
            assert!(error.contains(why), "{words} {redirection}: {error}");
        }
    }
    assert_eq!(refused(&ctl, "logs --take ct", "2>&-", 1), "");
    assert_eq!(ctl.ok(&["logs", "--take", "ct"]), "precious\n");
}

#[test]
fn nothing_is_started_or_run_where_output_cannot_be_written() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    refused(&ctl, "run web -- /bin/sleep 1000", ">&-", 1);
    refused(&ctl, "run web --attach -- /bin/sleep 1000", "2>&-", 125);
    refused(&ctl, "lock l -- /bin/false", ">&-", 125);
    refused(&ctl, "set --json a 1", ">&-", 1);
    assert_eq!((ctl.json(&["ps"]), ctl.json(&["values"])), (json!([]), json!([])));
    // What writes nothing needs no output.
    assert_eq!(redirected(&ctl, "set a 1", ">&- 2>&-").status, Some(0));
    assert_eq!(redirected(&ctl, "unset a", ">&-").status, Some(0));
}

#[test]
fn input_that_cannot_be_read_is_not_an_empty_value() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert!(refused(&ctl, "set v -", "<&-", 1).contains("standard input is closed"));
    assert!(refused(&ctl, "set v -", "0>/dev/null", 1).contains("open for writing only"));
    assert_eq!(ctl.json(&["values"]), json!([]));
    assert_eq!(redirected(&ctl, "set v -", "</dev/null").status, Some(0));
    assert_eq!(ctl.ok(&["get", "-n", "v"]), "");
}
