//! doctor.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::{BANNER, NOBODY, Papad, ScratchDir, copy_program, is_root};
use serde_json::Value;

use crate::ctl::{Ctl, Ran, nowhere};

/// What was found of one thing: how bad it is, and what it is.
fn found(ran: &Ran, check: &str) -> Option<(String, String)> {
    let all: Value = serde_json::from_str(&ran.text()).unwrap();
    let finding = all.as_array().unwrap().iter().find(|it| it["check"] == check)?;
    let text = |key: &str| finding[key].as_str().unwrap().to_owned();
    assert!(finding["verdict"] == "ok" || finding["advice"].is_string(), "{finding}");
    Some((text("verdict"), text("what")))
}

fn examine(ctl: &Ctl) -> Ran {
    ctl.run(&["doctor", "--json"])
}

/// Who does not answer as papad does is bad, and this is what is said of it.
#[track_caller]
fn no_papad(ran: &Ran) -> String {
    assert_eq!(ran.status, Some(1), "{ran:?}");
    let (verdict, what) = found(ran, "answer").unwrap();
    assert_eq!(verdict, "bad");
    // Nothing is said of a papad that is not there, and what is to be said without one is.
    assert_eq!((found(ran, "version"), found(ran, "kernel").is_some()), (None, true));
    what
}

#[test]
fn a_papad_that_is_well_has_nothing_bad() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        let ran = examine(&ctl);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        for check in ["answer", "pids", "restarts", "records", "output", "version", "program"] {
            assert_eq!(found(&ran, check).unwrap().0, "ok", "{check}: {ran:?}");
        }
        assert!(found(&ran, "cgroup").is_some());
    }
    ctl_line_is(&Ctl::of(&papad), "ok    answer       papad answers at tcp://127.0.0.1:");
}

#[track_caller]
fn ctl_line_is(ctl: &Ctl, start: &str) {
    let text = ctl.run(&["doctor"]).text();
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn values_that_are_on_disk_outlive_a_reboot() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().arg("--state-dir").arg(scratch.join("state")).start();
    let (_, what) = found(&examine(&Ctl::of(&papad)), "values").unwrap();
    assert_eq!(what, "they are on disk, and outlive a reboot");
    let papad = Papad::start();
    Ctl::of(&papad).ok(&["set", "a", "1"]);
    let (_, what) = found(&examine(&Ctl::of(&papad)), "values").unwrap();
    assert_eq!(what, "1 values would be lost with a reboot");
}

#[test]
fn a_program_that_was_replaced_is_to_take_over() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().from_copy(scratch.join("papad")).start();
    fs::remove_file(scratch.join("papad")).unwrap();
    let (verdict, what) = found(&examine(&Ctl::of(&papad)), "program").unwrap();
    assert_eq!(verdict, "warn");
    assert!(what.ends_with("/papad was replaced or removed since papad started"), "{what}");
}

#[test]
fn nobody_at_a_path_and_a_socket_that_was_left_behind_are_told_apart() {
    let scratch = ScratchDir::new();
    let what = no_papad(&examine(&Ctl::at(nowhere(scratch.path()))));
    assert!(what.starts_with("no papad is at ") && what.contains("No such file"), "{what}");

    drop(UnixListener::bind(scratch.join("left")).unwrap());
    let what = no_papad(&examine(&Ctl::at(scratch.join("left"))));
    assert!(what.starts_with("nobody listens at ") && what.ends_with(" was left behind"), "{what}");
    assert!(what.contains("(mode 755, of user "), "{what}");

    fs::write(scratch.join("file"), "").unwrap();
    let what = no_papad(&examine(&Ctl::at(scratch.join("file"))));
    assert!(what.ends_with("/file is no socket"), "{what}");
}

#[test]
fn nobody_at_a_port_is_told_and_where_there_is_a_papad() {
    let papad = Papad::start();
    // A port that is in use, and that nobody listens at.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let guest = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let port = guest.local_addr().unwrap().port();
    let ran = examine(&Ctl::at(port.to_string()));
    assert_eq!(no_papad(&ran), format!("nobody listens at tcp://127.0.0.1:{port}"));
    let all: Value = serde_json::from_str(&ran.text()).unwrap();
    let others: Vec<&Value> =
        all.as_array().unwrap().iter().filter(|it| it["check"] == "elsewhere").collect();
    assert!(!others.is_empty());
    let this = format!("pid {} (papad: keeper)", papad.keeper_pid());
    let told = others.iter().any(|it| it["what"].as_str().unwrap().contains(&this));
    // Of many only some are told.
    assert!(told || others.len() == 5, "{others:?}");
}

/// Greets whoever connects, and answers what comes; for as long as the test runs.
fn answer_with(listener: TcpListener, greeting: &'static str, reply: &'static str) {
    thread::spawn(move || {
        for guest in listener.incoming() {
            let mut guest = guest.unwrap();
            // Whoever has gone hears nothing.
            let _ = guest.write_all(greeting.as_bytes());
            while matches!(guest.read(&mut [0; 100]), Ok(1..)) {
                let _ = guest.write_all(reply.as_bytes());
            }
        }
    });
}

