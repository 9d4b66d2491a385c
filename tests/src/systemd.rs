//! systemd's part: a notification socket, a descriptor store that outlives papad, and a start that
//! passes what it has. The rules are those of `sd_notify(3)`, `sd_pid_notify_with_fds(3)` and
//! `sd_listen_fds(3)`, and where these are silent, of systemd's own `service.c`.

use std::collections::BTreeSet;
use std::fs;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::cmsg_space;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt,
};
use nix::sys::stat::fstat;
use nix::unistd::Pid;

use crate::carriers::names_in;
use crate::{DEADLINE, ScratchDir, eventually, procfs, sys};

/// The longest message that systemd takes, in bytes, and the most descriptors with one.
const MAX_MESSAGE: usize = 4096;
const MAX_DESCRIPTORS: usize = 253;

/// The unit that papad ships.
const UNIT: &str = include_str!("../../packaging/papad.service");

/// A message of the test to itself, by its number: what was sent before it has been dealt with.
const SYNC: &str = "X_SYNC=";

/// One that nobody waits for.
const NO_SYNC: &str = "X_SYNC=0";

/// A descriptor and the name it is passed under.
type Named = (String, OwnedFd);

#[derive(Default)]
struct State {
    /// The oldest first.
    store: Vec<Named>,
    /// For how many there is room, if that is bounded.
    store_size: Option<usize>,
    /// Every assignment that is about the service, not about the store, in order.
    said: Vec<String>,
    /// The unit's main process, whom alone systemd listens to.
    main_pid: Option<i32>,
    /// How many messages were sent by others.
    not_heard: usize,
    /// No message is taken.
    hangs: bool,
    /// Nor is one being taken.
    is_hanging: bool,
    /// The last message of the test to itself that was sent, and that has come.
    last_sync: usize,
    synced: usize,
}

/// A service manager of the test's own, for one service.
pub struct FakeSystemd {
    _scratch: ScratchDir,
    path: String,
    shared: Arc<(Mutex<State>, Condvar)>,
    sockets: Vec<Named>,
    store_size: Option<usize>,
    hosted: Mutex<Vec<(i32, u64)>>,
}

