//! The examples do what they say: each is run as a program, and killed where it says it may be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod doc {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/papad.rs"));
}

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::thread::sleep;
use std::time::{Duration, Instant};

use doc::Papad;
use papa_client::{Endpoint, Overflow, Papa};

/// The longest wait for anything that must come.
const DEADLINE: Duration = Duration::from_secs(30);

/// A papad, and what it is to run.
struct Stage {
    papa: Papa,
    papad: Papad,
}

impl Stage {
    fn set() -> Self {
        let papad = Papad::launch();
        Self { papa: Papa::connect(&Endpoint::unix(papad.path())).unwrap(), papad }
    }

    /// An example, to be run with this papad. cargo builds the examples beside its tests.
    fn example(&self, name: &str) -> Command {
        static BUILT: Once = Once::new();
        BUILT.call_once(|| {
            let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let build = ["build", "--quiet", "-p", "papa-client", "--examples"];
            assert!(Command::new(cargo).args(build).status().unwrap().success());
        });
        let test = env::current_exe().unwrap();
        let examples = test.ancestors().nth(2).unwrap().join("examples");
        let mut command = Command::new(examples.join(name));
        command.env("PAPA_ENDPOINT", self.papad.path());
        command
    }
}

fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn eventually(what: &str, mut seen: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !seen() {
        assert!(Instant::now() < until, "not in time: {what}");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn tail_shows_what_is_there_and_takes_nothing() {
    let stage = Stage::set();
    let papa = &stage.papa;
    let web = papa.process("web", "echo one; echo two >&2; exit 3").shell().make().unwrap();
    web.wait().unwrap();
    for _ in 0..2 {
        let shown = run(stage.example("tail").arg("web"));
        assert_eq!(String::from_utf8_lossy(&shown.stdout), "one\n");
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "two\nweb: exit status 3\n");
        assert!(shown.status.success());
    }
    let none = run(stage.example("tail").args(["-n", "none"]));
    assert!(String::from_utf8_lossy(&none.stderr).contains("none") && !none.status.success());
}

#[test]
fn the_log_has_each_byte_once_though_its_writer_is_killed() {
    const PARTS: u64 = 5;
    const LINES: u64 = 300_000;
    let stage = Stage::set();
    let (papa, papad) = (&stage.papa, &stage.papad);
    let gate = papad.directory().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    // Open in both directions it is always there, for either side.
    let mut to_go_on = File::options().read(true).write(true).open(&gate).unwrap();
    let part = LINES / PARTS;
    let script = format!(
        "first=1000000000; while [ $first -lt {} ]; do read line <{}; seq $first $((first + {part} - 1)); \
         first=$((first + {part})); done",
        1_000_000_000 + LINES,
        gate.display()
    );
    let flood = papa.process("web", script).shell();
    let log = papad.directory().join("log");
    let length = || fs::metadata(&log).map_or(0, |log| log.len());
    flood.overflow(Overflow::Block).bufsize(128 << 10).make().unwrap();
    let write = || spawn(stage.example("exactly_once_log").arg(papad.directory()).arg("web"));
    // However slow this is, a writer has no more than its part before it is killed.
    for _ in 0..PARTS {
        let before = length();
        let mut writer = write();
        to_go_on.write_all(b"\n").unwrap();
        eventually("the log grows", || length() > before + 200_000);
        end(&mut writer);
    }
    if !papa.processes("web").unwrap().is_empty() {
        assert!(write().wait().unwrap().success());
    }
    let log = fs::read_to_string(log).unwrap();
    let lines: Vec<String> = (0..LINES).map(|at| (1_000_000_000 + at).to_string()).collect();
    assert!(log.lines().eq(&lines), "{} lines, not {LINES}", log.lines().count());
}

#[test]
fn the_log_keeps_no_places_of_processes_that_are_gone() {
    const JOBS: usize = 300;
    let stage = Stage::set();
    let (papa, papad) = (&stage.papa, &stage.papad);
    let read = |name: &str| fs::read_to_string(papad.directory().join(name)).unwrap_or_default();
    let mut writer = spawn(stage.example("exactly_once_log").arg(papad.directory()).arg("job.*"));
    for job in 0..JOBS {
        papa.process(format!("job.{job}"), "/bin/echo").arg("x").env_clear().make().unwrap();
        eventually("it is logged and taken", || papa.processes("job.*").unwrap().is_empty());
    }
    assert_eq!(read("log"), "x\n".repeat(JOBS));
    // A line for the length, and one for each place.
    let places = read("places").lines().count() - 1;
    assert!(places < JOBS / 2, "{places} places");
    end(&mut writer);
}

#[test]
fn the_manager_starts_again_what_ends_and_finds_what_runs() {
    let stage = Stage::set();
    let (papa, papad) = (&stage.papa, &stage.papad);
    let file = papad.directory().join("services");
    fs::write(&file, "stays echo up; exec sleep 1000\nends exit 3\n").unwrap();
    let mut manager = spawn(stage.example("mini_manager").arg(&file));
    let running = |name: &str| {
        let found = papa.process_named(name).unwrap();
        found.filter(|process| process.info().is_running()).map(|process| process.id())
    };
    eventually("it has started all", || running("mini.stays").is_some());
    let stays = running("mini.stays");
    let mut seen = std::collections::BTreeSet::new();
    eventually("it has started again what ends", || {
        seen.extend(papa.process_named("mini.ends").unwrap().map(|process| process.id()));
        seen.len() > 3
    });
    let second = run(stage.example("mini_manager").arg(&file));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another one is at work"));

    end(&mut manager);
    assert_eq!(running("mini.stays"), stays);
    fs::write(&file, "stays echo up; exec sleep 1000\n").unwrap();
    // The lock of a manager that was killed is free a moment later.
    eventually("the lock is free", || papa.get("mini-manager").unwrap().is_none());
    let mut manager = spawn(stage.example("mini_manager").arg(&file));
    eventually("it has ended what the file names no more", || {
        papa.processes("mini.*").unwrap().len() == 1
    });
    assert_eq!(running("mini.stays"), stays);
    end(&mut manager);
}

#[test]
fn the_manager_outlives_papads_server_and_keeps_its_lock() {
    let stage = Stage::set();
    let (papa, papad) = (&stage.papa, &stage.papad);
    let file = papad.directory().join("services");
    fs::write(&file, "ends sleep 0.01; exit 3\n").unwrap();
    let mut manager = spawn(stage.example("mini_manager").arg(&file));
    let mut seen = std::collections::BTreeSet::new();
    let holder = || papa.get("mini-manager").unwrap();
    eventually("it has its lock", || holder().is_some());
    let first = holder();
    for kills in 1..=10 {
        papad.kill_server();
        eventually("it has its lock again, and goes on to start what ends", || {
            seen.extend(papa.process_named("mini.ends").unwrap().map(|process| process.id()));
            holder() == first && seen.len() > kills * 2
        });
        assert_eq!(manager.try_wait().unwrap(), None, "it has ended after {kills} kills");
    }
    let second = run(stage.example("mini_manager").arg(&file));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another one is at work"));
    end(&mut manager);
}

#[test]
fn the_manager_ends_when_its_lock_is_somebody_elses() {
    let stage = Stage::set();
    let (papa, papad) = (&stage.papa, &stage.papad);
    let file = papad.directory().join("services");
    fs::write(&file, "stays exec sleep 1000\n").unwrap();
    let mut command = stage.example("mini_manager");
    command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let manager = command.spawn().unwrap();
    eventually("it has started all", || papa.process_named("mini.stays").unwrap().is_some());
    papa.set("mini-manager", "another").unwrap();
    let ended = manager.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said, "mini_manager: the lock mini-manager is lost: somebody else has it\n");
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

/// Kills a program, if it has not ended.
fn end(child: &mut Child) {
    let _ = child.kill();
    child.wait().unwrap();
}
