//! The limits of the machine are met: the request that meets one gets an error, what runs runs on,
//! and when there is room again, papad does as before.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::unistd::Uid;
use papad_tests::exact::{Exact, number_of, script};
use papad_tests::kills::{Client, Expected, Patient, Random, watch_to_end};
use papad_tests::{BANNER, Fifo, Papad, ScratchDir, eventually, is_root};

/// Users of nobody else, so that a limit on a user's processes counts these papads' alone.
const USER_WITH_FEW_DESCRIPTORS: u32 = 61_001;
const USER_WITH_FEW_PROCESSES: u32 = 61_002;
const USER_WITH_FEW_DESCRIPTORS_AND_ORPHANS: u32 = 61_004;

const USER_WITH_SMALL_FILES: u32 = 61_003;

/// Shells differ in the letter for it.
const FEW_PROCESSES: &str = "ulimit -p 20 2>/dev/null || ulimit -u 20";

/// What a process that waits at a gate says before and after, and how it ends.
const EXPECTED: Expected = Expected { out: b"before\nafter\n", err: b"", code: 7 };

/// Options and words of a process that says so.
fn waiting(gate: &Fifo) -> String {
    script(&format!("echo before; read go < {}; echo after; exit 7", gate.path()))
}

/// A gate that any user's processes may wait at.
fn open_gate(scratch: &ScratchDir) -> Fifo {
    let gate = Fifo::new(scratch, "gate");
    fs::set_permissions(gate.path(), fs::Permissions::from_mode(0o666)).unwrap();
    gate
}

/// A papad of another user, under a limit that the shell sets. Root is above most limits.
fn limited(scratch: &ScratchDir, user: u32, limit: &str) -> Option<Papad> {
    is_root("running papad as somebody else")
        .then(|| Papad::builder().as_user(user, scratch.join("papad")).after_shell(limit).start())
}

/// Makes processes until that is refused; returns how many there are then.
fn make_until_refused(exact: &mut Exact) -> usize {
    for number in 0.. {
        let made = exact.try_ask(format!("make process p.{number} -- /bin/sleep 1000")).unwrap();
        if let Err(refusal) = made {
            assert_eq!(refusal.code, "limit", "{refusal:?}");
            return number;
        }
    }
    unreachable!("numbers do not end")
}

