//! papad asks the kernel to spare it when memory runs out, and hosted processes get what papad was
//! started with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use papad_tests::{NOBODY, Papad, ScratchDir, is_root, make_stopped};

/// What papad asks for where it may.
const WANTED: i32 = -900;

/// What anyone may go down to.
const ALLOWED_TO_ALL: i32 = 0;

/// The bit of `CAP_SYS_RESOURCE` (capabilities(7)).
const SYS_RESOURCE: u64 = 1 << 24;

fn score(pid: i32) -> i32 {
    fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
}

/// Whether this process, and so a papad that it starts, may lower its score below 0. Root may not
/// everywhere.
fn may_lower() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let caps = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(caps.trim(), 16).unwrap() & SYS_RESOURCE != 0
}

/// papad's own score, where it was started with more than 0.
fn lowered() -> i32 {
    if may_lower() { WANTED } else { ALLOWED_TO_ALL }
}

#[test]
fn papad_lowers_its_score_and_its_children_get_the_one_it_was_started_with() {
    let papad = Papad::builder().after_shell("echo 500 > /proc/self/oom_score_adj").start();
    let mut session = papad.session();
    assert_eq!(session.run("/bin/cat /proc/self/oom_score_adj").text(), "500\n");
    assert_eq!([papad.keeper_pid(), papad.server_pid()].map(score), [lowered(); 2]);

    // A later server knows it, too.
    papad.kill_server();
    let mut session = papad.session();
    let pid = make_stopped(&mut session, "p", "", "");
    assert_eq!(score(pid), 500);
    assert_eq!([papad.keeper_pid(), papad.server_pid()].map(score), [lowered(); 2]);
}

#[test]
fn a_child_of_another_user_gets_it_too() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::builder().after_shell("echo 300 > /proc/self/oom_score_adj").start();
    let mut session = papad.session();
    let pid = make_stopped(&mut session, "p", &format!("uid={NOBODY}"), "");
    assert_eq!(score(pid), 300);
    assert_eq!(score(papad.server_pid()), lowered());
}

#[test]
fn without_the_right_to_lower_it_the_score_stays_and_is_handed_on() {
    if !is_root("running papad as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let own = score(std::process::id() as i32);
    let papad = Papad::builder().as_user(NOBODY, scratch.join("papad")).start();
    let mut session = papad.session();
    let pid = make_stopped(&mut session, "p", "", "");
    let expected = own.min(ALLOWED_TO_ALL);
    assert_eq!([papad.keeper_pid(), papad.server_pid()].map(score), [expected; 2]);
    assert_eq!(score(pid), own);
}
