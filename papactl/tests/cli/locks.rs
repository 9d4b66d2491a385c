//! lock.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::{Papad, ScratchDir, eventually, procfs};
use serde_json::json;

use crate::ctl::{Ctl, Ran};
use crate::terminal::Terminal;

/// A lock that is held by a shell, which sets its traps, says that it holds it, and then does this.
fn hold(ctl: &Ctl, name: &str, traps: &str, script: &str) -> Child {
    let script = format!("{traps}\necho held\n{script}");
    let words = ["lock", name, "--", "/bin/sh", "-c", &script];
    let mut command = ctl.command(&words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"held\n");
    child
}

/// Ends with its standard input.
const UNTIL_END: &str = "read line";

/// Ends by a trap, which a shell looks for between commands.
const UNTIL_TRAP: &str = "while sleep 0.02; do :; done";

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

#[test]
fn the_command_runs_under_the_lock_and_its_status_is_papactls() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(ctl.ok(&["lock", "deploy", "--", "/bin/echo", "-n", "hello"]), "hello");
    assert_eq!(ctl.run(&["lock", "deploy", "--", "/bin/sh", "-c", "exit 3"]).status, Some(3));
    let killed = ctl.run(&["lock", "deploy", "--", "/bin/sh", "-c", "kill -9 $$"]);
    assert_eq!(killed.status, Some(128 + 9));
    // It is given back before papactl ends.
    assert_eq!(ctl.json(&["values"]), json!([]));

    let scratch = ScratchDir::new();
    let (status, error) = ctl.fails(&["lock", "deploy", "--", &scratch.join("nothing")]);
    assert_eq!(status, 127, "{error}");
    fs::write(scratch.join("text"), "").unwrap();
    fs::set_permissions(scratch.join("text"), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, error) = ctl.fails(&["lock", "deploy", "--", &scratch.join("text")]);
    assert_eq!(status, 126, "{error}");
    assert_eq!(ctl.run(&["lock", "deploy"]).status, Some(2));
}

#[test]
fn a_second_one_waits_or_says_who_holds_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut first = hold(&ctl, "deploy", "", UNTIL_END);
    for impatient in [&["--no-wait"][..], &["--wait", "10ms"]] {
        let words = [&["lock", "deploy"], impatient, &["--", "/bin/true"]].concat();
        let (status, error) = ctl.fails(&words);
        assert_eq!(status, 125);
        assert_eq!(
            error,
            format!(
                "papactl: the lock deploy is held by pid {}; without --no-wait and --wait it is \
                 waited for",
                first.id()
            )
        );
    }
    // Another lock is another lock.
    ctl.ok(&["lock", "other", "--no-wait", "--", "/bin/true"]);
    let second = ctl.start(&["lock", "deploy", "--", "/bin/echo", "second"]);
    thread::scope(|scope| {
        let second = scope.spawn(|| Ran::of(second));
        drop(first.stdin.take());
        assert_eq!(second.join().unwrap().text(), "second\n");
    });
    assert_eq!(Ran::of(first).status, Some(1));
}

#[test]
fn without_papad_the_command_is_not_run() {
    let scratch = ScratchDir::new();
    let ctl = Ctl::at(crate::ctl::nowhere(scratch.path()));
    let (status, error) = ctl.fails(&["lock", "deploy", "--", "/bin/echo", "hello"]);
    assert_eq!(status, 125);
    assert!(error.contains("no papad is running at"), "{error}");
}

#[test]
fn signals_are_passed_on_and_the_command_decides() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    for (what, status) in [(Signal::SIGTERM, 5), (Signal::SIGHUP, 6)] {
        let child = hold(&ctl, "deploy", "trap 'exit 5' TERM; trap 'exit 6' HUP", UNTIL_TRAP);
        signal(&child, what);
        assert_eq!(Ran::of(child).status, Some(status), "{what}");
    }
    let child = hold(&ctl, "deploy", "", "exec sleep 1000");
    signal(&child, Signal::SIGTERM);
    assert_eq!(Ran::of(child).status, Some(128 + 15));
}

#[test]
fn what_is_ignored_stays_ignored() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut child = hold(
        &ctl,
        "deploy",
        "",
        &format!(
            "nohup {} -e {} lock other -- grep SigIgn /proc/self/status 2>/dev/null",
            Ctl::program().display(),
            papad.port()
        ),
    );
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
    assert_eq!(mask & 1, 1, "SIGHUP is signal 1: {line}");
    assert_eq!(Ran::of(child).status, Some(0));
}

#[test]
fn ctrl_c_is_the_commands() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let script = format!("trap 'echo caught; exit 7' INT; echo ready; {UNTIL_TRAP}");
    let words = ["lock", "deploy", "--", "/bin/sh", "-c", &script];
    let mut terminal = Terminal::start(&ctl, &words, (10, 80));
    terminal.wait_for_text("ready");
    terminal.send("\u{3}");
    let (status, screen) = terminal.wait();
    assert_eq!(status, 7, "{screen}");
    assert!(screen.contains("caught"), "{screen}");
}

#[test]
fn a_lock_that_is_lost_with_papads_server_is_taken_again() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut child = hold(&ctl, "deploy", "", UNTIL_END);
    let before = ctl.json(&["values"])[0]["text"].clone();
    papad.kill_server();
    eventually("the lock is taken again", || {
        let now = ctl.json(&["values"]);
        now != json!([]) && now[0]["text"] != before
    });
    assert_eq!(ctl.run(&["lock", "deploy", "--no-wait", "--", "/bin/true"]).status, Some(125));
    drop(child.stdin.take());
    let ran = Ran::of(child);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert_eq!(ran.error(), "papactl: the lock deploy was lost for a moment, and is taken again\n");
}

#[test]
fn where_somebody_else_has_taken_the_lock_the_command_is_ended() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let child = hold(&ctl, "deploy", "trap 'exit 5' TERM", UNTIL_TRAP);
    ctl.ok(&["set", "deploy", "mine"]);
    let ran = Ran::of(child);
    assert_eq!(ran.status, Some(5), "{ran:?}");
    assert_eq!(
        ran.error(),
        "papactl: the lock deploy is lost: somebody else has it; the command is ended\n"
    );
    assert_eq!(ctl.ok(&["get", "deploy"]), "mine\n");
}

#[test]
fn no_time_at_all_is_enough_for_a_lock_that_is_free() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(ctl.ok(&["lock", "deploy", "--wait", "0", "--", "/bin/echo", "-n", "it"]), "it");
}

#[test]
fn the_command_ends_with_a_papactl_that_is_killed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let file = scratch.join("pid");
    let mut first = hold(&ctl, "deploy", &format!("echo $$ >{file}"), UNTIL_END);
    let command: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    signal(&first, Signal::SIGKILL);
    eventually("the command has ended", || procfs::stat(command).is_none_or(|it| it.is_zombie()));
    assert_eq!(ctl.ok(&["lock", "deploy", "--", "/bin/echo", "-n", "hello"]), "hello");
    first.wait().unwrap();
}
