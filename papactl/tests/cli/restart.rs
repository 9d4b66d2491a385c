//! restart.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use papad_tests::exact::{Exact, Seen, quoted, value_of};
use papad_tests::{Fifo, Papad, ScratchDir, eventually};
use serde_json::{Value, json};

use crate::ctl::{Ctl, Ran};

fn show(papad: &Papad, name: &str) -> String {
    Exact::tcp(papad).ask_line(format!("show process {name}"))
}

fn of(ctl: &Ctl, name: &str, key: &str) -> Value {
    ctl.json(&["ps", name])[0][key].clone()
}

#[test]
fn a_process_is_stopped_and_made_again_the_same() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        Exact::tcp(&papad).ask(format!(
            "make process web dir=/ umask=027 bufsize=64k linger=7 stderr=stdout rlimit.core=0 \
             \"env.A=b \\xff\" -- /bin/sh -c {}",
            quoted("echo hello; exec sleep 1000")
        ));
        let (old, made_of) = (of(&ctl, "web", "pid"), show(&papad, "web"));
        eventually("it has written", || of(&ctl, "web", "unread") == 6);
        let line = ctl.ok(&["restart", "web"]);
        let new = of(&ctl, "web", "pid");
        assert_ne!(new, old);
        let left = "\"papactl logs --previous web\" shows what the one before left unread";
        assert_eq!(line, format!("web runs as pid {new}; {left}\n"));
        let previous = ctl.run(&["logs", "--previous", "web"]);
        assert_eq!((previous.status, &*previous.text()), (Some(0), "hello\n"));
        assert!(previous.error().contains("signal TERM"), "{}", previous.error());
        assert_eq!(show(&papad, "web"), made_of);
        // One that has ended is simply made again.
        ctl.ok(&["stop", "web"]);
        let json = ctl.json(&["restart", "w*"]);
        assert_eq!((&json[0]["name"], &json[0]["state"]), (&json!("web"), &json!("running")));
        assert_eq!(json[0]["unread_dropped"], json!(0));
        assert!(json[0]["unread_previous"].is_number());
        assert_eq!(ctl.fails(&["restart", "none"]).0, 3);
        assert_eq!(ctl.ok(&["restart", "none*"]), "");
        ctl.ok(&["stop", "web"]);
        ctl.ok(&["rm", "web"]);
    }
}

#[test]
fn what_does_not_end_is_not_made_again_and_the_others_are() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let ready = Fifo::new(&scratch, "ready");
    let line = format!("trap '' TERM; echo >{}; while :; do sleep 1000; done", ready.path());
    ctl.ok(&["run", "a", "--", "/bin/sh", "-c", &line]);
    papad.session().ask("make process b /bin/sleep 1000");
    let pids = || (of(&ctl, "a", "pid"), of(&ctl, "b", "pid"));
    let before = pids();
    // b takes a signal that a does not mind.
    ready.read_line();
    let ran = ctl.run(&["restart", "a", "b", "--grace=5s", "--no-kill"]);
    assert_eq!(ran.status, Some(6));
    assert!(ran.error().starts_with("papactl: a still runs after 5s; "), "{}", ran.error());
    let after = pids();
    assert_eq!((after.0 == before.0, after.1 == before.1), (true, false));
    ctl.ok(&["restart", "a", "--grace=1ms", "--kill"]);
    assert_ne!(pids().0, before.0);
}

#[test]
fn what_could_not_be_started_again_is_not_stopped() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let (program, directory) = (scratch.join("program"), scratch.join("directory"));
    fs::create_dir(&directory).unwrap();
    fs::write(&program, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    let let_run = |mode| fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
    let_run(0o755);
    ctl.ok(&["run", "web", "-C", &directory, "-E", "TOKEN=secret", "--", &program]);
    let (pid, made_of) = (of(&ctl, "web", "pid"), show(&papad, "web"));
    let refused = |why: String| {
        let (status, error) = ctl.fails(&["restart", "web"]);
        let expected =
            format!("papactl: web could not be started again: {why}; nothing was stopped");
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(status, 1);
        assert_eq!(of(&ctl, "web", "pid"), pid);
    };
    let_run(0o644);
    refused(format!("the command cannot be run: Permission denied: {program}"));
    fs::rename(&program, format!("{program}.gone")).unwrap();
    refused(format!("the command cannot be run: No such file or directory: {program}"));
    fs::rename(format!("{program}.gone"), &program).unwrap();
    let_run(0o755);
    fs::remove_dir(&directory).unwrap();
    let why = "No such file or directory (os error 2)";
    refused(format!("the directory {directory} cannot be entered: {why}"));
    // Nothing of it is left anywhere else.
    assert_eq!(ctl.json(&["values"]), json!([]));
    fs::create_dir(&directory).unwrap();
    ctl.ok(&["restart", "web"]);
    assert_ne!(of(&ctl, "web", "pid"), pid);
    assert_eq!(show(&papad, "web"), made_of);
}

