//! Running papactl.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use papad_tests::{Papad, heed_signals, papad_program};
use serde_json::Value;

/// Variables by which surroundings say whether they want colours; some builds run in such.
pub(crate) const OF_COLOURS: [&str; 4] = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"];

/// papactl, with what it needs to find a papad.
#[derive(Debug, Clone)]
pub(crate) struct Ctl {
    endpoint: OsString,
}

/// What a papactl did that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ctl {
    /// For this papad, over TCP.
    pub(crate) fn of(papad: &Papad) -> Self {
        Self::at(papad.port().to_string())
    }

    /// For this papad, over its Unix socket.
    pub(crate) fn over_unix(papad: &Papad) -> Self {
        Self::at(papad.unix_path())
    }

    /// For whatever answers there.
    pub(crate) fn at(endpoint: impl Into<OsString>) -> Self {
        Self { endpoint: endpoint.into() }
    }

    pub(crate) fn program() -> &'static Path {
        Path::new(env!("CARGO_BIN_EXE_papactl"))
    }

    pub(crate) fn endpoint(&self) -> &OsStr {
        &self.endpoint
    }

    /// A command to be started, with standard streams of the test's choice.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(Self::program());
        command.args(words).env("PAPA_ENDPOINT", &self.endpoint).env("PAPAD_BIN", papad_program());
        // The places of whoever runs the tests are never used.
        command.env("PAPAD_DIR", "/nonexistent");
        OF_COLOURS.iter().fold(&mut command, |command, name| command.env_remove(name));
        command.stdin(Stdio::null());
        heed_signals(&mut command);
        command
    }

    /// Starts it, with its standard output and error as pipes.
    pub(crate) fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.start(words))
    }

    /// Runs it to its end, and gives it this to read.
    pub(crate) fn run_with_input(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).unwrap());
            Ran::of(child)
        })
    }

    /// Runs it, and returns what it has written; it must end well and say nothing else.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let ran = self.run(words);
        assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""), "{words:?}: {ran:?}");
        ran.text()
    }

    /// Runs it with `--json`, and returns what it has written.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let words = [words, &["--json"]].concat();
        serde_json::from_str(&self.ok(&words)).unwrap()
    }

    /// Runs it, and returns its exit status and its one line of error.
    pub(crate) fn fails(&self, words: &[&str]) -> (i32, String) {
        let ran = self.run(words);
        let error = ran.error();
        assert_eq!(error.lines().count(), 1, "{words:?}: {ran:?}");
        let status = ran.status.expect("it was not killed");
        assert_ne!(status, 0, "{words:?}: {ran:?}");
        (status, error.trim_end().to_owned())
    }
}

impl Ran {
    /// Waits until it has ended.
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self { status: output.status.code(), stdout: output.stdout, stderr: output.stderr }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub(crate) fn error(&self) -> String {
        String::from_utf8(self.stderr.clone()).unwrap()
    }
}

/// The words of each line.
pub(crate) fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split_whitespace().collect()).collect()
}

/// A path where no papad is.
pub(crate) fn nowhere(directory: &Path) -> PathBuf {
    directory.join("no papad")
}
