//! papad as a program: its options, its titles, how it goes to the background and how it stops.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use papad_tests::{
    Papad, ScratchDir, copy_program, eventually, papad_program, pid_of, procfs, wait_for_end,
};

fn run(words: &[&str]) -> Output {
    Command::new(papad_program()).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What ps shows of a process's command line.
fn title(pid: i32) -> String {
    text(&fs::read(format!("/proc/{pid}/cmdline")).unwrap()).replace('\0', " ")
}

fn comm(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim_end().to_owned()
}

#[test]
fn version_and_help_are_printed_and_nonsense_is_refused() {
    let version = run(&["--version"]);
    assert!(version.status.success());
    let version = text(&version.stdout);
    // Sources that came without their history do not know their commit.
    let rest = version.strip_prefix(&format!("papad {}", env!("CARGO_PKG_VERSION"))).unwrap();
    let commit = rest.strip_prefix(" (commit ").and_then(|rest| rest.strip_suffix(")\n"));
    let is_commit = |commit: &str| commit.len() == 12 && u64::from_str_radix(commit, 16).is_ok();
    assert!(rest == "\n" || commit.is_some_and(is_commit), "{version}");

    let help = run(&["--help"]);
    assert!(help.status.success());
    for option in [
        "-p,",
        "-u,",
        "-d,",
        "--daemonize",
        "--bufsize",
        "--hosted-nofile",
        "--state-dir",
        "--max-sessions",
        "--allow-uid",
    ] {
        assert!(text(&help.stdout).contains(option), "{option}");
    }

    let nonsense = run(&["--bogus"]);
    assert_eq!(nonsense.status.code(), Some(2));
    assert_eq!(text(&nonsense.stderr), "papad: invalid option '--bogus'\nTry: papad --help\n");
}

#[test]
fn a_port_in_use_is_told_in_one_line_with_its_owner() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for daemonize in [&[][..], &["--daemonize"]] {
        let refused = run(&[&["-p", &port.to_string()], daemonize].concat());
        assert_eq!(refused.status.code(), Some(1));
        let told = text(&refused.stderr);
        let own = std::process::id();
        assert!(told.starts_with(&format!("papad: 127.0.0.1:{port} is in use by ")), "{told}");
        assert!(told.ends_with(&format!("(pid {own})\n")), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn titles_name_the_part_and_who_started_it() {
    let papad = Papad::start();
    let own = comm(i32::try_from(std::process::id()).unwrap());
    let (keeper, server) = (papad.keeper_pid(), papad.server_pid());
    assert_eq!((comm(keeper), comm(server)), ("papad: keeper".into(), "papad: server".into()));
    assert!(title(keeper).starts_with(&format!("papad: keeper from {own} -p 0")));
    assert!(title(server).starts_with(&format!("papad: server from {own} -p 0")));
}

const USER_WITH_FEW_DESCRIPTORS: u32 = 61_004;

#[test]
fn daemon_that_cannot_start_returns_and_reports_why() {
    let scratch = ScratchDir::new();
    let program = scratch.join("papad");
    copy_program(papad_program(), &program);
    let mut papad = Command::new("/bin/sh");
    papad.args(["-c", "ulimit -n 12; exec \"$0\" --daemonize -p 0", &program]);
    if Uid::effective().is_root() {
        // Root could have more. This is a user of nobody else: descriptors on their way are counted
        // for each user.
        papad.uid(USER_WITH_FEW_DESCRIPTORS).gid(USER_WITH_FEW_DESCRIPTORS);
    }
    let refused = papad.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = text(&refused.stderr);
    assert!(told.contains("papad: cannot start: 5 servers in a row were never ready; "), "{told}");
    assert!(told.contains("Too many open files"), "{told}");
}

#[test]
fn a_daemon_returns_when_it_answers_and_is_on_its_own() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad.sock");
    let started = run(&["--daemonize", "-u", &path]);
    assert!(started.status.success(), "{}", text(&started.stderr));
    // It answers at once: no waiting, and no second try.
    let session = UnixStream::connect(&path).unwrap();
    let server = nix::sys::socket::getsockopt(&session, nix::sys::socket::sockopt::PeerCredentials)
        .unwrap()
        .pid();
    // The socket was opened by the keeper.
    let keeper = procfs::stat(server).unwrap();
    assert_eq!(comm(keeper.pid), "papad: keeper");
    assert_eq!(keeper.session, keeper.pid, "it leads a session of its own");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", keeper.pid)).unwrap(), Path::new("/"));
    let files = procfs::open_files(keeper.pid);
    assert_eq!([&files[&0], &files[&1], &files[&2]], ["/dev/null"; 3]);

    kill(Pid::from_raw(keeper.pid), Signal::SIGTERM).unwrap();
    eventually("the daemon's end", || {
        procfs::stat(keeper.pid).is_none_or(|stat| stat.is_zombie()) && !Path::new(&path).exists()
    });
}

/// A service manager stops what has not begun yet, and a script may stop papad at its first line.
#[test]
fn a_papad_that_is_stopped_while_it_starts_ends_in_order() {
    let scratch = ScratchDir::new();
    let own = scratch.join("papad.sock");
    fs::write(scratch.join("listening"), "stop").unwrap();
    let points = format!("export PAPAD_KILL_POINTS={}", scratch.path().display());
    let mut papad =
        Papad::builder().with_kill_points().after_shell(&points).unix_path(&own).start();
    let keeper = papad.keeper_pid();
    eventually("the keeper listens and does no more", || {
        procfs::stat(keeper).is_some_and(|stat| stat.state == 'T')
    });
    kill(Pid::from_raw(keeper), Signal::SIGTERM).unwrap();
    kill(Pid::from_raw(keeper), Signal::SIGCONT).unwrap();
    assert!(papad.wait_for_exit().success());
    assert!(!Path::new(&own).exists());
}

/// As in a program that a service has started with its own environment, but without its descriptors.
#[test]
fn descriptors_that_nobody_has_passed_are_not_taken() {
    let scratch = ScratchDir::new();
    // papad has a socket of its own to whoever listens there, and that is not what was passed.
    let notify = scratch.join("notify");
    let _systemd = UnixDatagram::bind(&notify).unwrap();
    let variables = format!("export LISTEN_FDS=1 LISTEN_PID=$$ NOTIFY_SOCKET={notify}");
    let mut papad = Papad::builder().after_shell(&variables).start();
    papad.wait_for_log("what systemd passed cannot be taken");
    papad.session().ask_expecting("set v 1", "");
    kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGTERM).unwrap();
    assert!(papad.wait_for_exit().success());
}

#[test]
fn a_second_signal_ends_papad_at_once_and_no_socket_is_left() {
    let scratch = ScratchDir::new();
    let own = scratch.join("papad.sock");
    let mut papad = Papad::builder().unix_path(&own).start();
    papad.session().ask_expecting("list values", "");
    // Both are there before the keeper sees one.
    for signal in [Signal::SIGSTOP, Signal::SIGTERM, Signal::SIGINT, Signal::SIGCONT] {
        kill(Pid::from_raw(papad.keeper_pid()), signal).unwrap();
    }
    assert!(papad.wait_for_exit().success());
    assert!(!Path::new(&own).exists());
}

#[test]
fn sigterm_and_sigint_end_papad_in_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let scratch = ScratchDir::new();
        let own = scratch.join("papad.sock");
        let hosted = scratch.join("hosted.sock");
        let mut papad = Papad::builder().unix_path(&own).start();
        assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);
        let mut session = papad.session();
        session.ask(format!("make socket hosted path={hosted}"));
        let child = pid_of(&session.ask("make process child /bin/sleep 1000"));

        kill(Pid::from_raw(papad.keeper_pid()), signal).unwrap();
        assert!(papad.wait_for_exit().success());
        assert!(!Path::new(&own).exists());
        eventually("the hosted socket's file is removed", || !Path::new(&hosted).exists());
        assert!(procfs::stat(child).is_some_and(|stat| !stat.is_zombie()), "it is left alone");
        kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    }
}

