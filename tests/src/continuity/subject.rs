//! A papad that parts are replaced of.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binary::Build;
use crate::exact::{Exact, Reply, number_of, script, value_of, wait_for_keeper};
use crate::{Fifo, Papad, ScratchDir, copy_program, eventually, papad_program};

/// A papad that runs from a copy of the program, in a directory of its own.
pub struct Subject {
    /// The papad.
    pub papad: Papad,
    /// Where its program and its socket are.
    pub scratch: ScratchDir,
    program: String,
    points: String,
}

impl Subject {
    /// One that runs what users get.
    #[must_use]
    pub fn start() -> Self {
        Self::of(papad_program())
    }

    /// One that can be killed at points; see [`Self::arm`].
    #[must_use]
    pub fn with_kill_points() -> Self {
        Self::of(Build::ForTests.path())
    }

    /// One that runs a copy of this program.
    #[must_use]
    pub fn of(program: &Path) -> Self {
        let scratch = ScratchDir::new();
        let (copy, points) = (scratch.join("program"), scratch.join("points"));
        fs::create_dir(&points).unwrap();
        let papad = Papad::builder()
            .program(program)
            .from_copy(&copy)
            .unix_path(scratch.join("papad"))
            .after_shell(&format!("export PAPAD_KILL_POINTS={points}"))
            .start();
        // Whoever is to be replaced or killed is there, and has all that it begins with.
        papad.wait_for_log("keeper: ready");
        Self { papad, scratch, program: copy, points }
    }

    /// The path that papad was started from.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Puts another program in place of the one that papad was started from.
    fn install(&self, program: &Path) {
        let new = self.scratch.join("program.new");
        copy_program(program, &new);
        fs::rename(new, &self.program).unwrap();
    }

    /// Puts another copy of its own program in place of the one that papad was started from.
    pub fn install_again(&self) {
        self.install(Path::new(&self.program));
    }

    /// A session in protocol 2, over the Unix socket.
    #[must_use]
    pub fn exact(&self) -> Exact {
        Exact::unix(&self.papad)
    }

    /// Sends the keeper a signal.
    pub fn signal_keeper(&self, signal: Signal) {
        kill(Pid::from_raw(self.papad.keeper_pid()), signal).unwrap();
    }

    /// Asks for an upgrade in a session of its own.
    pub fn ask_for_upgrade(&self, line: &str) -> Reply {
        self.visit(|exact| exact.try_ask(line).unwrap())
    }

    /// Does something in a session of its own, of which nothing is left then: those who compare what
    /// papad has would take it for one that is to stay.
    #[track_caller]
    fn visit<T>(&self, act: impl FnOnce(&mut Exact) -> T) -> T {
        let mut exact = self.exact();
        let done = act(&mut exact);
        exact.leave();
        done
    }

    /// Waits until the keeper has dealt with all that it was told.
    #[track_caller]
    pub fn wait_for_keeper(&self) {
        self.visit(wait_for_keeper);
    }

    /// Puts another copy of its own program in place of the one that papad was started from, and
    /// upgrades to that.
    #[track_caller]
    pub fn upgrade(&self) {
        self.install_again();
        self.upgrade_to_installed();
    }

    /// Upgrades to this program, in place of the one that papad was started from.
    #[track_caller]
    pub fn upgrade_to(&self, program: &Path) {
        self.install(program);
        self.upgrade_to_installed();
    }

    #[track_caller]
    fn upgrade_to_installed(&self) {
        let before = self.papad.server_pid();
        let lines = self.ask_for_upgrade("upgrade").expect("papad is upgraded");
        assert_eq!(lines.len(), 1);
        assert!(!value_of(&lines[0], "version").is_empty());
        assert_ne!(self.papad.server_pid(), before);
    }

    /// Asks for an upgrade that must be refused, and returns the reason.
    #[track_caller]
    pub fn upgrade_refused(&self, line: &str) -> String {
        match self.ask_for_upgrade(line) {
            Err(refusal) => refusal.what,
            Ok(lines) => panic!("{line}\nis to be refused, but is answered: {lines:?}"),
        }
    }

    /// Waits until the new version is on trial no more: the keeper is the program that is where
    /// papad was started from, and has gone on.
    #[track_caller]
    pub fn wait_for_keeper_to_change(&self) {
        let installed = fs::metadata(&self.program).unwrap().ino();
        eventually("the keeper is the new program", || self.keepers_program() == Some(installed));
        // As that program it has to open first what it needs.
        self.wait_for_keeper();
    }

    /// The inode of the program that the keeper is.
    #[must_use]
    pub fn keepers_program(&self) -> Option<u64> {
        let link = format!("/proc/{}/exe", self.papad.keeper_pid());
        fs::metadata(link).ok().map(|program| program.ino())
    }

    /// Has papad, server, candidate or keeper, killed when it gets to `point` for the next time.
    pub fn arm(&self, point: &str) {
        fs::write(format!("{}/{point}", self.points), "").unwrap();
    }

    /// Waits until papad was killed at `point`.
    #[track_caller]
    pub fn wait_for_kill_at(&self, point: &str) {
        let armed = format!("{}/{point}", self.points);
        eventually(&format!("papad is killed at {point}"), || !fs::exists(&armed).unwrap());
    }

    /// Makes a process that runs `line` in a shell, and returns its pid.
    pub fn make(&self, name: &str, options: &str, line: &str) -> i32 {
        let line = format!("make process {name} {options} {}", script(line));
        number_of(&self.visit(|exact| exact.ask_line(line)), "pid") as i32
    }

    /// Makes a process that writes each line that is sent it, and ends with this code after `end`.
    #[must_use]
    pub fn make_echo(&self, name: &str, code: u8) -> Fifo {
        let fifo = Fifo::new(&self.scratch, &format!("{name}.fifo"));
        let line = format!(
            "exec 3<>{}; while read line <&3; do [ \"$line\" = end ] && exit {code}; \
             echo \"$line\"; done",
            fifo.path()
        );
        self.make(name, "", &line);
        fifo
    }
}