impl FakeSystemd {
    /// One whose store is empty.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Self {
        let scratch = ScratchDir::new();
        let path = scratch.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        // Whoever papad runs as may write to it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        setsockopt(&socket, sockopt::PassCred, &true).unwrap();
        let shared = Arc::<(Mutex<State>, Condvar)>::default();
        let listener = Arc::clone(&shared);
        thread::spawn(move || {
            loop {
                let (state, changed) = &*listener;
                let state = changed.wait_while(state.lock().unwrap(), |state| {
                    state.is_hanging = state.hangs;
                    state.hangs
                });
                drop(state.unwrap());
                let (sender, text, fds) = receive(&socket);
                state_of(&listener).take(sender, &text, fds);
                changed.notify_all();
            }
        });
        let (sockets, hosted) = (Vec::new(), Mutex::default());
        Self { _scratch: scratch, path, shared, sockets, store_size: None, hosted }
    }

    /// Has room for so many descriptors, and says so.
    #[must_use]
    pub fn with_store_size(mut self, descriptors: usize) -> Self {
        self.state().store_size = Some(descriptors);
        self.store_size = Some(descriptors);
        self
    }

    /// Has the service activated with this socket of a socket unit.
    #[must_use]
    pub fn with_socket(mut self, name: &str, socket: impl Into<OwnedFd>) -> Self {
        self.sockets.push((name.to_owned(), socket.into()));
        self
    }

    /// The names of what the next papad would find, in order: those of the store, and in place of
    /// carriers those of what is in them.
    #[must_use]
    pub fn stored(&self) -> Vec<String> {
        self.synchronise();
        let state = self.state();
        let names = state.store.iter().flat_map(|(name, fd)| match name.strip_prefix("carrier.") {
            Some(_) => names_in(fd),
            None => vec![name.clone()],
        });
        let names: BTreeSet<String> = names.collect();
        names.into_iter().collect()
    }

    /// Has everything that is in carriers stored under names of its own, as papads did that knew no
    /// carriers. Nobody may be there who sends into one.
    pub fn store_singly(&self) {
        self.synchronise();
        let mut state = self.state();
        let stored = std::mem::take(&mut state.store);
        for (name, fd) in stored {
            assert!(name.starts_with("carrier."), "{name}");
            loop {
                let (_, text, fds) = receive(&fd);
                let Some((_, names)) = text.split_once(' ') else { break };
                state.store.extend(names.split(' ').map(str::to_owned).zip(fds));
            }
        }
    }

    /// The names in the store itself, the oldest first.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        self.synchronise();
        let stored: Vec<String> = self.state().store.iter().map(|(name, _)| name.clone()).collect();
        assert!(self.store_size.is_none_or(|size| stored.len() <= size), "{stored:?}");
        stored
    }

    /// Everything the service has said, but for what its store is to have.
    #[must_use]
    pub fn said(&self) -> Vec<String> {
        self.synchronise();
        self.state().said.clone()
    }

    /// Whether a line was said.
    #[must_use]
    pub fn has_said(&self, line: &str) -> bool {
        self.said().iter().any(|said| said == line)
    }

    /// How many messages came from other processes than the main one, which systemd does not hear.
    #[must_use]
    pub fn not_heard(&self) -> usize {
        self.synchronise();
        self.state().not_heard
    }

    /// Waits until a line is said that begins with `start`, beyond the first `after` lines.
    pub fn wait_for(&self, after: usize, start: &str) {
        let (state, changed) = &*self.shared;
        let is_said =
            |state: &State| state.said.iter().skip(after).any(|line| line.starts_with(start));
        let guard = state.lock().unwrap();
        let (state, _) =
            changed.wait_timeout_while(guard, DEADLINE, |state| !is_said(state)).unwrap();
        assert!(is_said(&state), "{start} is not among what was said: {:?}", state.said);
    }

    /// Takes no message until `go_on`, and has no room for one.
    pub fn hang(&self) {
        self.state().hangs = true;
        let sender = self.sender();
        sender.set_nonblocking(true).unwrap();
        // It may be within a call that takes one more.
        let _ = sender.send(NO_SYNC.as_bytes());
        eventually("no message is taken", || self.state().is_hanging);
        while sender.send(NO_SYNC.as_bytes()).is_ok() {}
    }

    /// Takes messages again.
    pub fn go_on(&self) {
        self.state().hangs = false;
        self.shared.1.notify_all();
    }

    /// Kills this process when the test ends: papad, which does it otherwise, may not be there.
    pub fn look_after(&self, pid: i32) {
        let started = procfs::stat(pid).unwrap().started;
        self.hosted.lock().unwrap().push((pid, started));
    }

    /// Has `command` run as the unit's main process: with the environment and the descriptors that
    /// systemd would give it. It has to be `/bin/sh`, which knows its own pid.
    pub(crate) fn prepare(&self, command: &mut Command) {
        self.synchronise();
        let mut state = self.state();
        state.main_pid = None;
        // Those of socket units first, and what was stored last before what was stored earlier.
        let passed: Vec<(&str, OwnedFd)> = self
            .sockets
            .iter()
            .chain(state.store.iter().rev())
            .map(|(name, fd)| (name.as_str(), fd.try_clone().unwrap()))
            .collect();
        drop_variables(command);
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(size) = self.store_size {
            command.env("FDSTORE", size.to_string());
        }
        if !passed.is_empty() {
            let names: Vec<&str> = passed.iter().map(|(name, _)| *name).collect();
            command.env("LISTEN_FDS", passed.len().to_string());
            command.env("LISTEN_FDNAMES", names.join(":"));
        }
        let fds: Vec<OwnedFd> = passed.into_iter().map(|(_, fd)| fd).collect();
        sys::pass_descriptors(command, soft_descriptor_limit(), fds);
    }

    /// The main process is this one from now on.
    pub(crate) fn started(&self, pid: i32) {
        self.state().main_pid = Some(pid);
        self.shared.1.notify_all();
    }

    /// Waits until everything that was sent before has been dealt with.
    fn synchronise(&self) {
        let (state, changed) = &*self.shared;
        let wanted = {
            let mut state = self.state();
            state.last_sync += 1;
            state.last_sync
        };
        self.sender().send(format!("{SYNC}{wanted}").as_bytes()).unwrap();
        let guard = state.lock().unwrap();
        let (state, _) =
            changed.wait_timeout_while(guard, DEADLINE, |state| state.synced < wanted).unwrap();
        assert!(state.synced >= wanted, "the notification socket is not read");
    }

    fn sender(&self) -> UnixDatagram {
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&self.path).unwrap();
        sender
    }

    fn state(&self) -> MutexGuard<'_, State> {
        state_of(&self.shared)
    }
}

