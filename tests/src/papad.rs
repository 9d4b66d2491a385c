//! A papad of the test's own: started, watched from outside, killed, and cleaned up after.

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::log::Log;
use crate::procfs::{self, Stat};
use crate::{BANNER, Builder, Session, eventually};

/// The names that papad gives its processes.
const KEEPER: &str = "papad: keeper";
const SERVER: &str = "papad: server";

/// A running papad. Dropping it kills it and everything it hosts; its log, and what its
/// threads wait for, is shown when the test has failed.
pub struct Papad {
    child: Mutex<Child>,
    log: Log,
    /// The device and inode of the pipe that keepers and servers write their log to: so they are
    /// found, and by their names, whoever's children they are.
    log_pipe: (u64, u64),
    port: u16,
    unix_path: Option<PathBuf>,
    /// The keeper of this moment.
    keeper: AtomicI32,
    /// Keepers and servers that the test has killed, as pid and start: the next ones are none of
    /// these.
    killed: Mutex<BTreeSet<(i32, u64)>>,
    /// Children of killed keepers, as pid and start.
    orphans: Mutex<BTreeSet<(i32, u64)>>,
    /// Those among `killed` that are servers or were to be.
    killed_servers: Mutex<BTreeSet<(i32, u64)>>,
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
        Builder::new()
    }

    /// What has just been started, and writes its log to this pipe.
    pub(crate) fn watch(child: Child, log: ChildStderr, unix_path: Option<PathBuf>) -> Self {
        let pipe = File::from(log.as_fd().try_clone_to_owned().unwrap());
        let mut papad = Self {
            keeper: AtomicI32::new(child.id() as i32),
            child: Mutex::new(child),
            log: Log::collect(log),
            log_pipe: device_and_inode(&pipe.metadata().unwrap()),
            port: 0,
            unix_path,
            killed: Mutex::default(),
            orphans: Mutex::default(),
            killed_servers: Mutex::default(),
        };
        papad.port = papad.log.wait_for("the port", |line| {
            let (_, port) = line.split_once("listening on 127.0.0.1:")?;
            port.trim().parse().ok()
        });
        papad
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

    /// The process that was started, which lives for as long as papad does; after
    /// [`Self::kill_keeper`] the one that has taken its place.
    #[must_use]
    pub fn keeper_pid(&self) -> i32 {
        self.keeper.load(Ordering::SeqCst)
    }

    /// The process that speaks with clients at this moment; after [`Self::kill_server`] the next
    /// one. While one server follows another, this waits until there is only one.
    #[must_use]
    pub fn server_pid(&self) -> i32 {
        self.server().pid
    }

    fn server(&self) -> Stat {
        let mut found = None;
        eventually("papad has one server, a child of its keeper", || {
            let mut servers = self.servers();
            let server = servers.pop().filter(|it| it.parent == self.keeper_pid());
            found = server.filter(|_| servers.is_empty());
            found.is_some()
        });
        found.expect("the wait ends when it is found")
    }

    /// All servers that run: while one follows another, these are two.
    #[must_use]
    pub fn servers(&self) -> Vec<Stat> {
        self.parts(SERVER)
    }

    /// Keepers or servers of this papad that run and were not killed by the test.
    fn parts(&self, name: &str) -> Vec<Stat> {
        let killed = self.killed.lock().unwrap();
        let is_part = |process: &Stat| {
            process.comm == name
                && !process.is_zombie()
                && !killed.contains(&(process.pid, process.started))
                && self.writes_log(process.pid)
        };
        procfs::processes().into_iter().filter(is_part).collect()
    }

    fn writes_log(&self, pid: i32) -> bool {
        let stderr = std::fs::metadata(format!("/proc/{pid}/fd/2"));
        stderr.is_ok_and(|stderr| device_and_inode(&stderr) == self.log_pipe)
    }

    /// Kills the server with SIGKILL and returns at once, with the pid it had. The keeper holds
    /// the listening socket, so whoever connects now waits for the next server.
    pub fn kill_server(&self) -> i32 {
        let server = self.server();
        self.kill(&server);
        server.pid
    }

    /// Kills a server or a candidate, one of [`Self::servers`], and returns at once.
    pub fn kill(&self, server: &Stat) {
        self.killed_servers.lock().unwrap().insert((server.pid, server.started));
        self.killed.lock().unwrap().insert((server.pid, server.started));
        // It may have ended by itself, which is as good.
        let _ = kill(Pid::from_raw(server.pid), Signal::SIGKILL);
    }

    /// How many of the servers that the test has killed are gone by now, for
    /// [`Self::has_killed_since`].
    #[must_use]
    pub fn kills_over(&self) -> usize {
        let killed = self.killed_servers.lock().unwrap();
        let is_gone = |(pid, started): &&(i32, u64)| {
            procfs::stat(*pid).is_none_or(|it| it.started != *started)
        };
        killed.iter().filter(is_gone).count()
    }

    /// Whether the test has killed a server that was not gone when there were so many
    /// [`Self::kills_over`]: nothing else may end a session that began after that.
    #[must_use]
    pub fn has_killed_since(&self, kills_over: usize) -> bool {
        self.killed_servers.lock().unwrap().len() > kills_over
    }

    /// Kills the keeper with SIGKILL, and returns when another has taken its place and a server is
    /// that one's child.
    pub fn kill_keeper(&self) {
        self.kill_keeper_at_once();
        self.wait_for_keeper();
    }

    /// Kills the keeper with SIGKILL, and returns when it is gone.
    pub fn kill_keeper_at_once(&self) {
        let keeper = self.keeper_pid();
        // It makes no more children known while they are counted.
        let _ = kill(Pid::from_raw(keeper), Signal::SIGSTOP);
        self.look_after_children(keeper);
        if let Some(stat) = procfs::stat(keeper) {
            self.killed.lock().unwrap().insert((keeper, stat.started));
        }
        let _ = kill(Pid::from_raw(keeper), Signal::SIGKILL);
        self.wait_until_keeper_is_gone(keeper);
    }

    /// Notes the children of a keeper, which the test ends even if that is killed.
    pub fn look_after_children(&self, keeper: i32) {
        let children = procfs::children(keeper).into_iter().filter(|child| child.comm != SERVER);
        self.orphans.lock().unwrap().extend(children.map(|child| (child.pid, child.started)));
    }

    /// Waits until this keeper, whoever kills it, is reaped.
    pub fn wait_until_keeper_is_gone(&self, keeper: i32) {
        let mut child = self.child.lock().unwrap();
        if child.id() as i32 == keeper {
            child.wait().unwrap();
        } else {
            eventually("the killed keeper is gone", || {
                procfs::stat(keeper).is_none_or(|stat| stat.is_zombie())
            });
        }
    }

    /// Waits until there is another keeper than before, whose child is the server.
    pub fn wait_for_keeper(&self) {
        let before = self.keeper_pid();
        eventually("another keeper has a server", || {
            let keepers = self.parts(KEEPER);
            let [keeper] = &keepers[..] else { return false };
            let servers = self.servers();
            let is_served = servers.len() == 1 && servers[0].parent == keeper.pid;
            if is_served {
                self.keeper.store(keeper.pid, Ordering::SeqCst);
            }
            is_served && keeper.pid != before
        });
    }

    /// Kills keeper and server with SIGKILL, and returns when both are gone. What papad hosted runs
    /// on, without a parent.
    pub fn kill_both(&mut self) {
        let server = Pid::from_raw(self.server().pid);
        // It is not to have the time to start another keeper.
        kill(server, Signal::SIGSTOP).unwrap();
        eventually("the server stands still", || {
            procfs::stat(server.as_raw()).is_none_or(|server| server.state == 'T')
        });
        for pid in [Pid::from_raw(self.keeper_pid()), server] {
            kill(pid, Signal::SIGKILL).unwrap();
        }
        assert!(self.log.wait_for_end(), "papad has not ended:\n{}", self.log());
        self.child.get_mut().unwrap().wait().unwrap();
        // It has closed its log, and may have more to close.
        eventually("the server is gone", || {
            procfs::stat(server.as_raw()).is_none_or(|server| server.is_zombie())
        });
    }

    /// Everything papad has logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Waits for a line of the log that contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        self.wait_for_logs(1, text);
    }

    /// Waits until so many lines of the log contain `text`.
    pub fn wait_for_logs(&self, count: usize, text: &str) {
        self.log.wait_for_lines(count, text);
    }

    /// Waits until papad, keeper and server, has ended by itself.
    ///
    /// # Panics
    /// When it has not ended within the deadline.
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        assert!(self.log.wait_for_end(), "papad has not ended:\n{}", self.log());
        self.child.get_mut().unwrap().wait().unwrap()
    }

    /// Every process of papad's own, whatever its name is at this moment.
    fn own(&self) -> Vec<Stat> {
        let all = procfs::processes().into_iter();
        all.filter(|process| !process.is_zombie() && self.writes_log(process.pid)).collect()
    }

    /// What each thread of papad, and of a few processes that it hosts, waits for.
    fn threads(&self) -> String {
        /// Enough for a test that holds few processes.
        const HOSTED: usize = 20;
        let own = self.own().into_iter().map(|process| process.pid);
        let hosted = procfs::children(self.keeper_pid()).into_iter().map(|child| child.pid);
        let pids: BTreeSet<i32> = own.chain(hosted.take(HOSTED)).collect();
        pids.into_iter().map(procfs::threads).collect()
    }

    /// The children of these keepers and the orphans of killed ones, and whoever belongs to a
    /// session that one of them leads: servers, the hosted processes and their descendants.
    fn descendants(&self, keepers: &BTreeSet<i32>) -> Vec<Stat> {
        let orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        let all = procfs::processes();
        let is_leader = |process: &&Stat| {
            keepers.contains(&process.parent)
                || orphans.contains(&(process.pid, process.started))
                || process.comm == SERVER && self.writes_log(process.pid)
        };
        let leaders: BTreeSet<i32> =
            all.iter().filter(is_leader).map(|process| process.pid).collect();
        all.into_iter()
            .filter(|process| leaders.contains(&process.pid) || leaders.contains(&process.session))
            .filter(|process| !process.is_zombie())
            .collect()
    }
}

/// What tells a file from every other: files of two devices may have the same inode number.
fn device_and_inode(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for Papad {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "threads of papad and what it hosts:
{}",
                self.threads()
            );
        }
        loop {
            let keepers: BTreeSet<i32> = self
                .own()
                .iter()
                .filter(|process| process.comm != SERVER)
                .map(|keeper| keeper.pid)
                .collect();
            // A stopped keeper starts nothing and remains the parent of all, until all are gone.
            for keeper in &keepers {
                let _ = kill(Pid::from_raw(*keeper), Signal::SIGSTOP);
            }
            let mut left: Vec<i32> =
                self.descendants(&keepers).iter().map(|process| process.pid).collect();
            if left.is_empty() {
                left.extend(&keepers);
            }
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            thread::yield_now();
        }
        if let Ok(child) = self.child.get_mut() {
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("papad's log:\n{}", self.log());
        }
    }
}
