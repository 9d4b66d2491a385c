//! Processes whose keeper was killed, and are nobody's children since: how they end is told by the
//! next papad, or is unknown.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::fd::OwnedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::utsname::uname;
use nix::unistd::Pid;
use papa_client::{End, Endpoint, Papa, Signal as ClientSignal};
use papad_tests::exact::{Exact, Seen, number_of, script, value_of};
use papad_tests::{FakeSystemd, Fifo, Papad, ScratchDir, eventually, procfs};

/// How an end is told in protocol 2 if nobody knows it, and in papa 1.0.
const UNKNOWN: &str = "unknown 0";
const UNKNOWN_CODE: i32 = 511;

/// Processes that are orphans, in a papad that was killed and started again.
struct Orphaned<'a> {
    systemd: &'a FakeSystemd,
    papad: Papad,
    scratch: ScratchDir,
}

impl<'a> Orphaned<'a> {
    /// A papad that is yet to be killed.
    fn prepare(systemd: &'a FakeSystemd) -> Self {
        let scratch = ScratchDir::new();
        let papad = start(systemd, &scratch);
        Self { systemd, papad, scratch }
    }

    /// Makes a process that runs a script, and returns its pid.
    fn make(&self, name: &str, line: &str) -> i32 {
        let made =
            Exact::tcp(&self.papad).ask_line(format!("make process {name} {}", script(line)));
        let pid = number_of(&made, "pid") as i32;
        self.systemd.look_after(pid);
        pid
    }

    /// A process that says hello, waits for a line, says goodbye and ends as told.
    fn make_waiting(&self, name: &str, end: &str) -> Fifo {
        let fifo = Fifo::new(&self.scratch, name);
        let path = fifo.path();
        self.make(name, &format!("echo hello; read line <{path}; echo goodbye; {end}"));
        fifo
    }

    fn kill_papad(&mut self) {
        // Everything that was held is in the store when this has answered.
        assert!(!self.systemd.stored().is_empty());
        self.papad.kill_both();
    }

    fn start_again(&mut self) {
        self.papad = start(self.systemd, &self.scratch);
    }

    fn line(&self, name: &str) -> String {
        Exact::tcp(&self.papad).ask_line(format!("list processes {name}"))
    }
}

fn start(systemd: &FakeSystemd, scratch: &ScratchDir) -> Papad {
    Papad::builder().under(systemd).unix_path(scratch.join("papad")).start()
}

/// Whether the kernel tells anybody but the parent how a process has ended: from Linux 6.15 on.
fn kernel_tells() -> bool {
    let uname = uname().unwrap();
    let release = uname.release().to_str().unwrap().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 15)
}

/// What protocol 2 says of an orphan that has ended like this.
fn told(end: &str) -> &str {
    if kernel_tells() { end } else { UNKNOWN }
}

/// All output of a process, and its end.
fn watch_to_end(papad: &Papad, name: &str) -> (String, String) {
    let mut session = Exact::tcp(papad);
    session.ask(format!("watch {name} mode=peek"));
    let mut output = Vec::new();
    loop {
        match session.next_seen() {
            Seen::Data { data, .. } => output.extend(data),
            Seen::Closed { end, .. } => return (String::from_utf8(output).unwrap(), end),
            other => panic!("{other:?}"),
        }
    }
}

/// The code that papa 1.0 tells of a process, which then leaves the list.
fn code_in_papa_1(papad: &Papad, name: &str) -> i32 {
    let mut session = papad.session();
    session.watch(name, 1);
    session.watch_on().remove(name).unwrap().code.unwrap()
}

#[test]
fn how_an_orphan_ends_is_told_in_both_dialects_after_all_of_its_output() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let exits = orphaned.make_waiting("exits", "exit 3");
    let killed = orphaned.make_waiting("killed", "kill -KILL $$");
    orphaned.kill_papad();
    orphaned.start_again();
    for fifo in [exits, killed] {
        fifo.send_line();
    }
    let output = "hello\ngoodbye\n".to_owned();
    let papad = &orphaned.papad;
    assert_eq!(watch_to_end(papad, "exits"), (output.clone(), told("exit 3").to_owned()));
    assert_eq!(watch_to_end(papad, "killed"), (output, told("signal 9").to_owned()));
    if kernel_tells() {
        assert_eq!(value_of(&orphaned.line("exits"), "exit"), "3");
        assert_eq!(value_of(&orphaned.line("killed"), "signal"), "9");
        assert_eq!(code_in_papa_1(papad, "exits"), 3);
        assert_eq!(code_in_papa_1(papad, "killed"), -9);
    }
}

