//! Command lines that make no sense, and papads that are not there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use papad_tests::{Papad, ScratchDir};
use serde_json::{Value, json};

use crate::ctl::{Ctl, Ran, nowhere};

#[test]
fn a_command_line_that_makes_no_sense_is_told_in_one_line_or_in_json() {
    let ctl = Ctl::at("1");
    assert_eq!(
        ctl.fails(&["wait"]),
        (
            2,
            "papactl: the following required arguments were not provided: <NAME>...; see --help"
                .into()
        )
    );
    let ran = ctl.run(&["run", "--json", "--rm", "a", "--", "true"]);
    assert_eq!((ran.status, ran.text().as_str()), (Some(2), ""));
    let error: Value = serde_json::from_str(&ran.error()).unwrap();
    assert_eq!(error["exit_status"], 2);
    assert_eq!(error["hint"], "see --help");
    // Behind -- it is the command's.
    assert!(ctl.fails(&["run", "--rm", "a", "--", "x", "--json"]).1.starts_with("papactl: "));
}

#[test]
fn words_of_other_tools_are_understood_or_told_what_does_the_same() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(ctl.json(&["ls"]), json!([]));
    assert_eq!(
        ctl.fails(&["run", "web", "sleep", "1000"]),
        (
            2,
            "papactl: the command to run has no -- before it; say \"papactl run NAME -- COMMAND\", \
             as in \"papactl run web -- sleep 1000\""
                .into()
        )
    );
    let (status, error) = ctl.fails(&["kill", "web"]);
    assert_eq!(status, 2);
    assert!(
        error.starts_with("papactl: papactl has no command kill; \"papactl signal "),
        "{error}"
    );
}

#[test]
fn words_that_are_no_text_are_refused_in_one_line() {
    let ctl = Ctl::at("1");
    for words in [&["logs"][..], &["run"], &["get"]] {
        let mut command = ctl.command(words);
        command.arg(OsStr::from_bytes(b"bad\xff")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = Ran::of(command.spawn().unwrap());
        assert_eq!(ran.status, Some(2), "{words:?}: {ran:?}");
        assert_eq!(ran.error().lines().count(), 1, "{words:?}: {ran:?}");
    }
}

#[test]
fn help_is_asked_for_and_no_error() {
    let help = Ctl::at("1").ok(&["wait", "--help"]);
    assert!(help.contains("Usage: papactl wait"), "{help}");
}

#[test]
fn where_no_papad_is_the_command_that_starts_one_right_there_is_said() {
    let scratch = ScratchDir::new();
    let path = nowhere(scratch.path());
    let (status, error) = Ctl::at(&path).fails(&["ps"]);
    assert_eq!(status, 4);
    assert!(error.contains(&format!("\"papad --daemonize -u '{}'\"", path.display())), "{error}");
    assert!(Ctl::at("1").fails(&["ps"]).1.contains("\"papad --daemonize -p 1\""));
}

#[test]
fn a_papad_that_gives_up_is_told_from_one_that_is_not_there() {
    let scratch = ScratchDir::new();
    let run = |papad: &str| {
        let words = ["run", "a", "--papad", papad, "--json", "--", "true"];
        let ran = Ctl::at(nowhere(scratch.path())).run(&words);
        assert_eq!(ran.status, Some(4), "{ran:?}");
        serde_json::from_str::<Value>(&ran.error()).unwrap()
    };
    let not_there = run(&scratch.join("papad"));
    assert_eq!(
        not_there["hint"],
        json!("say which papad to start with --papad PROGRAM or PAPAD_BIN")
    );
    let gives_up = run("/bin/false");
    assert_eq!(gives_up["error"], "papad cannot be started (/bin/false): exit status: 1");
    assert_eq!(gives_up["hint"], "put that right, or say another place with --endpoint");
}
