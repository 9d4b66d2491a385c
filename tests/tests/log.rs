//! papad's log never makes papad wait: whatever standard error is, and whether anybody reads it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::{Pid, Uid, pipe};
use papad_tests::exact::Exact;
use papad_tests::{
    DEADLINE, NOBODY, ScratchDir, copy_program, eventually, heed_signals, is_root, papad_program,
    procfs, wait_readable,
};

/// A papad whose standard error is the test's own business.
struct Logging {
    keeper: Child,
    socket: PathBuf,
    scratch: ScratchDir,
}

impl Logging {
    /// Starts one that logs to this, with these arguments.
    fn start(stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        Self::start_as(None, stderr, args)
    }

    fn start_as(user: Option<u32>, stderr: impl Into<Stdio>, args: &[&str]) -> Self {
        let scratch = ScratchDir::new();
        let program = scratch.join("papad");
        copy_program(papad_program(), &program);
        let mut command = Command::new(program);
        if let Some(user) = user {
            std::os::unix::fs::chown(scratch.path(), Some(user), Some(user)).unwrap();
            command.uid(user).gid(user).arg("--allow-uid").arg(Uid::effective().to_string());
        }
        heed_signals(&mut command);
        let socket = PathBuf::from(scratch.join("socket"));
        command.args(["-p", "0", "-u"]).arg(&socket).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let keeper = command.spawn().unwrap();
        Self { keeper, socket, scratch }
    }

    fn keeper_pid(&self) -> i32 {
        self.keeper.id() as i32
    }

    /// The server of this moment.
    fn server_pid(&self) -> i32 {
        let mut server = None;
        eventually("there is a server", || {
            let children = procfs::children(self.keeper_pid());
            server = children.into_iter().find(|it| it.comm == "papad: server" && !it.is_zombie());
            server.is_some()
        });
        server.unwrap().pid
    }

    fn session(&self) -> Exact {
        let mut stream = None;
        eventually("papad listens", || {
            stream = UnixStream::connect(&self.socket).ok();
            stream.is_some()
        });
        Exact::over(stream.expect("it is connected").into()).unwrap()
    }

    fn kill_server(&self) -> i32 {
        let server = self.server_pid();
        kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
        eventually("the killed server is gone", || procfs::stat(server).is_none());
        server
    }

    /// Sees that it serves, has its server started again, and ends when it is told to.
    fn expect_alive(mut self) {
        self.session().ask("set a 1");
        let killed = self.kill_server();
        assert_eq!(self.session().ask("get a"), ["1"]);
        assert_ne!(self.server_pid(), killed);
        kill(Pid::from_raw(self.keeper_pid()), Signal::SIGTERM).unwrap();
        eventually("papad has ended", || self.keeper.try_wait().unwrap().is_some());
        assert!(self.keeper.wait().unwrap().success());
    }

    /// Makes more log lines than a pipe and papad's own queue hold.
    fn log_a_lot(&self) {
        for _ in 0..1500 {
            self.session().leave();
        }
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let keeper = Pid::from_raw(self.keeper_pid());
        let _ = kill(keeper, Signal::SIGSTOP);
        for child in procfs::children(keeper.as_raw()) {
            let _ = kill(Pid::from_raw(child.pid), Signal::SIGKILL);
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// Writes until there is no room left, and leaves the open file as it was.
fn fill(file: impl AsFd) {
    let fd = file.as_fd();
    let before = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    fcntl(fd, FcntlArg::F_SETFL(before | OFlag::O_NONBLOCK)).unwrap();
    let mut file = File::from(fd.try_clone_to_owned().unwrap());
    for size in [4096, 1] {
        while file.write(&vec![b'.'; size]).is_ok() {}
    }
    fcntl(fd, FcntlArg::F_SETFL(before)).unwrap();
}

/// Whether writing to this open file waits: papad is not to change that for others who have it.
fn waits(file: impl AsFd) -> bool {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL).unwrap());
    !flags.contains(OFlag::O_NONBLOCK)
}

/// Reads lines from `source` until one contains `text`, and returns that one.
fn read_until(source: &mut (impl Read + AsFd), text: &str) -> String {
    let mut seen = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&seen);
        let found = so_far.split_inclusive('\n').find(|line| line.contains(text));
        if let Some(line) = found.filter(|line| line.ends_with('\n')) {
            return line.to_owned();
        }
        assert!(wait_readable(source), "not within {DEADLINE:?}: {text}\n{so_far}");
        let mut bytes = vec![0; 65536];
        let count = source.read(&mut bytes).unwrap();
        assert!(count > 0, "the log has ended without {text}: {so_far}");
        seen.extend(&bytes[..count]);
    }
}

