//! This version and the oldest one that it goes with take over from each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use papad_tests::continuity::{Subject, Unchanged, oldest_program, sessions_go_on};
use papad_tests::exact::{Seen, value_of, wait_until_closed};
use papad_tests::papad_program;

/// Upgrades to this program and waits until keeper and server are nothing else.
fn change_to(subject: &Subject, program: &Path) {
    subject.upgrade_to(program);
    subject.wait_for_keeper_to_change();
    let server = format!("/proc/{}/exe", subject.papad.server_pid());
    let installed = fs::metadata(subject.program()).unwrap().ino();
    assert_eq!(fs::metadata(server).unwrap().ino(), installed);
}

#[test]
fn the_oldest_version_and_this_one_take_over_from_each_other() {
    let Some(oldest) = oldest_program() else { return };
    let this = papad_program();
    let subject = Subject::of(&oldest);
    let mut session = subject.exact();
    for line in [
        "make process running -- /bin/sleep 1000",
        "make process unread -- /bin/echo unread",
        "make socket inet",
        "set value \"of any\\x00kind\"",
        "set mine 1 for=session",
    ] {
        session.ask(line);
    }
    session.ask(format!("make socket unix path={}", subject.scratch.join("unix")));
    wait_until_closed(&subject.papad, "unread");
    let echo = subject.make_echo("echo", 7);
    let keeper = subject.papad.keeper_pid();
    let mut watcher = subject.exact();
    watcher.ask("watch echo mode=peek");
    let mut written = String::new();
    for (round, program) in [this, oldest.as_path(), this].into_iter().enumerate() {
        let mut unchanged = Unchanged::look(&subject);
        change_to(&subject, program);
        unchanged.check(&subject);
        assert_eq!(subject.papad.keeper_pid(), keeper);
        if program == this {
            assert_eq!(value_of(&session.ask("status")[0], "last_end"), "exit-0");
        }
        let line = format!("round {round}\n");
        echo.send(line.trim_end());
        match watcher.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position as usize, written.len());
                assert_eq!(data, line.as_bytes());
            }
            other => panic!("{other:?}"),
        }
        written += &line;
        session.ask_expecting("get value", "ok 1\n\"of any\\x00kind\"\n");
        session.ask_expecting("get mine", "ok 1\n1\n");
    }
    echo.send("end");
    assert!(matches!(watcher.next_seen(), Seen::Closed { end, .. } if end == "exit 7"));
    session.ask("watch unread");
    match session.next_seen() {
        Seen::Data { data, .. } => assert_eq!(data, b"unread\n"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(session.next_seen(), Seen::Closed { end, .. } if end == "exit 0"));
}

#[test]
fn sessions_of_every_kind_go_on_from_the_oldest_version_to_this_one() {
    let Some(oldest) = oldest_program() else { return };
    let subject = Subject::of(&oldest);
    sessions_go_on(&subject, || subject.upgrade_to(papad_program()));
}

#[test]
fn sessions_of_every_kind_go_on_from_this_version_to_the_oldest_one() {
    let Some(oldest) = oldest_program() else { return };
    let subject = Subject::start();
    sessions_go_on(&subject, || subject.upgrade_to(&oldest));
}