/// Takes the process's end, which was read.
fn take_end(collector: &mut Exact) {
    collector.send("ack web closed\n");
    // papad has done that when it answers what comes after it.
    collector.ask_for("usage", "get x");
}

/// A process whose working directory is gone when it ends. Its child holds the restart up until a
/// line comes from the fifo.
fn run_once(ctl: &Ctl, directory: &str, ready: &Fifo, go: &Fifo) {
    fs::create_dir(directory).unwrap();
    let line = format!(
        "(trap '' TERM; echo >{ready}; read line <{go}) >/dev/null 2>&1 & \
         trap 'rmdir {directory}; exit 7' TERM; echo >{ready}; wait",
        ready = ready.path(),
        go = go.path(),
    );
    ctl.ok(&["run", "web", "-C", directory, "-E", "TOKEN=secret", "--", "/bin/sh", "-c", &line]);
    ready.read_line();
    ready.read_line();
}

#[test]
fn ended_process_stays_listed_though_a_collector_takes_its_end() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let (ready, go) = (Fifo::new(&scratch, "ready"), Fifo::new(&scratch, "go"));
    let directory = scratch.join("directory");
    for (ctl, takes_at_once) in [(Ctl::of(&papad), true), (Ctl::over_unix(&papad), false)] {
        let mut collector = Exact::tcp(&papad);
        collector.ask("watch web*");
        run_once(&ctl, &directory, &ready, &go);
        let (id, made_of) = (of(&ctl, "web", "id"), show(&papad, "web"));
        let restarting = ctl.start(&["restart", "web", "--grace=1h"]);
        while !matches!(collector.next_seen(), Seen::Closed { .. }) {}
        if takes_at_once {
            take_end(&mut collector);
            assert_eq!(of(&ctl, "web", "state"), "exited");
        }
        go.send_line();
        let ran = Ran::of(restarting);
        let error = ran.error();
        assert!(
            error.starts_with("papactl: web has ended and cannot be started again: "),
            "{error}"
        );
        assert!(error.ends_with("; put that right, and \"papactl restart web\" tries once more\n"));
        if !takes_at_once {
            take_end(&mut collector);
        }
        // What it was made of is nowhere but on the list, and stays there.
        for _ in 0..2 {
            assert_eq!(ctl.json(&["values"]), json!([]));
            assert_eq!(
                (of(&ctl, "web", "id"), of(&ctl, "web", "state")),
                (id.clone(), json!("exited"))
            );
            assert_eq!(show(&papad, "web"), made_of);
            papad.kill_server();
        }
        fs::create_dir(&directory).unwrap();
        ctl.ok(&["restart", "web"]);
        ready.read_line();
        ready.read_line();
        assert_eq!(of(&ctl, "web", "state"), "running");
        assert_eq!(show(&papad, "web"), made_of);
        // All of the old one was taken.
        eventually("nothing is kept of it", || Exact::tcp(&papad).ask("list previous").is_empty());
        ctl.ok(&["rm", "--force", "web"]);
        fs::remove_dir(&directory).unwrap();
    }
}

#[test]
fn held_process_goes_when_a_collector_has_taken_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut collector = Exact::tcp(&papad);
    collector.ask("watch web*");
    ctl.ok(&["run", "web", "--overflow=block", "--buffer=4k", "--", "/bin/sh", "-c", "exec yes"]);
    let id = of(&ctl, "web", "id");
    let restarting = ctl.start(&["restart", "web"]);
    let (mut next, mut how) = (0, None);
    while how.is_none() {
        match collector.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position, next, "nothing is lost");
                next += data.len() as u64;
                collector.send(format!("ack web {next}\n"));
            }
            Seen::Closed { end, .. } => how = Some(end),
            Seen::Joined { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(how.as_deref(), Some("signal 15"));
    collector.send("ack web closed\n");
    assert_eq!(Ran::of(restarting).status, Some(0));
    eventually("nothing is kept of it", || Exact::tcp(&papad).ask("list previous").is_empty());
    assert_ne!(of(&ctl, "web", "id"), id);
    let watchers = Exact::tcp(&papad).ask_line("list processes");
    assert_eq!(value_of(&watchers, "watchers"), "1", "papactl watches no more");
}

