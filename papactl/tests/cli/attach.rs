//! run --attach.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::Exact;
use papad_tests::{Fifo, Papad, ScratchDir, eventually, procfs};
use serde_json::json;

use crate::ctl::{Ctl, Ran};
use crate::terminal::Terminal;

/// The words that follow a shell that runs this line.
fn attached<'a>(options: &[&'a str], line: &'a str) -> Vec<&'a str> {
    [&["run", "job", "--attach"], options, &["--", "/bin/sh", "-c", line]].concat()
}

/// Reads a line of a running papactl's.
fn line(from: &mut impl Read) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        from.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

fn pid(ctl: &Ctl) -> i32 {
    ctl.json(&["ps", "job"])[0]["pid"].as_i64().unwrap() as i32
}

fn interrupt(papactl: &Child, signal: Signal) {
    kill(Pid::from_raw(papactl.id() as i32), signal).unwrap();
}

#[test]
fn output_and_end_are_the_processs_and_stay_for_others() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        let ran = ctl.run(&attached(&["--replace"], "printf '\\377out'; echo err >&2; exit 3"));
        assert_eq!(ran.status, Some(3));
        assert_eq!((&ran.stdout[..], &ran.stderr[..]), (&b"\xffout"[..], &b"err\n"[..]));
        let job = &ctl.json(&["ps"])[0];
        assert_eq!((&job["unread"], &job["exit_status"]), (&json!(8), &json!(3)));
        let ran = ctl.run(&attached(&["--replace"], "kill -KILL $$"));
        assert_eq!((ran.status, ran.error().as_str()), (Some(137), ""));
    }
}

#[test]
fn with_rm_nothing_is_left() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    for _ in 0..2 {
        let ran = ctl.run(&attached(&["--rm"], "echo one; exit 3"));
        assert_eq!((ran.status, ran.text().as_str()), (Some(3), "one\n"));
        assert_eq!(ctl.json(&["ps"]), json!([]));
    }
}

#[test]
fn a_process_that_waits_for_its_reader_is_read_whole() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let options = ["--overflow=block", "--buffer=4k"];
    let ran = ctl.run(&attached(&options, "head -c 1000000 /dev/zero; exit 3"));
    assert_eq!((ran.status, ran.stdout.len(), ran.error().as_str()), (Some(3), 1_000_000, ""));
}

#[test]
fn what_was_lost_is_told() {
    const WRITTEN: usize = 50_000_000;
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let script = format!("head -c {WRITTEN} /dev/zero");
    let papactl = ctl.start(&attached(&["--buffer=4k"], &script));
    // Nobody reads what papactl writes, and it is more than fits anywhere.
    eventually("all is written", || {
        let ps = ctl.json(&["ps"]);
        ps[0]["written"] == WRITTEN && ps[0]["state"] == "exited"
    });
    let ran = Ran::of(papactl);
    assert_eq!(ran.status, Some(0));
    let lost = |line: &str| -> usize {
        let rest = line.strip_prefix("papactl: ").unwrap();
        rest.strip_suffix(" bytes of job were lost before they were shown")
            .unwrap()
            .parse()
            .unwrap()
    };
    let lost: usize = ran.error().lines().map(lost).sum();
    assert!(lost > 0);
    assert_eq!(ran.stdout.len() + lost, WRITTEN);
}

#[test]
fn ctrl_c_detaches_and_the_process_runs_on() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let words = attached(&[], "echo ready; exec sleep 1000");
    for line in ["ready", "job runs already"] {
        let mut terminal = Terminal::start(&ctl, &words, (24, 100));
        terminal.wait_for_text(line);
        terminal.wait_for_text("ready");
        terminal.send("\u{3}");
        let (status, screen) = terminal.wait();
        assert_eq!(status, 130);
        let pid = pid(&ctl);
        let said = format!(
            "papactl: job runs on as pid {pid}; \"papactl logs -f job\" shows what it writes"
        );
        assert!(screen.contains(&said), "{screen}");
        assert!(procfs::stat(pid).is_some_and(|it| !it.is_zombie()));
    }
}

#[test]
fn other_signals_and_a_closed_reader_detach_too() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    // What nobody reads fills the pipe, and papactl waits in the midst of it.
    let flood = attached(&["--replace"], "echo ready; exec cat /dev/zero");
    let silence = attached(&["--replace"], "echo ready; exec sleep 1000");
    for words in [&flood, &silence] {
        for signal in [Some(Signal::SIGTERM), Some(Signal::SIGHUP), None] {
            let mut papactl = ctl.start(words);
            let mut stdout = papactl.stdout.take().unwrap();
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            match signal {
                Some(signal) => interrupt(&papactl, signal),
                None => drop(stdout),
            }
            let ran = Ran::of(papactl);
            assert_eq!(ran.status, Some(130), "{signal:?}: {}", ran.error());
            let said = ran.error();
            assert!(said.lines().last().unwrap().contains("runs on as pid"), "{said}");
        }
        ctl.ok(&["stop", "job"]);
    }
}

#[test]
fn it_goes_on_through_kills_and_upgrades() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let go_on = Fifo::new(&scratch, "fifo");
    let path = go_on.path();
    let script = format!(
        "echo one; read x <{path}; echo two; read x <{path}; echo three; read x <{path}; exit 3"
    );
    for options in [&[][..], &["--rm", "--replace"]] {
        let mut papactl = ctl.start(&attached(options, &script));
        let mut stdout = BufReader::new(papactl.stdout.take().unwrap());
        assert_eq!(line(&mut stdout), "one\n");
        papad.kill_server();
        go_on.send_line();
        assert_eq!(line(&mut stdout), "two\n");
        Exact::tcp(&papad).ask("upgrade");
        go_on.send_line();
        assert_eq!(line(&mut stdout), "three\n");
        papad.kill_server();
        go_on.send_line();
        let rest: Vec<_> = stdout.lines().collect();
        assert_eq!(rest.len(), 0, "each line comes once: {rest:?}");
        let ran = Ran::of(papactl);
        assert_eq!((ran.status, ran.error().as_str()), (Some(3), ""));
    }
}

#[test]
fn its_own_trouble_has_a_status_of_its_own() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let (status, _) = ctl.fails(&["run", "job", "--attach", "--", "/no/such/program"]);
    assert_eq!(status, 125);
    let mut papactl = ctl.start(&attached(&[], "echo ready; exec sleep 1000"));
    let mut stdout = papactl.stdout.take().unwrap();
    assert_eq!(line(&mut stdout), "ready\n");
    ctl.ok(&["rm", "--running", "job"]);
    let ran = Ran::of(papactl);
    assert_eq!(ran.status, Some(125));
    let said = "papactl: job has left papad's list: somebody has removed it or taken its end\n";
    assert_eq!(ran.error(), said);
}

#[test]
fn a_full_disk_ends_the_look_and_says_where_the_output_is() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut command = ctl.command(&attached(&["--rm"], "echo one"));
    // A file that takes not one byte, as on a full disk.
    let full = memfd_create("full", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    fcntl(&full, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).unwrap();
    command.stdout(full).stderr(Stdio::piped());
    let ran = Ran::of(command.spawn().unwrap());
    assert_eq!(ran.status, Some(125));
    let hint = "; what job writes is kept, and \"papactl logs -f job\" shows it\n";
    assert!(ran.error().ends_with(hint), "{ran:?}");
    assert_eq!(ctl.ok(&["logs", "job"]), "one\n");
}
