//! A papad of the test's own: started, watched from outside, killed, and cleaned up after.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::binary::Build;
use crate::log::Log;
use crate::procfs::{self, Stat};
use crate::{BANNER, FakeSystemd, Session, eventually};

/// The name that papad gives its server process.
const SERVER: &str = "papad: server";

/// How a papad is to be started.
pub struct Builder<'a> {
    build: Build,
    args: Vec<OsString>,
    unix_path: Option<PathBuf>,
    shell_before: Option<String>,
    copy_for_user: Option<(PathBuf, u32)>,
    systemd: Option<&'a FakeSystemd>,
}

impl<'a> Builder<'a> {
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
        self.copy_for_user = Some((copy.into(), uid));
        self
    }

    /// Uses a build with the feature `kill-points`.
    #[must_use]
    pub fn with_kill_points(mut self) -> Self {
        self.build = Build::KillPoints;
        self
    }

    /// Has `systemd` start it, as the main process of its service.
    #[must_use]
    pub fn under(mut self, systemd: &'a FakeSystemd) -> Self {
        self.systemd = Some(systemd);
        self.after_shell("export LISTEN_PID=$$")
    }

    fn command(&self) -> Command {
        let mut program = self.build.path();
        if let Some((copy, _)) = &self.copy_for_user {
            std::fs::copy(program, copy).unwrap();
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
        if let Some((_, uid)) = self.copy_for_user {
            command.uid(uid).gid(uid);
        }
        command.arg("-p").arg("0").args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        if let Some(systemd) = self.systemd {
            systemd.prepare(&mut command);
        }
        command
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
        let log = Log::collect(child.stderr.take().expect("stderr is a pipe"));
        let mut papad =
            Papad { child, log, port: 0, unix_path: self.unix_path, killed: Mutex::default() };
        papad.port = papad.log.wait_for("the port", |line| {
            let (_, port) = line.split_once("listening on 127.0.0.1:")?;
            port.trim().parse().ok()
        });
        papad
    }
}

/// A running papad. Dropping it kills it and everything it hosts; its log is shown when the test
/// has failed.
pub struct Papad {
    child: Child,
    log: Log,
    port: u16,
    unix_path: Option<PathBuf>,
    /// Servers that the test has killed, as pid and start: the next server is none of these.
    killed: Mutex<BTreeSet<(i32, u64)>>,
}

impl Papad {
    /// Starts one with nothing but a port of its own.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// To start one otherwise.
    #[must_use]
    pub fn builder() -> Builder<'static> {
        Builder {
            build: Build::Plain,
            args: Vec::new(),
            unix_path: None,
            shell_before: None,
            copy_for_user: None,
            systemd: None,
        }
    }

    /// The TCP port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix path it was given.
    #[must_use]
    pub fn unix_path(&self) -> &Path {
        self.unix_path.as_deref().expect("this papad was given a Unix path")
    }

    /// A TCP connection of which nothing has been read.
    #[must_use]
    pub fn connect(&self) -> Session {
        Session::tcp(self.port)
    }

    /// A connection to the Unix path of which nothing has been read.
    #[must_use]
    pub fn connect_unix(&self) -> Session {
        Session::unix(self.unix_path())
    }

    /// A session over TCP, ready for commands.
    #[must_use]
    pub fn session(&self) -> Session {
        let mut session = self.connect();
        session.expect(BANNER);
        session
    }

    /// The process that was started, and lives for as long as papad does.
    #[must_use]
    pub fn keeper_pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The process that speaks with clients at this moment; after [`Self::kill_server`] the next
    /// one.
    #[must_use]
    pub fn server_pid(&self) -> i32 {
        self.server().pid
    }

    fn server(&self) -> Stat {
        let find = || {
            procfs::children(self.keeper_pid()).into_iter().find(|child| {
                let killed = self.killed.lock().unwrap();
                child.comm == SERVER
                    && !child.is_zombie()
                    && !killed.contains(&(child.pid, child.started))
            })
        };
        let mut found = None;
        eventually("papad has a server", || {
            found = find();
            found.is_some()
        });
        found.expect("the wait ends when it is found")
    }

    /// Kills the server with SIGKILL and returns at once, with the pid it had. The keeper holds
    /// the listening socket, so whoever connects now waits for the next server.
    pub fn kill_server(&self) -> i32 {
        let server = self.server();
        self.killed.lock().unwrap().insert((server.pid, server.started));
        // It may have ended by itself, which is as good.
        let _ = kill(Pid::from_raw(server.pid), Signal::SIGKILL);
        server.pid
    }

    /// Kills keeper and server with SIGKILL, and returns when both are gone. What papad hosted runs
    /// on, without a parent.
    pub fn kill_both(&mut self) {
        let server = self.server();
        for pid in [self.keeper_pid(), server.pid] {
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
        assert!(self.log.wait_for_end(), "papad has not ended:\n{}", self.log());
        self.child.wait().unwrap();
    }

    /// Everything papad has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        self.log.wait_for(text, |line| line.contains(text).then_some(()));
    }

    /// Waits until papad, keeper and server, has ended by itself.
    ///
    /// # Panics
    /// When it has not ended within the deadline.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        assert!(self.log.wait_for_end(), "papad has not ended:\n{}", self.log());
        self.child.wait().unwrap()
    }

    /// The keeper's children, and whoever belongs to a session that one of them leads: the server,
    /// the hosted processes and their descendants.
    fn descendants(&self) -> Vec<Stat> {
        let all = procfs::processes();
        let leaders: BTreeSet<i32> = all
            .iter()
            .filter(|process| process.parent == self.keeper_pid())
            .map(|process| process.pid)
            .collect();
        all.into_iter()
            .filter(|process| leaders.contains(&process.pid) || leaders.contains(&process.session))
            .filter(|process| !process.is_zombie())
            .collect()
    }
}

impl Drop for Papad {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A stopped keeper starts nothing and remains the parent of all, until all are gone.
            let keeper = Pid::from_raw(self.keeper_pid());
            let _ = kill(keeper, Signal::SIGSTOP);
            loop {
                let left = self.descendants();
                if left.is_empty() {
                    break;
                }
                for process in left {
                    let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
                }
                thread::yield_now();
            }
            let _ = kill(keeper, Signal::SIGKILL);
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("papad's log:\n{}", self.log());
        }
    }
}
