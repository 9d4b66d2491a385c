//! The process that stays: it holds descriptors, is the parent of every hosted process, and
//! starts the server again whenever that ends. It never reads a byte that a client sent.

mod begin;
mod ends;
mod estate;
mod events;
mod holdings;
mod limits;
mod liveness;
mod responding;
mod restarts;
mod serving;
mod succession;

use std::env;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::{Pid, dup2_stdin, execv};

use ends::Ends;
use estate::Estate;
use events::{Event, hold_signals, watch_signals};
use holdings::Holdings;
use liveness::Liveness;
use restarts::Restarts;
use succession::{Succession, Trial};

use crate::cli::Options;
use crate::link::{Link, Start, ToKeeper, ToServer};
use crate::sys::{self, Ended};
use crate::{launch, limit, listen, log, memory, oom, socket_file, version};

pub(crate) use estate::leave_link;
pub(crate) use limits::{Reserve, lasting_descriptor_limit, leave_room_for_keeper};

/// How long a child that has recorded itself may take to exec before a server starts without it.
const SETTLING_TIME: Duration = Duration::from_secs(2);

/// How long to wait for a child that was killed.
const END_TIME: Duration = Duration::from_secs(5);

/// Where the server is in its life.
enum Server {
    /// It runs; `ready` once it serves. One that has started this keeper is no child of it.
    Running { child: Option<Pid>, link: Link, ready: bool },
    /// It has ended, but a child it was making may still be on its way to exec: the child has a
    /// copy of the server's end of the link until then.
    Settling { link: Link, until: Instant },
    /// The next one is started then.
    Pausing { until: Instant },
}

impl Server {
    /// There is none, and it is time to start one.
    fn none() -> Server {
        Server::Pausing { until: Instant::now() }
    }
}

struct Keeper {
    options: Options,
    held: Holdings,
    server: Server,
    signals: SignalFd,
    start: Start,
    /// Records that the server could not read.
    skipped: u64,
    restarts: Restarts,
    ends: Ends,
    /// Where to say that papad answers, until it was said.
    ready: Option<OwnedFd>,
    leaving: bool,
    liveness: Liveness,
    /// papad ends without the server, which cannot even be killed.
    is_given_up: bool,
    /// Why papad cannot start.
    failure: Option<String>,
    succession: Succession,
    trial: Option<Trial>,
    /// A server that another has taken over from, until it is reaped.
    retiring: Option<Pid>,
}

