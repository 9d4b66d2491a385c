//! The process that stays: it holds descriptors, is the parent of every hosted process, and
//! starts the server again whenever that ends. It never reads a byte that a client sent.

mod restarts;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, Uid};

use restarts::Restarts;

use crate::cli::Options;
use crate::link::{Held, Link, Start, ToKeeper, ToServer};
use crate::sys::{self, Ended};
use crate::{launch, listen, log, oom, values};

/// How long a child that has recorded itself may take to exec before a server starts without it.
const SETTLING_TIME: Duration = Duration::from_secs(2);

/// Descriptors that the keeper may have open beyond the server's limit: the server, not the
/// keeper, is to be the one that meets it and answers with an error.
const RESERVED_DESCRIPTORS: u64 = 64;

/// The most descriptors papad asks for, where it may (`nr_open`'s usual value).
const WANTED_DESCRIPTORS: u64 = 1 << 20;

/// Where the server is in its life.
enum Server {
    Running {
        pid: Pid,
        link: Link,
    },
    /// It has ended, but a child it was making may still be on its way to exec: the child has a
    /// copy of the server's end of the link until then.
    Settling {
        link: Link,
        until: Instant,
    },
    /// The next one is started then.
    Pausing {
        until: Instant,
    },
}

/// What can happen to the keeper.
enum Event {
    Signal(Signal),
    Message(ToKeeper),
    /// Nobody has the server's end of the link any more.
    LinkClosed,
    TimeIsUp,
}

struct Keeper {
    options: Options,
    held: BTreeMap<Held, OwnedFd>,
    server: Server,
    signals: SignalFd,
    start: Start,
    restarts: Restarts,
    /// The hosted process whose end the server was told and has not recorded yet. One at a time:
    /// the others wait as zombies, which is the safest place.
    told: Option<Pid>,
    /// Where to say that papad answers, until it was said.
    ready: Option<OwnedFd>,
    leaving: bool,
}