#[test]
fn full_pipe_stops_nothing() {
    let (reader, writer) = pipe().unwrap();
    fill(&writer);
    let papad = Logging::start(writer.try_clone().unwrap(), &["-d"]);
    papad.session().ask("set b 2");
    assert!(waits(&writer));
    papad.expect_alive();
    drop(reader);
}

#[test]
fn full_pipe_of_another_user_stops_nothing() {
    if !is_root("running papad as another user") {
        return;
    }
    // It cannot be opened anew.
    let (_reader, writer) = pipe().unwrap();
    fill(&writer);
    Logging::start_as(Some(NOBODY), writer, &["-d"]).expect_alive();
}

#[test]
fn full_socket_stops_nothing() {
    for kind in [SockType::Stream, SockType::Datagram] {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (_reader, writer) = socketpair(AddressFamily::Unix, kind, None, flags).unwrap();
        fill(&writer);
        let papad = Logging::start(writer.try_clone().unwrap(), &["-d"]);
        papad.session().ask("set b 2");
        assert!(waits(&writer));
        papad.expect_alive();
    }
}

#[test]
fn stopped_terminal_stops_nothing() {
    let terminal = openpty(None, None).unwrap();
    tcflow(&terminal.slave, FlowArg::TCOOFF).unwrap();
    let papad = Logging::start(terminal.slave.try_clone().unwrap(), &["-d"]);
    papad.session().ask("set b 2");
    assert!(waits(&terminal.slave));
    // What was not shown is shown when output goes on.
    tcflow(&terminal.slave, FlowArg::TCOON).unwrap();
    read_until(&mut File::from(terminal.master.try_clone().unwrap()), "keeper: ready");
    tcflow(&terminal.slave, FlowArg::TCOOFF).unwrap();
    papad.expect_alive();
}

#[test]
fn dropped_lines_are_counted_once_there_is_room() {
    let (reader, writer) = pipe().unwrap();
    let papad = Logging::start(writer, &["-d"]);
    papad.log_a_lot();
    let mut reader = File::from(reader);
    let line = read_until(&mut reader, "log lines were dropped");
    assert!(line.contains(" warn server: "), "{line}");
    papad.expect_alive();
}

#[test]
fn dropped_lines_of_a_blocking_log_are_counted() {
    if !is_root("running papad as another user") {
        return;
    }
    let (reader, writer) = pipe().unwrap();
    let papad = Logging::start_as(Some(NOBODY), writer, &["-d"]);
    papad.log_a_lot();
    read_until(&mut File::from(reader), "log lines were dropped");
    papad.expect_alive();
}

#[test]
fn fifo_gets_lines_again_from_a_later_reader() {
    let scratch = ScratchDir::new();
    let path = scratch.join("fifo");
    nix::unistd::mkfifo(path.as_str(), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let read = || {
        let nonblocking = OFlag::O_NONBLOCK.bits();
        OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap()
    };
    let mut reader = read();
    let papad = Logging::start(OpenOptions::new().write(true).open(&path).unwrap(), &[]);
    read_until(&mut reader, "keeper: ready");
    drop(reader);
    papad.kill_server();
    papad.session().ask("set a 1");
    let mut reader = read();
    papad.kill_server();
    let line = read_until(&mut reader, "dropped");
    assert!(line.contains(" warn keeper: "), "{line}");
    papad.expect_alive();
}

#[test]
fn log_file_has_every_line_of_both_processes() {
    let scratch = ScratchDir::new();
    let path = scratch.join("log");
    let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let papad = Logging::start(file, &[]);
    papad.session().ask("set a 1");
    papad.expect_alive();
    let log = fs::read_to_string(&path).unwrap();
    for line in [
        "keeper: ready; try",
        "keeper: the server ended by signal 9; starting it again",
        "server: recovered, as server 2",
        "keeper: stopped",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{line}:\n{log}");
    }
    assert!(log.ends_with("keeper: stopped\n"), "{log}");
}

#[test]
fn log_file_has_the_line_that_says_why_papad_ends() {
    let scratch = ScratchDir::new();
    let path = scratch.join("log");
    let socket = scratch.join("socket/in/nowhere");
    let mut papad = Command::new(papad_program());
    papad.args(["-p", "0", "-u", &socket]).stderr(File::create(&path).unwrap());
    assert_eq!(papad.status().unwrap().code(), Some(1));
    let log = fs::read_to_string(&path).unwrap();
    assert!(log.contains("papad: ") && log.contains(&socket), "{log}");
}

#[test]
fn closed_standard_error_stops_nothing() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    Logging::start(writer, &["-d"]).expect_alive();
}

