//! inspect, pause, resume, shutdown.

use papad_tests::exact::{Exact, make_writer};
use papad_tests::{Fifo, Papad, ScratchDir, eventually, procfs};
use serde_json::{Value, json};

use crate::ctl::Ctl;

#[test]
fn everything_about_a_process_is_shown_but_no_secret() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    papad.session().ask("make socket http");
    ctl.ok(&[
        "run",
        "web",
        "--clean-env",
        "-E",
        "TOKEN=secret",
        "-C",
        "/",
        "--umask",
        "027",
        "--limit",
        "nofile=77:99",
        "--listen",
        "http",
        "--",
        "/bin/sleep",
        "1000",
    ]);
    let text = ctl.ok(&["inspect", "web"]);
    let has = |line: &str| text.lines().any(|it| it == line);
    for line in [
        "name          web",
        "state         running",
        "command       /bin/sleep 1000",
        "made with     dir=/",
        "made with     umask=0027",
        "made with     listen=http",
        "limit         open files: 77, hard 99 files",
        "threads       1",
        "env           TOKEN",
    ] {
        assert!(has(line), "{line}:\n{text}");
    }
    assert!(text.lines().any(|it| it.starts_with("cgroup ")), "{text}");
    assert!(!text.contains("secret"), "{text}");
    assert!(ctl.ok(&["inspect", "web", "--env"]).contains("env           TOKEN=secret\n"));
    let hidden = &ctl.json(&["inspect", "web"])[0]["environment"];
    assert_eq!(*hidden, json!([{"name": "TOKEN", "value": null}]));
    assert_eq!(ctl.fails(&["inspect", "none"]).0, 3);
    // Of one that has ended there is less.
    ctl.ok(&["stop", "web"]);
    let ended = &ctl.json(&["inspect", "w*"])[0];
    assert_eq!((&ended["limits"], &ended["signal"]), (&Value::Null, &json!("TERM")));
}

#[test]
fn a_process_stands_still_until_it_is_resumed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let pid = make_writer(&mut Exact::tcp(&papad), "web", "");
    let state = |pid| procfs::stat(pid).map(|it| it.state);
    ctl.ok(&["pause", "web"]);
    eventually("it is stopped", || state(pid) == Some('T'));
    assert_eq!(ctl.json(&["resume", "*"]), json!([{"name": "web"}]));
    eventually("it goes on", || state(pid) != Some('T'));
    ctl.ok(&["stop", "web"]);
    assert_eq!(ctl.fails(&["pause", "web"]).0, 3);
    assert_eq!(ctl.ok(&["pause", "w*"]), "");
}

#[test]
fn descendants_in_groups_of_their_own_stand_still_too() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "fifo");
    // Job control gives the child a group of its own, in the same session.
    let line = format!("set -m; sleep 1000 & echo $! >{}; wait", fifo.path());
    ctl.ok(&["run", "web", "--", "/bin/bash", "-c", &line]);
    let child: i32 = fifo.read_line().parse().unwrap();
    let state = || procfs::stat(child).map(|it| it.state);
    ctl.ok(&["pause", "web"]);
    eventually("the child is stopped", || state() == Some('T'));
    ctl.ok(&["resume", "web"]);
    eventually("the child goes on", || state() != Some('T'));
    assert_eq!(ctl.ok(&["rm", "-f", "web"]), "web is removed\n");
    eventually("the child was killed", || procfs::stat(child).is_none_or(|it| it.is_zombie()));
}

#[test]
fn papad_is_ended_if_nothing_is_left_without_it() {
    let mut papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let keeper = papad.keeper_pid();
    let pid = make_writer(&mut Exact::tcp(&papad), "web", "");
    let (status, error) = ctl.fails(&["shutdown"]);
    assert_eq!(status, 7);
    assert!(error.starts_with("papactl: 1 processes run; "), "{error}");
    assert_eq!(ctl.fails(&["shutdown", "--if-idle"]).0, 7);
    let ended = format!("papad (pid {keeper}) has ended; 1 processes run on without it\n");
    assert_eq!(ctl.ok(&["shutdown", "--leave-processes"]), ended);
    papad.wait_for_exit();
    assert!(procfs::stat(pid).is_some_and(|it| !it.is_zombie()));
    // The test would not end it, as no child of papad's.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
    assert_eq!(ctl.fails(&["shutdown"]).0, 4);

    let mut idle = Papad::start();
    Ctl::of(&idle).ok(&["shutdown", "--if-idle"]);
    idle.wait_for_exit();
}