#[test]
fn an_end_that_nobody_could_see_is_unknown_in_both_dialects_after_all_output() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let fifo = Fifo::new(&orphaned.scratch, "go");
    let pid = orphaned.make("a", &format!("echo hello; read line <{}; exit 0", fifo.path()));
    orphaned.kill_papad();
    fifo.send_line();
    eventually("it is reaped", || procfs::stat(pid).is_none());
    orphaned.start_again();

    let line = orphaned.line("a");
    assert_eq!(value_of(&line, "state"), "exited");
    assert!(!line.contains(" exit=") && !line.contains(" signal="), "{line}");
    assert!(!line.contains(" starttime="), "{line}");
    assert_eq!(watch_to_end(&orphaned.papad, "a"), ("hello\n".to_owned(), UNKNOWN.to_owned()));
    // It stays what it is through a kill of the server.
    orphaned.papad.kill_server();
    assert_eq!(watch_to_end(&orphaned.papad, "a"), ("hello\n".to_owned(), UNKNOWN.to_owned()));
    assert_eq!(code_in_papa_1(&orphaned.papad, "a"), UNKNOWN_CODE);
}

#[test]
fn orphans_are_waited_for_by_every_server_and_children_as_ever() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let orphan = orphaned.make_waiting("orphan", "exit 3");
    orphaned.kill_papad();
    orphaned.start_again();
    let child = orphaned.make_waiting("child", "exit 4");
    assert!(orphaned.line("orphan").contains(" starttime="));
    assert!(!orphaned.line("child").contains(" starttime="));
    orphaned.papad.kill_server();
    for fifo in [orphan, child] {
        fifo.send_line();
    }
    let (_, end) = watch_to_end(&orphaned.papad, "child");
    assert_eq!(end, "exit 4");
    // The keeper holds its pidfd, so it does not matter whether a server was there at its end.
    let (_, end) = watch_to_end(&orphaned.papad, "orphan");
    assert_eq!(end, told("exit 3"));
}

#[test]
fn an_orphan_that_ends_while_papad_is_killed_again_is_told_by_its_stored_pidfd() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let pid = orphaned.make("a", "exec sleep 1000");
    orphaned.kill_papad();
    orphaned.start_again();
    orphaned.line("a");
    orphaned.kill_papad();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("it is reaped", || procfs::stat(pid).is_none());
    orphaned.start_again();
    assert_eq!(watch_to_end(&orphaned.papad, "a").1, told("signal 9"));
    eventually("its pidfd is stored no more", || {
        !systemd.stored().iter().any(|name| name.starts_with("pidfd."))
    });
}

#[test]
fn a_pidfd_of_an_orphan_is_fetched() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let pid = orphaned.make("a", "exec sleep 1000");
    orphaned.kill_papad();
    orphaned.start_again();
    let mut session = Exact::unix(&orphaned.papad);
    session.ask("fetch pidfd a");
    let pidfd: OwnedFd = session.take_descriptor().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&pidfd), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::NONE).unwrap();
    watch_to_end(&orphaned.papad, "a");
    session.ask_for("gone", "fetch pidfd a");
}

#[test]
fn a_client_signals_orphans_and_waits_for_them_over_tcp_and_over_a_unix_socket() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    for name in ["over-tcp", "over-unix"] {
        orphaned.make(name, "exec sleep 1000");
    }
    orphaned.kill_papad();
    orphaned.start_again();
    let papad = &orphaned.papad;
    for (name, endpoint) in [
        ("over-tcp", Endpoint::tcp(papad.port())),
        ("over-unix", Endpoint::unix(papad.unix_path())),
    ] {
        let papa = Papa::connect(&endpoint).unwrap();
        let process = papa.process_named(name).unwrap().unwrap();
        process.signal(ClientSignal::TERM).unwrap();
        let end = process.wait().unwrap();
        let expected =
            if kernel_tells() { End::Signaled(ClientSignal::TERM) } else { End::Unknown };
        assert_eq!(end, expected, "{name}");
    }
}

#[test]
fn a_client_is_told_of_an_unknown_end() {
    let systemd = FakeSystemd::new();
    let mut orphaned = Orphaned::prepare(&systemd);
    let pid = orphaned.make("a", "exec sleep 1000");
    orphaned.kill_papad();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("it is reaped", || procfs::stat(pid).is_none());
    orphaned.start_again();
    let papa = Papa::connect(&Endpoint::tcp(orphaned.papad.port())).unwrap();
    let end = papa.process_named("a").unwrap().unwrap().wait().unwrap();
    assert_eq!((end, end.success(), end.code(), end.signal()), (End::Unknown, false, None, None));
}
