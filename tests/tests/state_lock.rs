//! `--state-dir`: who has the directory, and what is in it, from one server or papad to the next.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};

use papad_tests::exact::Exact;
use papad_tests::{FakeSystemd, Fifo, Papad, ScratchDir, papad_program};

fn start(folder: &str, systemd: &FakeSystemd) -> Papad {
    Papad::builder().arg("--state-dir").arg(folder).under(systemd).start()
}

/// Runs a papad that is not to get the directory, and returns what it says.
fn refusal(folder: &str) -> String {
    let args = ["-p", "0", "--state-dir", folder];
    let Output { status, stderr, .. } = Command::new(papad_program()).args(args).output().unwrap();
    assert_eq!(status.code(), Some(1));
    String::from_utf8(stderr).unwrap()
}

/// Sees that another papad has the directory.
fn expect_refused(folder: &str) {
    let reason = format!("papad: cannot keep values in {folder}: another papad does\n");
    assert_eq!(refusal(folder), reason);
}

#[test]
fn a_fifo_where_the_lock_should_be_is_refused_and_not_waited_for() {
    let scratch = ScratchDir::new();
    let folder = scratch.path().to_str().unwrap();
    let fifo = Fifo::new(&scratch, "lock");
    let expect_reason = || {
        let (said, reason) = (refusal(folder), format!("papad: cannot keep values in {folder}: "));
        assert!(said.starts_with(&reason), "{said}");
    };
    expect_reason();
    // With nobody who reads it, to open it would be to wait.
    drop(fifo);
    expect_reason();
}

#[test]
fn an_upgrade_leaves_directory_and_file_as_they_are() {
    let scratch = ScratchDir::new();
    let folder = scratch.join("state");
    let papad = Papad::builder().arg("--state-dir").arg(&folder).start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("set kept 1");
    // It is no value of the file's, and lives on.
    exact.ask("set mine 1 for=session");
    let file = || fs::metadata(format!("{folder}/values")).unwrap();
    let before = file();
    exact.ask(format!("upgrade {}", papad_program().display()));
    assert_eq!(exact.ask("list values").len(), 2);
    expect_refused(&folder);
    assert_eq!((file().ino(), file().len()), (before.ino(), before.len()), "it is not rewritten");

    exact.ask("set kept 2");
    drop(papad);
    let papad = Papad::builder().arg("--state-dir").arg(&folder).start();
    assert_eq!(Exact::tcp(&papad).ask("list values"), ["name=kept value=2"]);
}

#[test]
fn while_systemd_stores_the_journal_no_other_papad_gets_the_directory() {
    let (systemd, scratch) = (FakeSystemd::new(), ScratchDir::new());
    let folder = scratch.join("state");
    let mut papad = start(&folder, &systemd);
    Exact::tcp(&papad).ask("set a 1");
    papad.kill_both();
    expect_refused(&folder);

    let mut papad = start(&folder, &systemd);
    assert_eq!(Exact::tcp(&papad).ask("list values"), ["name=a value=1"]);
    papad.kill_both();
    expect_refused(&folder);
}

#[test]
fn a_papad_that_comes_back_with_another_directory_lets_go_of_the_first() {
    let (systemd, scratch) = (FakeSystemd::new(), ScratchDir::new());
    let (first, second) = (scratch.join("first"), scratch.join("second"));
    let mut papad = start(&first, &systemd);
    Exact::tcp(&papad).ask("set a 1");
    papad.kill_both();

    let mut papad = start(&second, &systemd);
    assert_eq!(Exact::tcp(&papad).ask("list values"), ["name=a value=1"]);
    assert_eq!(systemd.stored().iter().filter(|name| *name == "state-lock").count(), 1);
    expect_refused(&second);
    let other = Papad::builder().arg("--state-dir").arg(&first).start();
    assert_eq!(Exact::tcp(&other).ask("list values"), ["name=a value=1"]);
    drop(other);
    papad.kill_both();

    // And one without a directory keeps none.
    let papad = Papad::builder().under(&systemd).start();
    assert_eq!(Exact::tcp(&papad).ask("list values"), ["name=a value=1"]);
    assert!(!systemd.stored().contains(&"state-lock".to_owned()));
}