#[test]
fn keeper_with_a_full_log_becomes_the_new_version() {
    let (_reader, writer) = pipe().unwrap();
    fill(&writer);
    let papad = Logging::start(writer, &["-d"]);
    let new = papad.scratch.join("new");
    copy_program(papad_program(), &new);
    papad.session().ask(format!("upgrade {new}"));
    let program = format!("/proc/{}/exe", papad.keeper_pid());
    eventually("the keeper is the new program", || {
        fs::read_link(&program).is_ok_and(|program| program == Path::new(&new))
    });
    papad.expect_alive();
}

#[test]
fn lines_for_the_journal_have_a_priority_and_no_time() {
    for is_journal in [true, false] {
        let (reading, writing) = pipe().unwrap();
        let stream = File::from(writing.try_clone().unwrap()).metadata().unwrap();
        let inode = if is_journal { stream.ino() } else { stream.ino() + 1 };
        let program = Command::new(papad_program())
            .arg("--no-such-option")
            .env("JOURNAL_STREAM", format!("{}:{inode}", stream.dev()))
            .stderr(writing)
            .status()
            .unwrap();
        assert_eq!(program.code(), Some(2));
        let mut said = String::new();
        File::from(reading).read_to_string(&mut said).unwrap();
        assert_eq!(said.starts_with("<3>papad: "), is_journal, "{said}");
        assert_eq!(said.starts_with("papad: "), !is_journal, "{said}");
    }
}

/// Bytes of a log file that is full.
const FULL: u64 = 1 << 20;

/// A papad with a log file, whose standard error is no file; and the paths of the file and the older one.
fn start_with_file(scratch: &ScratchDir) -> (Logging, [PathBuf; 2]) {
    let path = scratch.join("log");
    let papad = Logging::start(Stdio::null(), &["-d", "--log-file", &path]);
    papad.session().leave();
    (papad, [PathBuf::from(format!("{path}.1")), path.into()])
}

fn fill_up(path: &Path) {
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&vec![b'.'; FULL as usize]).unwrap();
}

/// Waits until the file of this path has a line with this in it.
fn wait_for_line(path: &Path, part: &str) {
    eventually(part, || fs::read_to_string(path).is_ok_and(|text| text.contains(part)));
}

#[test]
fn log_file_that_is_full_is_moved_while_papad_runs() {
    let scratch = ScratchDir::new();
    let (papad, [older, path]) = start_with_file(&scratch);
    wait_for_line(&path, "debug server: session from ");
    for round in 0..3 {
        fill_up(&path);
        // The server writes to the new file, and so does the keeper, when it has something to say.
        papad.session().leave();
        eventually("it was moved", || fs::metadata(&older).is_ok_and(|it| it.len() >= FULL));
        wait_for_line(&path, "debug server: session from ");
        papad.kill_server();
        wait_for_line(&path, "; starting it again");
        let file = fs::metadata(&path).unwrap();
        assert!(file.len() < FULL, "{round}");
        assert_eq!(file.mode() & 0o777, 0o600);
        fs::remove_file(&older).unwrap();
    }
    let has_path = |pid| fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|it| it == path);
    eventually("both have it open", || {
        papad.session().leave();
        has_path(papad.keeper_pid()) && has_path(papad.server_pid())
    });
    papad.expect_alive();
}

#[test]
fn log_file_that_is_gone_is_made_anew() {
    let scratch = ScratchDir::new();
    let (papad, [older, path]) = start_with_file(&scratch);
    wait_for_line(&path, "debug server: session from ");
    // What is left by a papad that was killed while it moved the file, or by logrotate(8).
    fs::rename(&path, &older).unwrap();
    papad.session().leave();
    wait_for_line(&path, "debug server: session from ");
    let log = fs::read_to_string(&path).unwrap();
    papad.kill_server();
    wait_for_line(&path, "; starting it again");
    assert!(fs::read_to_string(&path).unwrap().starts_with(&log), "nothing of it is lost");
    papad.expect_alive();
}

#[test]
fn log_file_that_cannot_be_is_refused_at_the_start() {
    let mut command = Command::new(papad_program());
    let output = command.args(["-p", "0", "--log-file", "/proc/no/log"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("the log file /proc/no/log: "), "{said}");
}