#[test]
fn a_port_that_somebody_else_has_is_told_with_who_it_is() {
    let me = format!("pid {} (", std::process::id());
    for (greeting, reply, said) in [
        (BANNER, "Error: Unknown command\n> ", "what answers greets as papa 1.0, and is no papad"),
        ("SSH-2.0-x\r\n", "", "what answers is no papad"),
        // It waits until it is spoken to, and then does not answer.
        ("", "", "what answers is no papad"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        answer_with(listener, greeting, reply);
        let what = no_papad(&examine(&Ctl::at(port.to_string())));
        assert!(what.starts_with(said), "{what}");
        assert!(what.contains(&me), "{what}");
    }
}

#[test]
fn a_malformed_endpoint_is_told_with_where_it_comes_from() {
    let (status, error) = Ctl::at("x").fails(&["doctor"]);
    assert_eq!(status, 2);
    assert!(error.ends_with("; it is PAPA_ENDPOINT of the environment"), "{error}");
}

// One test, for the copies of programs must not be open for writing in a process that some other
// test is just starting.
#[test]
fn a_stopped_papad_is_named_as_such() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let (keeper, server) = (papad.keeper_pid(), papad.server_pid());
    for pid in [keeper, server] {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        let what = no_papad(&examine(&ctl));
        assert!(what.starts_with("papad does not answer: stopped by a signal is pid "), "{what}");
        for pid in [keeper, server] {
            assert!(what.contains(&format!("pid {pid} (papad: ")), "{what}");
        }
    }
}

#[test]
fn a_papad_of_another_user_is_told() {
    if !is_root("to be two users") {
        return;
    }
    let scratch = ScratchDir::new();
    let directory = scratch.join("of-nobody");
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
    let papad = Papad::builder().arg("--allow-uid=0").unix_path(format!("{directory}/papad"));
    let papad = papad.as_user(NOBODY, scratch.join("papad")).start();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        let ran = examine(&ctl);
        let what = no_papad(&ran);
        assert!(what.contains(&format!("belongs to uid {NOBODY}")), "{what}");
        assert!(what.contains(&format!("and is pid {} (papad: keeper)", papad.keeper_pid())));
        let ran = ctl.run(&["doctor", "--json", "--trust", &NOBODY.to_string()]);
        assert_eq!(found(&ran, "answer").unwrap().0, "ok");
        let (_, what) = found(&ran, "user").unwrap();
        assert!(what.contains("starts processes as "), "{what}");
    }

    // The other way round.
    let papad = Papad::start();
    let copy = scratch.join("papactl");
    copy_program(Ctl::program(), &copy);
    let mut command = std::process::Command::new("setpriv");
    let user = NOBODY.to_string();
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", &copy]);
    command.args(["-e", &papad.port().to_string(), "doctor", "--json"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let what = no_papad(&Ran::of(child.spawn().unwrap()));
    assert_eq!(what, format!("uid {NOBODY} may not speak to papad"));
}

#[test]
fn a_papad_that_turns_sessions_away_is_told_as_what_it_is() {
    let papad = Papad::builder().arg("--max-sessions=1").start();
    let _session = papad.session();
    let ctl = Ctl::of(&papad);
    let what = no_papad(&examine(&ctl));
    assert!(what.starts_with("papad answers at "), "{what}");
    assert!(what.ends_with(", and turns new sessions away: papad serves at most 1 sessions"));
}

#[test]
fn a_resource_limit_that_is_in_papads_way_is_told() {
    let papad = Papad::builder().after_shell("ulimit -t 86400").start();
    let ran = examine(&Ctl::of(&papad));
    let (verdict, what) = found(&ran, "resources").unwrap();
    assert_eq!(verdict, "warn");
    assert!(what.contains("max cpu time is 86400 (ulimit -t)"), "{what}");
}

#[test]
fn a_socket_that_nobody_can_reach_is_told() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let path = scratch.join("s");
    ctl.ok(&["socket", "make", "s", "--path", &path]);
    assert_eq!(found(&examine(&ctl), "sockets").unwrap().0, "ok");
    fs::remove_file(&path).unwrap();
    let ran = examine(&ctl);
    let (verdict, what) = found(&ran, "sockets").unwrap();
    assert_eq!((ran.status, &*verdict), (Some(1), "bad"));
    assert_eq!(what, format!("s cannot be reached: its file {path} is gone"));
    assert_eq!(ctl.run(&["status"]).status, Some(1));
    assert!(ctl.ok(&["sockets"]).contains("no-file"));
    ctl.ok(&["socket", "make", "s", "--path", &path]);
    assert_eq!(found(&examine(&ctl), "sockets").unwrap().0, "ok");
    assert!(!ctl.ok(&["sockets"]).contains("FAULT"));
}