#[test]
fn a_unix_socket_that_is_answered_or_a_file_is_not_taken_away() {
    let scratch = ScratchDir::new();
    let live = scratch.join("live.sock");
    let _papad = Papad::builder().unix_path(&live).start();
    let refused = run(&["-u", &live]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).starts_with(&format!("papad: cannot listen on {live}: ")));
    UnixStream::connect(&live).unwrap();

    let file = scratch.join("file");
    fs::write(&file, "mine").unwrap();
    assert_eq!(run(&["-u", &file]).status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn the_default_buffer_is_an_option() {
    let papad = Papad::builder().arg("--bufsize").arg("8k").start();
    let mut session = papad.session();
    session.ask("make process p /bin/sh -c seq\\ 1\\ 100000");
    wait_for_end(&mut session, "p");
    session.watch("p", 1);
    let kept = session.watch_on().remove("p").unwrap().text().len();
    assert!((4096..=8192).contains(&kept), "{kept} bytes");
}

/// How long after a connection the keeper looks for it.
const LOOK_LATER: Duration = Duration::from_secs(5);

#[test]
fn connections_rarely_wake_the_keeper() {
    const CONNECTIONS: u64 = 500;
    let papad = Papad::start();
    let wake_ups = || {
        let switches = procfs::status_field(papad.keeper_pid(), "voluntary_ctxt_switches");
        switches.unwrap().parse::<u64>().unwrap()
    };
    papad.session().leave();
    let before = wake_ups();
    for _ in 0..CONNECTIONS {
        papad.session().leave();
    }
    // One for a connection, and one to look, in every five seconds.
    let woken = wake_ups() - before;
    assert!(woken < CONNECTIONS / 10, "{woken}");
}

#[test]
fn nothing_wakes_and_no_thread_is_added_while_nothing_happens() {
    /// Long enough for anything that polls to be seen. Here time is the subject.
    const QUIET: Duration = Duration::from_secs(2);

    let papad = Papad::start();
    let mut session = papad.session();
    let threads = |pid| procfs::status_field(pid, "Threads").unwrap();
    let before = threads(papad.server_pid());
    for number in 0..100 {
        session.ask(format!("make process quiet{number} /bin/sleep 1000"));
    }
    assert_eq!(threads(papad.server_pid()), before, "threads do not grow with processes");
    let mut watchers: Vec<_> = (0..20).map(|_| papad.session()).collect();
    for watcher in &mut watchers {
        watcher.watch("quiet*", 100);
    }
    // What the last watcher's beginning set going is over when another session has an answer.
    session.ask("list values");

    let first = settled_switches(&papad);
    thread::sleep(QUIET);
    assert_eq!(switches(&papad), first);
}

/// How often the threads of papad gave way or were made to, all together; nothing while one of them
/// runs or waits for a processor, which it may do for long.
fn switches(papad: &Papad) -> Option<u64> {
    let of_thread = |status: String| -> Option<u64> {
        let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches:"));
        let counts = lines.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap());
        status.contains("State:\tS").then(|| counts.sum())
    };
    [papad.keeper_pid(), papad.server_pid()]
        .into_iter()
        .flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).unwrap())
        .map(|task| of_thread(fs::read_to_string(task.unwrap().path().join("status")).unwrap()))
        .sum()
}

/// The count once it has stopped growing. Some seconds after a connection the keeper looks whether
/// the server has let it in.
fn settled_switches(papad: &Papad) -> Option<u64> {
    let mut last = switches(papad);
    eventually("papad is at rest", || {
        thread::sleep(LOOK_LATER + Duration::from_secs(1));
        let now = switches(papad);
        std::mem::replace(&mut last, now) == now && now.is_some()
    });
    last
}