/// Runs until papad is told to leave.
pub(crate) fn run(options: &Options) -> ExitCode {
    match Keeper::new(options).and_then(|mut keeper| {
        let result = keeper.serve().map_err(|error| format!("the keeper failed: {error}"));
        keeper.clean_up();
        result
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => launch::fail(&why),
    }
}

impl Keeper {
    fn new(options: &Options) -> Result<Keeper, String> {
        let ready = if options.daemonize {
            Some(launch::take_stdin().map_err(|error| format!("cannot start: {error}"))?)
        } else {
            None
        };
        let descriptor_limit = raise_descriptor_limit();
        let oom_score = oom::lower_score();
        let state_lock = options.state_dir.as_deref().map(values::lock).transpose()?;
        let sockets = listen::open(options)?;
        for socket in &sockets {
            log::info!("keeper", "listening on {}", listen::name(socket));
        }
        let signals = watch_signals().map_err(|error| format!("cannot start: {error}"))?;
        Ok(Keeper {
            options: options.clone(),
            held: (0..)
                .map(Held::Control)
                .zip(sockets)
                .chain(state_lock.map(|lock| (Held::StateLock, lock)))
                .collect(),
            server: Server::Pausing { until: Instant::now() },
            signals,
            start: Start { starts: 0, last_end: None, descriptor_limit, oom_score, deaths: 0 },
            restarts: Restarts::new(Instant::now()),
            told: None,
            ready,
            leaving: false,
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        loop {
            let event = self.next_event()?;
            let server =
                std::mem::replace(&mut self.server, Server::Pausing { until: Instant::now() });
            self.server = match (server, event) {
                (Server::Running { pid, link }, Event::Signal(Signal::SIGCHLD)) => {
                    match reap(pid) {
                        Some(ended) => self.server_ended(link, ended.code),
                        None => Server::Running { pid, link },
                    }
                }
                (Server::Running { pid, link }, Event::Message(message)) => {
                    self.obey(message);
                    Server::Running { pid, link }
                }
                // It closed its link, or ended and its SIGCHLD comes next: without a link it is of
                // no use.
                (Server::Running { pid, link }, Event::LinkClosed) => {
                    // It may be gone already, which is what is wanted.
                    let _ = kill(pid, Signal::SIGKILL);
                    let ended = sys::reap_at_end(pid).ok().flatten();
                    let code = ended.map_or(0, |ended| ended.code);
                    self.server_ended(link, code)
                }
                (Server::Settling { .. }, Event::LinkClosed | Event::TimeIsUp) => {
                    Server::Pausing { until: Instant::now() + self.restarts.pause() }
                }
                // What the server said before it ended still counts.
                (Server::Settling { link, until }, Event::Message(message)) => {
                    self.obey(message);
                    Server::Settling { link, until }
                }
                (Server::Pausing { .. }, Event::TimeIsUp) => self.start_server(),
                (server, Event::Signal(Signal::SIGTERM | Signal::SIGINT)) => {
                    log::info!("keeper", "told to stop");
                    if self.leaving {
                        return Ok(());
                    }
                    self.leave(&server);
                    server
                }
                // SIGHUP is reserved; a zombie waits until there is a server to tell.
                (
                    server,
                    Event::Signal(_) | Event::TimeIsUp | Event::Message(_) | Event::LinkClosed,
                ) => server,
            };
            if self.leaving && !matches!(self.server, Server::Running { .. }) {
                return Ok(());
            }
            self.tell_of_ended();
        }
    }

    fn next_event(&self) -> io::Result<Event> {
        let (link, until) = match &self.server {
            Server::Running { link, .. } => (Some(link), None),
            Server::Settling { link, until } => (Some(link), Some(*until)),
            Server::Pausing { until } => (None, Some(*until)),
        };
        loop {
            let timeout = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                // A millisecond more, so that the time is not up too early by rounding.
                Some(left) if left > Duration::ZERO => {
                    PollTimeout::try_from(left + Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                }
                Some(_) => PollTimeout::ZERO,
                None => PollTimeout::NONE,
            };
            let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            fds.extend(link.map(|link| PollFd::new(link.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, timeout) {
                Ok(0) => return Ok(Event::TimeIsUp),
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
            // Messages first: what the server said before it ended comes before its end.
            if let Some(link) = link.filter(|_| fds.get(1).is_some_and(is_ready)) {
                match link.hear_server() {
                    Ok(Some(message)) => return Ok(Event::Message(message)),
                    Ok(None) => return Ok(Event::LinkClosed),
                    Err(error) => {
                        log::error!("keeper", "a message from the server is lost: {error}");
                    }
                }
            } else if let Some(info) = self.signals.read_signal()?
                && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
            {
                return Ok(Event::Signal(signal));
            }
        }
    }

    /// Does what the server asks.
    fn obey(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Hold(fds) => self.held.extend(fds),
            ToKeeper::Drop(names, done) => {
                for name in names {
                    self.held.remove(&name);
                }
                drop(done);
            }
            ToKeeper::Recorded(pid) => {
                reap(pid);
                self.told = self.told.filter(|&told| told != pid);
            }
            ToKeeper::Ready => {
                self.restarts.ready(Instant::now());
                if let Some(ready) = self.ready.take()
                    && let Err(error) = launch::announce_ready(ready)
                {
                    log::warn!("keeper", "whoever started papad is not told: {error}");
                }
                log::info!("keeper", "ready{}", self.hint());
            }
            ToKeeper::Leave => self.leaving = true,
        }
    }

    /// What to try next, for a person who has just started papad.
    fn hint(&self) -> String {
        match (self.start.starts, self.held.get(&Held::Control(0)).and_then(listen::port)) {
            (1, Some(port)) => format!("; try: telnet localhost {port}, then type help"),
            _ => String::new(),
        }
    }

    /// Starts a server, or pauses if that cannot be now. Whatever it is that is lacking, what is
    /// held is not let go of for it.
    fn start_server(&mut self) -> Server {
        self.start.starts += 1;
        self.start.deaths = self.restarts.never_ready();
        self.restarts.start(Instant::now());
        self.told = None;
        let started = Link::pair().and_then(|(link, server_end)| {
            Ok((link, launch::start_server(&self.options, server_end)?))
        });
        let (link, pid) = match started {
            Ok((link, child)) => (link, Pid::from_raw(child.id() as i32)),
            Err(error) => {
                log::error!("keeper", "cannot start a server: {error}");
                self.restarts.end(Instant::now(), false);
                return Server::Pausing { until: Instant::now() + self.restarts.pause() };
            }
        };
        log::debug!("keeper", "started server {}, pid {pid}", self.start.starts);
        let handed = link
            .hand_over(self.held.iter())
            .and_then(|()| link.tell_server(&ToServer::Start(self.start.clone())));
        if let Err(error) = handed {
            log::error!("keeper", "a server could not be handed what is held: {error}");
            // It may be gone already, which is what is wanted. Its SIGCHLD comes next.
            let _ = kill(pid, Signal::SIGKILL);
        }
        let server = Server::Running { pid, link };
        if self.leaving {
            self.leave(&server);
        }
        server
    }

    fn server_ended(&mut self, link: Link, code: i32) -> Server {
        self.restarts.end(Instant::now(), code == -(Signal::SIGKILL as i32));
        if !self.leaving {
            let how = match code {
                0.. => format!("with status {code}"),
                signal => format!("by signal {}", -signal),
            };
            match self.restarts.pause() {
                Duration::ZERO => log::warn!("keeper", "the server ended {how}; starting it again"),
                pause => {
                    log::warn!("keeper", "the server ended {how}; starting it again in {pause:?}");
                }
            }
        }
        self.start.last_end = Some(code);
        Server::Settling { link, until: Instant::now() + SETTLING_TIME }
    }

    fn leave(&mut self, server: &Server) {
        self.leaving = true;
        if let Server::Running { link, .. } = server {
            // If it is gone, its end is what comes next.
            let _ = link.tell_server(&ToServer::Leave);
        }
    }

    /// Tells a server that runs of one process that has ended and is not recorded yet.
    fn tell_of_ended(&mut self) {
        let Server::Running { pid: server, link, .. } = &self.server else { return };
        if self.told.is_some() {
            return;
        }
        match sys::look_at_ended() {
            Ok(Some(ended)) if ended.pid != *server => {
                self.told = Some(ended.pid);
                // If the server is gone, the next one is told.
                let _ = link.tell_server(&ToServer::Exited(ended.pid, ended.code));
            }
            // The server's own end comes as a signal.
            Ok(_) => {}
            Err(error) => log::error!("keeper", "children cannot be looked at: {error}"),
        }
    }

    /// Removes papad's own Unix socket, unless it is somebody else's by now.
    fn clean_up(&mut self) {
        self.held.clear();
        if let Some(path) = &self.options.unix_socket
            && let Err(error) = listen::unlink_stale(path)
        {
            log::warn!("keeper", "{} is left: {error}", path.display());
        }
        log::info!("keeper", "stopped");
    }
}

fn reap(pid: Pid) -> Option<Ended> {
    let reaped = sys::reap(pid);
    reaped.inspect_err(|error| log::error!("keeper", "{pid} cannot be reaped: {error}")).ok()?
}

fn watch_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

/// Asks for as many descriptors as papad may have; returns the limits it was started with.
fn raise_descriptor_limit() -> (u64, u64) {
    let resource = Resource::RLIMIT_NOFILE;
    let (soft, hard) = getrlimit(resource).unwrap_or((1024, 1024));
    let allowed = if Uid::effective().is_root() { hard.max(WANTED_DESCRIPTORS) } else { hard };
    // Fewer descriptors mean fewer processes, not another papad.
    if setrlimit(resource, allowed, allowed).is_err() {
        let _ = setrlimit(resource, hard, hard);
    }
    (soft, hard)
}

/// The limit at which the server answers with an error while the keeper still has descriptors.
pub(crate) fn leave_room_for_keeper() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft > 2 * RESERVED_DESCRIPTORS {
        setrlimit(Resource::RLIMIT_NOFILE, soft - RESERVED_DESCRIPTORS, hard)?;
    }
    Ok(())
}
