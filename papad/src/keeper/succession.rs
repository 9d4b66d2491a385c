//! From one server to the next while sessions go on: an upgrade.
//!
//! A candidate is started from the new program beside the server that runs. It reads all that is
//! held and says that it is able to take over; then the server parts, which is to stop its sessions
//! and to hand them over; then the candidate is started in earnest. Until that one takes the baton,
//! the server that runs can go on as if nothing had been, and does when nobody is left who could
//! take it. From then on there is no way back but to start the old program anew.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Keeper, Server, end, liveness, reap};
use crate::link::{ANOTHER_UPGRADE, Held, Link, Start, ToKeeper, ToServer};
use crate::{launch, log, sys};

/// Why there is no upgrade if nothing else was said.
const ENDED: &str = "the new version ended before it could take over";

/// How long a candidate may take to find out whether it can take over.
const CHECKING_TIME: Duration = Duration::from_secs(10);

/// How long the server that runs may take to part. It gives up by itself before that.
const PARTING_TIME: Duration = Duration::from_secs(10);

/// How long a candidate may take to take the baton, once it has everything.
const TAKING_TIME: Duration = Duration::from_secs(10);

/// How long a new version may take to be ready, once it has taken the baton.
const READY_TIME: Duration = Duration::from_secs(60);

/// How long a new version is on trial: if it ends before, the old one is put back.
const TRIAL_TIME: Duration = Duration::from_secs(5);

/// How far an upgrade has come.
#[derive(Default)]
pub(super) enum Succession {
    #[default]
    None,
    /// The candidate finds out whether it can take over.
    Checking(Candidate, Instant),
    /// The server that runs stops its sessions.
    Parting(Candidate, Instant),
    /// The candidate has everything, and is to take the baton.
    Taking(Candidate, Instant),
}

/// A server that is to take over.
pub(super) struct Candidate {
    /// `None` once it is reaped.
    child: Option<Pid>,
    link: Link,
    /// Another program than the keeper's own.
    program: Option<OwnedFd>,
    /// By which number a client asked for it.
    request: Option<u64>,
}

/// A new version that has taken over and is not trusted yet.
pub(super) struct Trial {
    pub(super) program: OwnedFd,
    /// The server has become ready.
    pub(super) is_ready: bool,
    /// When the trial is over; before the server is ready, when it must be.
    pub(super) until: Option<Instant>,
}

/// What can happen in an upgrade.
pub(super) enum Event {
    Said(ToKeeper),
    /// The candidate has ended, or has let go of its link.
    Ended,
    Parted,
    Stays(String),
    ServerEnded,
    TimeIsUp,
}

impl Succession {
    pub(super) fn candidate(&self) -> Option<&Candidate> {
        match self {
            Succession::None => None,
            Succession::Checking(candidate, _)
            | Succession::Parting(candidate, _)
            | Succession::Taking(candidate, _) => Some(candidate),
        }
    }

    /// Reaps the candidate if it has ended.
    pub(super) fn reap_candidate(&mut self) -> bool {
        let candidate = match self {
            Succession::None => return false,
            Succession::Checking(candidate, _)
            | Succession::Parting(candidate, _)
            | Succession::Taking(candidate, _) => candidate,
        };
        let has_ended = candidate.child.and_then(reap).is_some();
        if has_ended {
            candidate.child = None;
        }
        has_ended
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Succession::None => None,
            Succession::Checking(_, until)
            | Succession::Parting(_, until)
            | Succession::Taking(_, until) => Some(*until),
        }
    }
}

impl Candidate {
    pub(super) fn child(&self) -> Option<Pid> {
        self.child
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// Ends it. Its baton goes with it.
    fn dismiss(self) {
        if let Some(child) = self.child {
            end(child);
        }
    }
}

impl Keeper {
    /// Begins an upgrade to this program, or to what is now where papad was started from.
    pub(super) fn begin_upgrade(&mut self, request: Option<u64>, program: Option<OwnedFd>) {
        match self.start_candidate(request, program) {
            Ok(candidate) => {
                log::info!("keeper", "upgrading; another server is checked");
                self.held.service().reloading();
                // Why an earlier one has failed is nothing to this one.
                self.start.put_back = None;
                sys::kill_point("keeper-checks");
                let until = Instant::now() + CHECKING_TIME;
                self.succession = Succession::Checking(candidate, until);
            }
            Err(why) => self.tell_not_upgraded(request, &why),
        }
    }

