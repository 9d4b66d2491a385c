//! The endpoint that each user has of their own, and the log of what is started there.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papa_client::{Endpoint, Papa};
use papad_tests::network::{has_ip, in_new_network};
use papad_tests::{NOBODY, Papad, ScratchDir, copy_program, eventually, is_root, papad_program};
use serde_json::Value;

use crate::ctl::{Ctl, Ran};
use crate::run::Daemon;

/// papactl in surroundings that name no endpoint, but a directory in place of the user's own.
fn papactl(directory: &str, words: &[&str]) -> Command {
    let mut command = Ctl::at("").command(words);
    command.env_remove("PAPA_ENDPOINT").env("PAPAD_DIR", directory);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn ok(directory: &str, words: &[&str]) -> String {
    let ran = Ran::of(papactl(directory, words).spawn().unwrap());
    assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""), "{words:?}: {ran:?}");
    ran.text()
}

fn keeper_at(endpoint: &Endpoint) -> i32 {
    Papa::connect(endpoint).unwrap().status().unwrap().pid
}

/// Whether a network without any other papad can be made.
fn can_be_alone() -> bool {
    is_root("to make a network namespace") && has_ip()
}

#[test]
fn a_papad_is_started_at_the_users_own_socket_and_at_the_port() {
    if !can_be_alone() {
        return;
    }
    in_new_network(|| {
        let scratch = ScratchDir::new();
        let directory = scratch.path().to_str().unwrap();
        let socket = Endpoint::unix(scratch.join("papad.sock"));
        let error = Ran::of(papactl(directory, &["ps"]).spawn().unwrap()).error();
        let expected = format!("no papad is running at {socket} or tcp://127.0.0.1:20202; start");
        assert!(error.contains(&expected), "{error}");

        ok(directory, &["run", "web", "--", "/bin/sleep", "1000"]);
        let keeper = keeper_at(&socket);
        let _daemon = Daemon(keeper);
        let status = ok(directory, &["-e", "20202", "status"]);
        assert!(status.contains(&format!("keeper {keeper}, ")), "{status}");
        assert!(ok(directory, &["status"]).contains(&format!(" at {socket} is well\n")));
        // Where the socket is not there, the port is tried.
        let elsewhere = ScratchDir::new();
        let text = ok(elsewhere.path().to_str().unwrap(), &["status"]);
        assert!(text.contains(" at tcp://127.0.0.1:20202 is well\n"), "{text}");
    });
}

#[test]
fn a_second_user_of_a_machine_gets_a_papad_of_their_own() {
    if !can_be_alone() {
        return;
    }
    in_new_network(|| {
        // Root's, which does not let the other user in.
        let _roots = Papad::builder().arg("--port=20202").start();
        let scratch = ScratchDir::new();
        let (papactl_of_user, papad) = (scratch.join("papactl"), scratch.join("papad"));
        copy_program(Ctl::program(), &papactl_of_user);
        copy_program(papad_program(), &papad);
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        let run = |words: &[&str]| {
            let mut command = Command::new(&papactl_of_user);
            command.args(words).uid(NOBODY).gid(NOBODY).current_dir("/");
            command.env_remove("PAPA_ENDPOINT").env("PAPAD_DIR", &home).env("PAPAD_BIN", &papad);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            Ran::of(command.spawn().unwrap())
        };
        let ran = run(&["ps"]);
        assert_eq!(ran.status, Some(4));
        let error = ran.error();
        assert!(error.contains("/home/papad.sock, and what answers at tcp://"), "{error}");
        assert!(!error.contains("--allow-uid"), "{error}");

        // Others may write to the place that is meant for the user.
        fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
        let ran = run(&["run", "web", "--", "/bin/sleep", "1000"]);
        assert_eq!(ran.status, Some(4), "{ran:?}");
        assert!(ran.error().contains("/home, which is not this user's alone: "), "{ran:?}");
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();

        let ran = run(&["run", "web", "--", "/bin/sleep", "1000"]);
        assert_eq!(ran.status, Some(0), "{ran:?}");
        let endpoint = Endpoint::unix(format!("{home}/papad.sock")).owned_by(NOBODY);
        let _daemon = Daemon(keeper_at(&endpoint));
        let log = run(&["log"]).text();
        assert!(log.contains("papad does not listen on port 20202: 127.0.0.1:20202 is in use"));
        assert!(log.contains("/home/papad.sock\n"), "{log}");
    });
}