#[test]
fn successor_is_started_when_all_descendants_have_ended() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let (child, ready) = (Fifo::new(&scratch, "child"), Fifo::new(&scratch, "ready"));
    // What holds a lock of the first one's child cannot be had by the second before that has ended.
    let lock = scratch.join("lock");
    let line = format!(
        "exec 9>{lock}; flock -n 9 || exec echo taken >{ready}; echo had >{ready}; \
         trap '' TERM; sh -c 'echo $$ >{child}; while :; do sleep 1000; done' & \
         trap - TERM; wait",
        child = child.path(),
        ready = ready.path(),
    );
    ctl.ok(&["run", "web", "--", "/bin/sh", "-c", &line]);
    for _ in 0..2 {
        assert_eq!(ready.read_line(), "had");
        child.read_line();
        ctl.ok(&["restart", "web", "--grace=1ms"]);
    }
    assert_eq!(ready.read_line(), "had");
}

#[test]
fn previous_output_is_read_in_every_way_and_taken() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let (status, error) = ctl.fails(&["logs", "--previous", "web"]);
    assert_eq!(status, 3);
    assert!(error.starts_with("papactl: nothing is left of a process before web; "), "{error}");
    ctl.ok(&["run", "web", "--", "/bin/sh", "-c", "echo one; echo two; exit 3"]);
    ctl.run(&["wait", "web"]);
    ctl.ok(&["restart", "web"]);
    let shown = |words: &[&str]| {
        let ran = ctl.run(words);
        assert_eq!((ran.status, &*ran.error()), (Some(0), "--- web: exit status 3 ---\n"));
        ran.text()
    };
    assert_eq!(shown(&["logs", "-p", "web", "--tail=1"]), "two\n");
    assert_eq!(shown(&["logs", "-p", "w*"]), "web | one\nweb | two\n");
    assert_eq!(shown(&["logs", "-p", "web", "--take"]), "one\ntwo\n");
    assert_eq!(ctl.fails(&["logs", "--previous", "web"]).0, 3);
    assert_eq!(ctl.ok(&["logs", "--previous", "w*"]), "");
}

#[test]
fn it_is_made_again_once_though_the_server_is_killed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    papad.session().ask("make process web /bin/sleep 1000");
    for _ in 0..5 {
        let before = of(&ctl, "web", "id");
        let restarting = ctl.start(&["restart", "web"]);
        papad.kill_server();
        let ran = Ran::of(restarting);
        assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""));
        let web = ctl.json(&["ps"]);
        assert_eq!(web.as_array().unwrap().len(), 1);
        assert_eq!(web[0]["state"], json!("running"));
        assert_ne!(web[0]["id"], before);
    }
}

#[test]
fn what_cannot_be_started_again_is_not_lost_and_no_secret_is_kept() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let program = scratch.join("program");
    let script = "#!/bin/sh\nexec sleep 1000\n";
    let write = |text: &str| {
        // A file that runs is not written to, but replaced.
        let new = scratch.program("new", text);
        fs::rename(new, &program).unwrap();
    };
    write(script);
    ctl.ok(&["run", "web", "-E", "TOKEN=secret", "--", &program]);
    let made_of = show(&papad, "web");
    // It can be run for all that papactl can see, and the kernel refuses it.
    write("\u{7f}ELF, and then nothing");
    for _ in 0..2 {
        let (status, error) = ctl.fails(&["restart", "web"]);
        assert_eq!(status, 1);
        let begin = "papactl: web has ended and cannot be started again: ";
        let end = "; put that right, and \"papactl restart web\" tries once more";
        assert!(error.starts_with(begin) && error.ends_with(end), "{error}");
        assert_eq!(ctl.json(&["values"]), json!([]));
    }
    write(script);
    ctl.ok(&["restart", "web"]);
    assert_eq!(show(&papad, "web"), made_of);
}