/// Makes room again: processes are removed, and killed.
fn end_all(exact: &mut Exact, running_before: u64) {
    for line in exact.ask("list processes p.*") {
        let pid = nix::unistd::Pid::from_raw(number_of(&line, "pid") as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    exact.ask("remove processes p.*");
    eventually("they are gone", || {
        number_of(&exact.ask("status")[0], "processes") == running_before
    });
}

#[test]
fn without_descriptors_what_runs_runs_on() {
    let scratch = ScratchDir::new();
    let gate = open_gate(&scratch);
    let Some(papad) = limited(&scratch, USER_WITH_FEW_DESCRIPTORS, "ulimit -n 200") else { return };
    let mut exact = Exact::tcp(&papad);
    exact.ask("set v 1");
    exact.ask_line(format!("make process waiting {}", waiting(&gate)));
    let made = make_until_refused(&mut exact);
    assert!(made > 10, "{made}");
    // Each of these takes descriptors that are not there, now or after a few more.
    let mut refused = 0;
    for number in 0..200 {
        let made = exact.try_ask(format!("make socket s.{number}")).unwrap();
        refused += u32::from(made.is_err_and(|refusal| refusal.code == "limit"));
    }
    assert!(refused > 0);
    exact.ask_for("limit", format!("make process q {}", waiting(&gate)));
    exact.ask_expecting("get v", "ok 1\n1\n");

    // Who comes now is told why there is no session.
    let mut turned_away = papad.connect();
    let answer = String::from_utf8(turned_away.read_to_end()).unwrap();
    assert_eq!(answer, "Error: papad has no descriptor left\n> ");

    // The next server has no more room, and yet finds everything.
    let before = exact.ask("list processes");
    drop(exact);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list processes"), before);
    assert_eq!(number_of(&exact.ask("status")[0], "skipped"), 0);

    gate.send_line();
    exact.ask("remove sockets s.*");
    end_all(&mut exact, 1);
    drop(exact);
    let mut patient = Patient::new(&papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "waiting", EXPECTED);
    // And there is room again.
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket s");
    exact.ask("make process p.again -- /bin/true");
}

#[test]
fn orphans_leave_descriptors_to_sessions_and_their_ends_are_seen() {
    let scratch = ScratchDir::new();
    let user = USER_WITH_FEW_DESCRIPTORS_AND_ORPHANS;
    let Some(papad) = limited(&scratch, user, "ulimit -n 200") else { return };
    let mut exact = Exact::tcp(&papad);
    let made = make_until_refused(&mut exact);
    assert!(made > 10, "{made}");
    drop(exact);
    // Each process is an orphan from now on, and would have one more descriptor if there were any.
    papad.kill_keeper();

    let mut sessions: Vec<Exact> = (0..4).map(|_| Exact::tcp(&papad)).collect();
    let exact = &mut sessions[0];
    let all = exact.ask("list processes p.*");
    assert_eq!(all.len(), made);
    // What a client goes by that signals a process.
    assert!(all.iter().all(|line| line.contains(" starttime=")), "{all:?}");
    end_all(exact, 0);
    // There is room again, also for those that are made now.
    exact.ask("make process p.again -- /bin/true");
}

#[test]
fn without_processes_what_runs_runs_on() {
    let scratch = ScratchDir::new();
    let gate = open_gate(&scratch);
    let Some(papad) = limited(&scratch, USER_WITH_FEW_PROCESSES, FEW_PROCESSES) else { return };
    let mut exact = Exact::tcp(&papad);
    exact.ask("set v 1");
    exact.ask_line(format!("make process waiting {}", waiting(&gate)));
    let server = papad.server_pid();
    let made = make_until_refused(&mut exact);
    assert!((5..20).contains(&made), "{made}");
    // A session takes a thread, and so does a socket with a umask of its own.
    let mut session = papad.connect();
    session.expect("Error: papad can make no more threads\n> ");
    session.expect_closed();
    let path = scratch.join("socket");
    let why = exact.ask_for("limit", format!("make socket s path={path} umask=077"));
    assert!(why.contains("temporarily unavailable"), "{why}");
    exact.ask_expecting("get v", "ok 1\n1\n");
    assert_eq!(papad.server_pid(), server, "{}", papad.log());

    // The next server finds room where the last one was.
    drop(exact);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list processes").len(), made + 1);
    gate.send_line();
    end_all(&mut exact, 1);
    drop(exact);
    let mut patient = Patient::new(&papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "waiting", EXPECTED);
    papad.session().ask("make process p.again /bin/true");
    let mut session = papad.connect();
    session.expect(BANNER);
}

#[test]
fn without_room_in_memory_files_what_runs_runs_on() {
    // Memory files are files: a limit on their size is met where memory is.
    let scratch = ScratchDir::new();
    let gate = open_gate(&scratch);
    // 2 MiB, in units of 512 bytes. Root may lift it.
    let small_files = "ulimit -f 4096";
    let papad = if Uid::effective().is_root() {
        let copy = scratch.join("papad");
        Papad::builder().as_user(USER_WITH_SMALL_FILES, copy).after_shell(small_files).start()
    } else {
        Papad::builder().after_shell(small_files).start()
    };
    let mut exact = Exact::tcp(&papad);
    exact.ask_line(format!("make process waiting bufsize=64k {}", waiting(&gate)));
    let server = papad.server_pid();
    exact.ask_for("limit", "make process large bufsize=1g -- /bin/true");
    assert_eq!(exact.ask("list processes").len(), 1);

    let value = "x".repeat(300_000);
    let mut stored = 0;
    while exact.try_ask(format!("set v.{stored} {value}")).unwrap().is_ok() {
        stored += 1;
    }
    assert!((3..7).contains(&stored), "{stored}");
    // What was refused is not there; everything else is, and a short record has room.
    exact.ask_for("not-found", format!("get v.{stored}"));
    assert_eq!(exact.ask("list values").len(), stored);
    exact.ask_for("conflict", format!("set v.0 {value} if=absent"));
    gate.send_line();
    eventually("its end is recorded", || {
        exact.ask_line("list processes waiting").contains("exit=7")
    });
    assert_eq!(papad.server_pid(), server, "{}", papad.log());
    drop(exact);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list values").len(), stored);
    assert_eq!(number_of(&exact.ask("status")[0], "skipped"), 0);
    exact.ask("remove values v.*");
    // The journal is still as long as before. It is shortened when something does not fit.
    let _ = exact.try_ask(format!("set v.{stored} {value}")).unwrap();
    exact.ask(format!("set v.{stored} {value}"));
    drop(exact);
    let mut patient = Patient::new(&papad);
    watch_to_end(&mut patient, &mut Random::from_environment(), "waiting", EXPECTED);
}

#[test]
fn a_limit_on_sessions_turns_away_who_comes_too_late() {
    let papad = Papad::builder().arg("--max-sessions=2").arg("--max-sessions-per-user=2").start();
    let (mut first, second) = (papad.session(), Client::connect(&papad).unwrap());
    let mut third = papad.connect();
    third.expect("Error: papad serves at most 2 sessions\n> ");
    third.expect_closed();
    first.ask_expecting("set v 1", "");
    second.leave();
    papad.session().ask_expecting("get v", "1");
}