/// Runs until papad is told to leave.
pub(crate) fn run(options: &Options) -> ExitCode {
    // First of all: whoever sees an endpoint may well tell papad to stop.
    let signals = hold_signals().map_err(|error| format!("cannot start: {error}"));
    let keeper = signals.and_then(|signals| match launch::take_estate() {
        Some(left) => Keeper::inherit(options, &signals, &left.into()),
        None => Keeper::new(options, &signals),
    });
    match keeper.and_then(|mut keeper| {
        let result = keeper.serve();
        keeper.clean_up();
        result
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => launch::fail(&why),
    }
}

impl Keeper {
    fn new(options: &Options, signals: &SigSet) -> Result<Keeper, String> {
        let ready = if options.daemonize {
            Some(launch::take_stdin().map_err(|error| format!("cannot start: {error}"))?)
        } else {
            None
        };
        let descriptor_limit = limits::raise_descriptor_limit();
        let file_size_limit = limits::lift_file_size_limit();
        options.hosted_nofile.check(descriptor_limit)?;
        let held = begin::begin(options)?;
        // It may log, which opens a descriptor: not before all that were passed are taken.
        let oom_score = oom::lower_score();
        sys::kill_point("listening");
        let start = Start {
            starts: 0,
            last_end: None,
            descriptor_limit,
            oom_score,
            file_size_limit,
            deaths: 0,
            has_store: held.look_at_service().is_there(),
            // What is left of a papad that was killed as a whole had a keeper.
            keepers: if held.has_journal() { 2 } else { 1 },
            put_back: None,
        };
        Keeper::with(options, signals, held, Server::none(), start, 0, ready)
    }

    /// Goes on where the keeper before was.
    fn inherit(
        options: &Options,
        signals: &SigSet,
        left: &std::fs::File,
    ) -> Result<Keeper, String> {
        // A limit that a server has lowered for itself is not the keeper's.
        limits::raise_descriptor_limit();
        let cannot = |error| format!("cannot go on for the keeper before: {error}");
        let Estate { held, start, skipped, server, link } = estate::read(left).map_err(cannot)?;
        log::open();
        if let Some(path) = &options.log_file {
            log::to_file(path);
        }
        sys::kill_point("keeper-inherits");
        log::info!("keeper", "goes on as {}", version::full());
        let mut held = held;
        held.service().ready();
        let server = Server::Running { child: server, link: Link::new(link), ready: true };
        Keeper::with(options, signals, held, server, start, skipped, None)
    }

    fn with(
        options: &Options,
        signals: &SigSet,
        held: Holdings,
        server: Server,
        start: Start,
        skipped: u64,
        ready: Option<OwnedFd>,
    ) -> Result<Keeper, String> {
        let mut restarts = Restarts::new(Instant::now());
        let mut liveness = Liveness::new();
        if let Server::Running { ready, .. } = server {
            restarts.ready(Instant::now());
            // It is of this version, and was ready for as long as its trial took.
            let ready = liveness::Event::Ready { answers: ready };
            liveness.on(ready, Instant::now());
        }
        Ok(Keeper {
            options: options.clone(),
            held,
            server,
            signals: watch_signals(signals).map_err(|error| format!("cannot start: {error}"))?,
            start,
            skipped,
            restarts,
            ends: Ends::new(),
            ready,
            leaving: false,
            liveness,
            is_given_up: false,
            failure: None,
            succession: Succession::None,
            trial: None,
            retiring: None,
        })
    }

    fn serve(&mut self) -> Result<(), String> {
        loop {
            // A child that ended before its signal could be heard is found by this, too.
            self.tell_of_ended();
            let event = self.next_event();
            self.take(event.map_err(|error| format!("the keeper failed: {error}"))?);
            if let Some(why) = self.failure.take() {
                return Err(why);
            }
            let has_server = matches!(self.server, Server::Running { .. });
            if self.leaving && (!has_server || self.is_given_up) {
                return Ok(());
            }
            self.close_what_is_due();
            self.held.flush();
            memory::give_back_if_due();
        }
    }

    fn take(&mut self, event: Event) {
        if let Event::Child(pid) = event {
            self.ends.heard(pid);
        }
        let server = std::mem::replace(&mut self.server, Server::none());
        self.server = match (server, event) {
            (Server::Running { child, link, ready }, Event::Child(_)) => {
                // One signal may stand for several ends.
                let ended = child.and_then(reap);
                self.server = Server::Running { child, link, ready };
                self.reap_others();
                if let Some(ended) = ended
                    && let Server::Running { link, .. } =
                        std::mem::replace(&mut self.server, Server::none())
                {
                    self.server_ended(link, Some(ended.code));
                }
                return;
            }
            (Server::Running { child, link, ready }, Event::Message(message)) => {
                let ready = ready || matches!(message, ToKeeper::Ready { .. });
                self.server = Server::Running { child, link, ready };
                return self.obey(message);
            }
            // It closed its link, or ended and its SIGCHLD comes next: without a link it is of
            // no use.
            (Server::Running { child, link, .. }, Event::LinkClosed) => {
                let ended = child.and_then(end);
                if ended.is_none() {
                    // It is reaped when it ends, if it is a child.
                    self.retiring = child;
                }
                return self.server_ended(link, ended.map(|ended| ended.code));
            }
            (Server::Settling { .. }, Event::LinkClosed) => self.pausing(),
            (Server::Settling { until, .. }, Event::TimeIsUp) if until <= Instant::now() => {
                self.pausing()
            }
            // What the server said before it ended still counts.
            (Server::Settling { link, until }, Event::Message(message)) => {
                self.server = Server::Settling { link, until };
                return self.obey(message);
            }
            (Server::Pausing { until }, Event::TimeIsUp) if until <= Instant::now() => {
                self.start_server()
            }
            (server, Event::Signal(Signal::SIGTERM | Signal::SIGINT)) => {
                log::info!("keeper", "told to stop");
                if self.leaving {
                    // Twice is enough. What the server has open is not to be taken for somebody
                    // else's.
                    if let Server::Running { child: Some(child), .. } = server {
                        end(child);
                    }
                    return;
                }
                self.server = server;
                return self.leave();
            }
            (server, Event::Signal(Signal::SIGHUP)) => {
                self.server = server;
                self.watch_server(liveness::Event::Wanted);
                return self.begin_upgrade(None, None);
            }
            (server, Event::Child(_)) => {
                self.server = server;
                return self.reap_others();
            }
            (server, Event::Candidate(event)) => {
                self.server = server;
                return self.advance_upgrade(event);
            }
            (server, Event::Connection) => {
                self.server = server;
                return self.watch_server(liveness::Event::Connection);
            }
            (
                server,
                Event::Signal(_)
                | Event::TimeIsUp
                | Event::Message(_)
                | Event::LinkClosed
                | Event::Systemd,
            ) => server,
        };
    }

    /// Reaps what was the server, and what is to be.
    fn reap_others(&mut self) {
        self.reap_retiring();
        if self.succession.reap_candidate() {
            self.advance_upgrade(succession::Event::Ended);
        }
    }

    /// Does what the time has come for, apart from the server's own.
    fn close_what_is_due(&mut self) {
        let now = Instant::now();
        if self.liveness.until().is_some_and(|until| until <= now) {
            self.watch_server(liveness::Event::TimeIsUp);
        }
        if self.succession.until().is_some_and(|until| until <= now) {
            self.advance_upgrade(succession::Event::TimeIsUp);
        }
        if self.trial.as_ref().and_then(|trial| trial.until).is_some_and(|until| until <= now) {
            self.settle_trial();
        }
    }

    /// Becomes another program, which goes on as the keeper; returns only if that failed.
    fn become_program(&self, program: &OwnedFd) -> io::Error {
        let Server::Running { child, link, ready: true } = &self.server else {
            return io::Error::other("there is no server");
        };
        let become_it = || -> io::Result<std::convert::Infallible> {
            let left = estate::write(
                self.held.iter(),
                Some(self.held.look_at_service()),
                &self.start,
                self.skipped,
                *child,
                link,
            )?;
            dup2_stdin(left)?;
            let path = CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?;
            let words = env::args_os().map(|word| CString::new(word.as_bytes()));
            let words: Vec<CString> = words.collect::<Result<_, _>>()?;
            log::flush();
            sys::kill_point("keeper-becomes");
            // Signals stay blocked, and those that come meanwhile are still to be taken.
            Ok(execv(&path, &words)?)
        };
        let Err(error) = become_it();
        // Nobody else is to inherit what the next keeper should have.
        if let Err(error) = sys::close_inherited_on_exec(0) {
            log::error!("keeper", "descriptors are inherited by servers: {error}");
        }
        error
    }

    /// Does what the server asks.
    fn obey(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Hold(fds, done) => {
                for (name, fd) in fds {
                    self.held.hold(name, fd);
                }
                self.held.service().when_stored(done);
            }
            ToKeeper::Drop(names, done) => {
                for name in names {
                    self.held.drop(name);
                }
                self.held.service().when_closed(done);
            }
            ToKeeper::Recorded(pid) => {
                reap(pid);
                self.ends.recorded(pid);
            }
            ToKeeper::DropPassed => {
                self.held.drop_passing();
                self.start.put_back = None;
            }
            ToKeeper::Pong => self.watch_server(liveness::Event::Answered),
            ToKeeper::Ready { skipped, answers } => {
                self.skipped = skipped;
                self.watch_server(liveness::Event::Ready { answers });
                self.restarts.ready(Instant::now());
                self.start.put_back = None;
                if let Some(ready) = self.ready.take()
                    && let Err(error) = launch::announce_ready(ready, &self.options)
                {
                    log::warn!("keeper", "whoever started papad is not told: {error}");
                }
                log::info!("keeper", "ready{}", self.hint());
                if let Err(error) = launch::settle_log(&self.options) {
                    log::warn!("keeper", "standard error stays as it was: {error}");
                }
                let server = self.start.starts;
                self.held.service().status(&format!("Ready, with server {server}"));
                self.held.service().ready();
                self.begin_trial();
            }
            ToKeeper::Upgrade(number, program) => self.begin_upgrade(Some(number), program),
            ToKeeper::Parted => self.advance_upgrade(succession::Event::Parted),
            ToKeeper::Succeed => self.succeed(),
            ToKeeper::Stays(why) => self.advance_upgrade(succession::Event::Stays(why)),
            ToKeeper::Leave => {
                self.leaving = true;
                self.held.service().stopping();
            }
            // These are a candidate's.
            ToKeeper::Here | ToKeeper::Able | ToKeeper::Unable(_) | ToKeeper::Took => {}
        }
    }

    /// What to try next, for a person who has just started papad.
    fn hint(&self) -> String {
        let port = self.held.control().find_map(|(_, socket)| listen::port(socket));
        match (self.start.starts, port) {
            (1, Some(port)) => format!("; try: telnet localhost {port}, then type help"),
            _ => String::new(),
        }
    }

    fn leave(&mut self) {
        self.leaving = true;
        self.held.service().stopping();
        self.watch_server(liveness::Event::Leave);
        if let Server::Running { link, .. } = &self.server {
            // If it is gone, its end is what comes next.
            let _ = link.tell_server(&ToServer::Leave);
        }
    }

    /// Removes papad's own Unix socket, unless it is somebody else's by now, or the next papad's.
    fn clean_up(&mut self) {
        self.held.flush();
        self.held.clear();
        if !self.start.has_store
            && let Some(path) = &self.options.unix_socket
            && let Err(error) = socket_file::unlink_stale(path, &self.options.allowed_uids)
        {
            log::warn!("keeper", "{} is left: {error}", path.display());
        }
        log::info!("keeper", "stopped");
    }
}

/// Kills a child and waits until it has ended; `None` if it has not within [`END_TIME`], as one that
/// waits for a device.
fn end(child: Pid) -> Option<Ended> {
    // It may be gone already, which is what is wanted.
    let _ = kill(child, Signal::SIGKILL);
    match sys::pidfd(child.as_raw()) {
        Ok(pidfd) => {
            // What is not known to have ended is reaped later.
            let _ = limit::is_readable_within(&pidfd, END_TIME);
            reap(child)
        }
        // Its end comes soon in all but the rarest of cases.
        Err(_) => sys::reap_at_end(child).ok().flatten(),
    }
}

fn reap(pid: Pid) -> Option<Ended> {
    let reaped = sys::reap(pid);
    reaped.inspect_err(|error| log::error!("keeper", "{pid} cannot be reaped: {error}")).ok()?
}
