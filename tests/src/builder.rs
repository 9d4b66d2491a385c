//! How a test has papad started.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::binary::{Build, copy_program};
use crate::{FakeSystemd, Faults, Papad};

/// Names the table of faults.
const FAULTS: &str = "PAPAD_FAULTS";

/// How a papad is to be started.
pub struct Builder<'a> {
    build: Build,
    args: Vec<OsString>,
    unix_path: Option<PathBuf>,
    shell_before: Option<String>,
    program: Option<PathBuf>,
    copy: Option<PathBuf>,
    user: Option<u32>,
    systemd: Option<&'a FakeSystemd>,
    faults: Option<PathBuf>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new() -> Self {
        Self {
            build: Build::Plain,
            args: Vec::new(),
            unix_path: None,
            shell_before: None,
            program: None,
            copy: None,
            user: None,
            systemd: None,
            faults: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Has it listen on a Unix socket, too.
    #[must_use]
    pub fn unix_path(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.unix_path = Some(path.clone());
        self.arg("-u").arg(path)
    }

    /// Runs a line of shell first, in the process that then becomes papad: for limits and ignored
    /// signals that it is to inherit.
    #[must_use]
    pub fn after_shell(mut self, line: &str) -> Self {
        self.shell_before = Some(line.to_owned());
        self
    }

    /// Runs it as `uid`, from a copy of the program at `copy`, since the build's own directory may
    /// be closed to that user.
    #[must_use]
    pub fn as_user(mut self, uid: u32, copy: impl Into<PathBuf>) -> Self {
        self.user = Some(uid);
        self.from_copy(copy)
    }

    /// Runs a copy of the program at `copy`, which another program may then take the place of.
    #[must_use]
    pub fn from_copy(mut self, copy: impl Into<PathBuf>) -> Self {
        self.copy = Some(copy.into());
        self
    }

    /// Runs this program.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Uses a build with the feature `kill-points`.
    #[must_use]
    pub fn with_kill_points(mut self) -> Self {
        self.build = Build::ForTests;
        self
    }

    /// Has it meet the faults of this table.
    #[must_use]
    pub fn with_faults(mut self, faults: &Faults) -> Self {
        self.build = Build::ForTests;
        self.faults = Some(faults.path().to_owned());
        self
    }

    /// Has `systemd` start it, as the main process of its service.
    #[must_use]
    pub fn under(mut self, systemd: &'a FakeSystemd) -> Self {
        self.systemd = Some(systemd);
        self.after_shell("export LISTEN_PID=$$")
    }

    fn command(&self) -> Command {
        let mut program = self.program.as_deref().unwrap_or_else(|| self.build.path());
        if let Some(copy) = &self.copy {
            copy_program(program, copy);
            program = copy;
        }
        let mut command = match &self.shell_before {
            None => Command::new(program),
            Some(line) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("{line}\nexec \"$0\" \"$@\"")).arg(program);
                shell
            }
        };
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid);
        }
        command.arg("-p").arg("0").args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(faults) = &self.faults {
            command.env(FAULTS, faults);
        }
        if let Some(systemd) = self.systemd {
            systemd.prepare(&mut command);
        }
        command
    }

    /// Starts it, and returns when it has been killed.
    pub fn run_until_killed(self) {
        let mut command = self.command();
        let child = command.spawn().unwrap();
        drop(command);
        if let Some(systemd) = self.systemd {
            systemd.started(child.id() as i32);
        }
        let ended = child.wait_with_output().unwrap();
        let log = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(Signal::SIGKILL as i32), "{log}");
    }

    /// Starts it on a free port of its own, and returns when it listens.
    #[must_use]
    pub fn start(self) -> Papad {
        let mut command = self.command();
        let mut child = command.spawn().unwrap();
        // It has duplicates of what was passed.
        drop(command);
        if let Some(systemd) = self.systemd {
            systemd.started(child.id() as i32);
        }
        let log = child.stderr.take().expect("stderr is a pipe");
        Papad::watch(child, log, self.unix_path)
    }
}
