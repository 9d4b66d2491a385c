//! A papad whose server can be killed at a point.

use std::fs;

use papad_tests::kills::{Client, Gone, kinds_of_files};
use papad_tests::{Builder, Papad, ScratchDir, Session, eventually, procfs};

pub(crate) struct Armed {
    pub(crate) papad: Papad,
    pub(crate) scratch: ScratchDir,
    folder: String,
}

/// What keeper and server have open, sorted by kind.
type Files = [Vec<String>; 2];

impl Armed {
    pub(crate) fn start() -> Self {
        Self::start_with(ScratchDir::new(), &[])
    }

    /// One whose servers die at `point` from the first on, until one does not get there.
    pub(crate) fn start_armed(scratch: ScratchDir, args: &[&str], point: &str) -> Self {
        let folder = scratch.join("points");
        fs::create_dir_all(&folder).unwrap();
        fs::write(format!("{folder}/{point}"), "always").unwrap();
        Self::start_with(scratch, args)
    }

    /// One with arguments, and a directory that may be older than it.
    pub(crate) fn start_with(scratch: ScratchDir, args: &[&str]) -> Self {
        Self::build(scratch, |builder| args.iter().fold(builder, |builder, arg| builder.arg(*arg)))
    }

    /// One that can be reached over a Unix socket, too, which is `papad` in its directory.
    pub(crate) fn start_at_path() -> Self {
        let scratch = ScratchDir::new();
        let path = scratch.join("papad");
        Self::build(scratch, |builder| builder.unix_path(path))
    }

    fn build(scratch: ScratchDir, with: impl FnOnce(Builder<'static>) -> Builder<'static>) -> Self {
        let folder = scratch.join("points");
        fs::create_dir_all(&folder).unwrap();
        let builder = Papad::builder()
            .with_kill_points()
            .after_shell(&format!("export PAPAD_KILL_POINTS={folder}"));
        let papad = with(builder).start();
        // Then keeper and server have all that they begin with.
        papad.wait_for_log("keeper: ready");
        Client::connect(&papad).unwrap().leave();
        Self { papad, scratch, folder }
    }

    /// Has the server killed when it gets to `point` for the next time.
    pub(crate) fn arm(&self, point: &str) {
        fs::write(format!("{}/{point}", self.folder), "").unwrap();
    }

    /// Has every server killed that gets to `point`, until it is disarmed.
    pub(crate) fn arm_for_good(&self, point: &str) {
        self.arm_to(point, "always");
    }

    /// Has every server end by SIGABRT that gets to `point`, until it is disarmed.
    pub(crate) fn arm_to_crash(&self, point: &str) {
        self.arm_to(point, "crash");
    }

    fn arm_to(&self, point: &str, text: &str) {
        let path = format!("{}/{point}", self.folder);
        // Not to be seen while it is empty, which would be an arming for once.
        fs::write(format!("{path}.new"), text).unwrap();
        fs::rename(format!("{path}.new"), path).unwrap();
    }

    /// Takes back an arming for good.
    pub(crate) fn disarm(&self, point: &str) {
        fs::remove_file(format!("{}/{point}", self.folder)).unwrap();
    }

    /// Whether the server has still to be killed at `point`.
    pub(crate) fn is_armed(&self, point: &str) -> bool {
        fs::exists(format!("{}/{point}", self.folder)).unwrap()
    }

    /// Does `reach`, sees that the server was killed at `point`, and returns once the next one
    /// answers.
    pub(crate) fn kill_at(&self, point: &str, reach: impl FnOnce()) -> Session {
        let ends = || self.papad.log().matches("the server ended by signal 9").count();
        let (ends_before, server) = (ends(), self.papad.server_pid());
        self.arm(point);
        reach();
        eventually(&format!("the server gets to {point}"), || !self.is_armed(point));
        eventually(&format!("the keeper sees it killed at {point}"), || ends() > ends_before);
        let session = self.papad.session();
        assert_ne!(self.papad.server_pid(), server);
        session
    }

    /// Sends a line on whose way the server is killed at `point`, so that it is not answered.
    pub(crate) fn ask_and_kill_at(&self, point: &str, line: &str) -> Session {
        self.kill_at(point, || {
            let mut client = Client::connect(&self.papad).unwrap();
            assert_eq!(client.ask(line), Err(Gone), "{line}");
        })
    }

    /// Kills all of papad and starts another.
    pub(crate) fn start_again(self, args: &[&str]) -> Self {
        let Self { papad, scratch, .. } = self;
        drop(papad);
        Self::start_with(scratch, args)
    }

    /// What keeper and server have open while there is no session.
    pub(crate) fn files(&self) -> Files {
        [self.papad.keeper_pid(), self.papad.server_pid()].map(kinds_of_files)
    }

    /// Waits until as many descriptors of each kind are open as there were.
    #[track_caller]
    pub(crate) fn expect_files(&self, before: &Files) {
        eventually(&format!("keeper and server have open what they had: {before:?}"), || {
            self.files() == *before
        });
    }

    /// Waits until the keeper's children are the server and just these processes.
    #[track_caller]
    pub(crate) fn expect_children(&self, pids: &[i32]) {
        let mut expected = [pids, &[self.papad.server_pid()]].concat();
        expected.sort_unstable();
        eventually(&format!("the keeper has the children {expected:?}"), || {
            let children = procfs::children(self.papad.keeper_pid());
            let mut children: Vec<i32> = children.iter().map(|child| child.pid).collect();
            children.sort_unstable();
            children == expected
        });
    }
}