impl Drop for FakeSystemd {
    fn drop(&mut self) {
        for (pid, started) in self.hosted.lock().unwrap().drain(..) {
            if procfs::stat(pid).is_some_and(|process| process.started == started) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        self.go_on();
        self.state().store.clear();
    }
}

impl State {
    fn take(&mut self, sender: i32, text: &str, mut fds: Vec<OwnedFd>) {
        if let Some(number) = text.strip_prefix(SYNC) {
            self.synced = self.synced.max(number.parse().expect("the test counts them"));
            return;
        }
        // A message may come before the test knows whom it has started.
        if self.main_pid.is_some_and(|main| main != sender) {
            self.not_heard += 1;
            return;
        }
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(key, value)| (key == name).then(|| value.to_owned()))
        };
        let name = value("FDNAME");
        if text == "BARRIER=1" {
            // Closing it is the answer.
            assert_eq!(fds.len(), 1, "a barrier comes with one descriptor");
            return;
        }
        if value("FDSTOREREMOVE").is_some() {
            let name = name.expect("what is removed has a name");
            self.store.retain(|(stored, _)| *stored != name);
            return;
        }
        if value("FDSTORE").is_some() {
            let name = name.unwrap_or_else(|| "stored".to_owned());
            assert!(name.len() <= 255 && !name.contains(':'), "{name}");
            assert_eq!(value("FDPOLL").as_deref(), Some("0"), "it is kept when it hangs up");
            fds.retain(|fd| !self.store.iter().any(|(_, stored)| is_same(stored, fd)));
            // systemd logs that, and closes them.
            fds.truncate(self.store_size.map_or(usize::MAX, |size| size - self.store.len()));
            self.store.extend(fds.into_iter().map(|fd| (name.clone(), fd)));
            return;
        }
        assert!(fds.is_empty(), "{text} came with descriptors");
        self.said.extend(text.lines().map(str::to_owned));
    }
}

/// The soft limit on descriptors that the unit asks for.
fn soft_descriptor_limit() -> u64 {
    let mut settings = UNIT.lines().filter_map(|line| line.strip_prefix("LimitNOFILE="));
    let setting = settings.next().expect("the unit sets the limit");
    let soft = setting.split(':').next().expect("a split has at least one part");
    soft.parse().expect("the limit is a number")
}

/// What the test itself may have been started with.
fn drop_variables(command: &mut Command) {
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "FDSTORE"] {
        command.env_remove(name);
    }
}

fn state_of(shared: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    // A test that fails while it looks leaves it as it was.
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same open file, as near as a test has to know: kcmp(2) tells it for certain. The two ends of
/// a pipe have one number but are open in different ways.
fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let what = |fd: &OwnedFd| {
        let stat = fstat(fd).unwrap();
        let flags = fcntl(fd, FcntlArg::F_GETFL).unwrap();
        (stat.st_dev, stat.st_ino, stat.st_mode, flags)
    };
    what(one) == what(other)
}

/// The next message: who sent it, what it says, and what came with it.
fn receive(socket: &impl AsRawFd) -> (i32, String, Vec<OwnedFd>) {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut control = cmsg_space!(UnixCredentials, [RawFd; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).unwrap();
    let truncated = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
    assert!(!message.flags.intersects(truncated), "a message is too long");
    let (mut sender, mut fds) = (0, Vec::new());
    for part in message.cmsgs().unwrap() {
        match part {
            ControlMessageOwned::ScmCredentials(credentials) => sender = credentials.pid(),
            ControlMessageOwned::ScmRights(raw) => {
                fds.extend(sys::own_received(raw));
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
    let length = message.bytes;
    bytes.truncate(length);
    (sender, String::from_utf8(bytes).unwrap(), fds)
}