#[test]
fn a_crowd_without_an_endpoint_starts_one_papad() {
    if !can_be_alone() {
        return;
    }
    in_new_network(|| {
        let scratch = ScratchDir::new();
        let directory = scratch.path().to_str().unwrap();
        let start = |number: i32| {
            let name = format!("p{number}");
            papactl(directory, &["run", &name, "--", "/bin/sleep", "1000"]).spawn().unwrap()
        };
        let crowd: Vec<_> = (0..20).map(start).collect();
        let ran: Vec<Ran> = crowd.into_iter().map(Ran::of).collect();
        let _daemon = Daemon(keeper_at(&Endpoint::unix(scratch.join("papad.sock"))));
        assert!(ran.iter().all(|ran| ran.status == Some(0)), "{ran:?}");
        let ps: Value = serde_json::from_str(&ok(directory, &["ps", "--json"])).unwrap();
        assert_eq!(ps.as_array().unwrap().len(), 20);
    });
}

#[test]
fn the_log_of_a_papad_that_was_started_is_shown() {
    let scratch = ScratchDir::new();
    let path = scratch.join("p.sock");
    let ctl = Ctl::at(&path);
    assert_eq!(
        ctl.fails(&["log"]),
        (4, "papactl: no papad is running, and none has left a log".to_owned())
    );
    ctl.ok(&["run", "web", "--", "/bin/sleep", "1000"]);
    let daemon = Daemon(keeper_at(&Endpoint::unix(&path)));
    let log = format!("{path}.log");
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ctl.ok(&["log"]).contains(&format!("listening on {path}\n")));
    let json = ctl.json(&["log", "-n", "1"]);
    assert_eq!((json["path"].as_str(), json["lines"].as_array().unwrap().len()), (Some(&*log), 1));
    // It is bounded while papad runs: what is full is moved, and shown with what comes after it.
    let mut full = fs::OpenOptions::new().append(true).open(&log).unwrap();
    full.write_all(&[&vec![b'.'; 1 << 20][..], b"\n"].concat()).unwrap();
    let killed = ctl.json(&["status"])["server"].as_i64().unwrap();
    kill(Pid::from_raw(killed as i32), Signal::SIGKILL).unwrap();
    eventually("it was moved", || fs::metadata(format!("{log}.1")).is_ok());
    eventually("both are shown", || {
        let shown = ctl.ok(&["log"]);
        shown.contains("listening on ") && shown.contains("; starting it again")
    });
    assert_eq!(ctl.json(&["log"])["path"], *log);
    // It stays when papad has gone.
    drop(daemon);
    eventually("papad has gone", || ctl.run(&["ps"]).status == Some(4));
    assert!(ctl.ok(&["log"]).contains("listening on "));
    // What is started cannot listen where there is a file, and says so.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "").unwrap();
    let error = ctl.fails(&["run", "web", "--", "/bin/true"]).1;
    assert!(error.contains("there is a file that is not a socket"), "{error}");
}

#[test]
fn the_log_of_a_papad_that_logs_elsewhere_is_not_looked_for() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let (status, error) = ctl.fails(&["log"]);
    assert_eq!(status, 1);
    let what = format!("the papad of pid {} does not log to a file", papad.keeper_pid());
    assert!(error.contains(&what), "{error}");
    let (status, error) = ctl.fails(&["log", "web"]);
    assert_eq!(status, 2);
    assert!(error.ends_with("; say \"papactl logs web\""), "{error}");
}