    fn start_candidate(
        &self,
        request: Option<u64>,
        program: Option<OwnedFd>,
    ) -> Result<Candidate, String> {
        if self.succession.candidate().is_some() || self.trial.is_some() {
            return Err(ANOTHER_UPGRADE.to_owned());
        }
        if self.leaving || !matches!(self.server, Server::Running { ready: true, .. }) {
            return Err("papad is not ready".to_owned());
        }
        let program = match program {
            Some(program) => program,
            None => open_installed().map_err(|error| {
                format!("the program that papad was started from cannot be opened: {error}")
            })?,
        };
        let path = PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd()));
        let candidate = Keeper::run_candidate(&path);
        let candidate =
            candidate.map_err(|error| format!("the new program cannot be run: {error}"))?;
        Ok(Candidate { program: Some(program), request, ..candidate })
    }

    fn run_candidate(path: &Path) -> io::Result<Candidate> {
        let (link, end) = Link::pair()?;
        let child = launch::start_server(path, end)?;
        let child = Some(Pid::from_raw(child.id() as i32));
        Ok(Candidate { child, link, program: None, request: None })
    }

    /// Has another server of this program take over from the one that has started this keeper,
    /// and has handed it everything.
    pub(super) fn succeed(&mut self) {
        match Keeper::run_candidate(Path::new(launch::SELF)) {
            Ok(candidate) => self.succession = self.start_successor(candidate),
            Err(error) => {
                log::error!("keeper", "cannot start a server: {error}");
                self.held.drop(Held::Baton);
            }
        }
    }

    /// Goes on with an upgrade after something has happened to it.
    pub(super) fn advance_upgrade(&mut self, event: Event) {
        let succession = std::mem::take(&mut self.succession);
        self.succession = match (succession, event) {
            (Succession::Checking(candidate, until), Event::Said(ToKeeper::Here)) => {
                let skipped = self.skipped;
                let told = candidate
                    .link
                    .hand_over(self.held.iter())
                    .and_then(|()| candidate.link.tell_server(&ToServer::Rehearse { skipped }));
                match told {
                    Ok(()) => Succession::Checking(candidate, until),
                    Err(error) => self.fail_upgrade(candidate, &unheard(&error)),
                }
            }
            (Succession::Checking(candidate, _), Event::Said(ToKeeper::Able)) => {
                if let Server::Running { link, .. } = &self.server {
                    // If it is gone, its end is what comes next.
                    let _ = link.tell_server(&ToServer::Part);
                }
                self.watch_server(liveness::Event::Parts);
                sys::kill_point("keeper-parts");
                Succession::Parting(candidate, Instant::now() + PARTING_TIME)
            }
            (Succession::Parting(candidate, _), Event::Parted) => self.start_successor(candidate),
            (Succession::Checking(candidate, _), Event::Said(ToKeeper::Unable(why)))
            | (Succession::Parting(candidate, _), Event::Stays(why)) => {
                self.fail_upgrade(candidate, &why)
            }
            // It has taken over; or it cannot but do so, since nobody else is left.
            (
                Succession::Taking(candidate, _),
                Event::Said(ToKeeper::Took) | Event::ServerEnded,
            ) => {
                self.put_in_charge(candidate);
                Succession::None
            }
            (
                Succession::Checking(candidate, _) | Succession::Parting(candidate, _),
                Event::ServerEnded,
            ) => {
                self.held.drop_passing();
                self.fail_upgrade(candidate, "the server that runs has ended")
            }
            (
                Succession::Checking(candidate, _)
                | Succession::Parting(candidate, _)
                | Succession::Taking(candidate, _),
                Event::Ended,
            ) => self.fail_upgrade(candidate, ENDED),
            (Succession::Checking(candidate, _), Event::TimeIsUp) => {
                self.fail_upgrade(candidate, "the new version does not say that it can take over")
            }
            (Succession::Parting(candidate, _), Event::TimeIsUp) => {
                self.watch_server(liveness::Event::DoesNotPart);
                self.fail_upgrade(candidate, "the server that runs does not stop")
            }
            (Succession::Taking(candidate, _), Event::TimeIsUp) => {
                self.fail_upgrade(candidate, "the new version does not take over")
            }
            // Nobody takes over any more: the server that has parted is to know.
            (Succession::None, Event::Parted) => {
                self.held.drop(Held::Baton);
                Succession::None
            }
            (succession, Event::Said(_) | Event::Parted | Event::Stays(_)) => succession,
            (Succession::None, Event::Ended | Event::ServerEnded | Event::TimeIsUp) => {
                Succession::None
            }
        };
    }

    /// Starts the candidate in earnest: the server that runs has parted.
    fn start_successor(&mut self, candidate: Candidate) -> Succession {
        self.start.starts += 1;
        // The server that has parted was ready.
        self.start.deaths = 0;
        // The one before it has handed over, if this one ever serves.
        let start = Start { last_end: Some(0), ..self.start.clone() };
        let told = candidate
            .link
            .hand_over(self.held.iter())
            .and_then(|()| candidate.link.tell_server(&ToServer::Start(start)));
        // Only the candidate can take it now: if it ends, the server that has parted goes on.
        self.held.drop(Held::Baton);
        sys::kill_point("keeper-calls");
        match told {
            Ok(()) => Succession::Taking(candidate, Instant::now() + TAKING_TIME),
            Err(error) => self.fail_upgrade(candidate, &unheard(&error)),
        }
    }

    /// The candidate is the server from now on.
    fn put_in_charge(&mut self, candidate: Candidate) {
        let Candidate { child, link, program, .. } = candidate;
        sys::kill_point("keeper-changes");
        let server = Server::Running { child, link, ready: false };
        let before = std::mem::replace(&mut self.server, server);
        if let Server::Running { child, .. } = before {
            if let Some(child) = child {
                // It ends by itself when the baton is taken, and has nothing left to do. If a broken
                // program only said that it has taken it, there would be two servers.
                let _ = kill(child, Signal::SIGKILL);
            }
            self.retiring = child;
        }
        self.watch_server(liveness::Event::Gone);
        self.start.last_end = Some(0);
        self.restarts.start(Instant::now());
        self.ends.start_over();
        let until = Some(Instant::now() + READY_TIME);
        self.trial = program.map(|program| Trial { program, is_ready: false, until });
        // It may be what has ended already.
        self.reap_retiring();
        if let (true, Server::Running { link, .. }) = (self.leaving, &self.server) {
            let _ = link.tell_server(&ToServer::Leave);
        }
    }

    fn fail_upgrade(&mut self, candidate: Candidate, why: &str) -> Succession {
        let request = candidate.request;
        candidate.dismiss();
        self.held.drop(Held::Baton);
        self.tell_not_upgraded(request, why);
        self.held.service().ready();
        self.watch_server(liveness::Event::GoesOn);
        // If the candidate had taken the baton, the server that is put back is told by this.
        self.start.put_back = Some(why.to_owned());
        Succession::None
    }

    fn tell_not_upgraded(&mut self, request: Option<u64>, why: &str) {
        log::error!("keeper", "not upgraded: {why}");
        self.held.service().status(&format!("Not upgraded: {why}"));
        if let (Some(request), Server::Running { link, .. }) = (request, &self.server) {
            // If the server is gone, so is the session that asked.
            let _ = link.tell_server(&ToServer::UpgradeFailed(request, why.to_owned()));
        }
    }

    /// A new version that is ready is on trial from now on.
    pub(super) fn begin_trial(&mut self) {
        if let Some(trial) = &mut self.trial {
            log::info!("keeper", "upgraded");
            (trial.is_ready, trial.until) = (true, Some(Instant::now() + TRIAL_TIME));
        }
    }

    /// The time has come for a new version: it is trusted, or was never ready.
    pub(super) fn settle_trial(&mut self) {
        let Some(mut trial) = self.trial.take() else { return };
        if !trial.is_ready {
            log::error!("keeper", "the new version is not ready after {READY_TIME:?}; killing it");
            if let Server::Running { child: Some(child), .. } = &self.server {
                // Its end puts the old one back.
                let _ = kill(*child, Signal::SIGKILL);
            }
            trial.until = None;
            self.trial = Some(trial);
        } else if !self.leaving {
            // Another program would not know that it is to leave.
            let error = self.become_program(&trial.program);
            log::error!("keeper", "the keeper cannot become the new version: {error}");
        }
    }

    /// A server has ended: if it was on trial, the program of before is put back, which is the one
    /// that the keeper still is.
    pub(super) fn end_trial(&mut self) {
        if self.trial.take().is_some() {
            let why = "the new version ended soon after it had taken over";
            log::error!("keeper", "{why}; the old one is put back");
            self.start.put_back = Some(why.to_owned());
        }
    }

    /// Reaps a server that was followed by another.
    pub(super) fn reap_retiring(&mut self) {
        if self.retiring.is_some_and(|pid| reap(pid).is_some()) {
            self.retiring = None;
        }
    }
}

/// Why a candidate does not take over that could not be told something.
fn unheard(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw) {
        // Nobody has its end of the link any more.
        Some(Errno::EPIPE | Errno::ECONNRESET) => ENDED.to_owned(),
        _ => format!("the new version hears nothing: {error}"),
    }
}

/// The program that is now where this one was started from: after it was replaced, another.
fn open_installed() -> io::Result<OwnedFd> {
    let file = File::open(launch::installed()?)?;
    launch::refuse_script(&file)?;
    Ok(sys::keep(file.into()))
}
