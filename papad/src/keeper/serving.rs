//! The server, from the keeper's side: it is started, told of ends, and started again.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::liveness;
use super::succession::{self, Candidate, Succession};
use super::{Keeper, SETTLING_TIME, Server};
use crate::link::{Link, ToServer};
use crate::{launch, log};

/// So many servers that were never ready show that a daemon cannot start.
const MOST_DEATHS: u64 = 5;

impl Keeper {
    /// Starts a server, or pauses if that cannot be now. Whatever it is that is lacking, what is
    /// held is not let go of for it.
    pub(super) fn start_server(&mut self) -> Server {
        self.start.starts += 1;
        self.start.deaths = self.restarts.never_ready();
        self.restarts.start(Instant::now());
        self.ends.start_over();
        let started = Link::pair().and_then(|(link, server_end)| {
            let program = Path::new(launch::SELF);
            Ok((link, launch::start_server(program, server_end)?))
        });
        let (link, pid) = match started {
            Ok((link, child)) => (link, Pid::from_raw(child.id() as i32)),
            Err(error) => {
                log::error!("keeper", "cannot start a server: {error}");
                self.restarts.end(Instant::now(), false);
                self.look_at_start(&format!("the last one could not be started: {error}"));
                return self.pausing();
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
        if self.leaving {
            // If it is gone, its end is what comes next.
            let _ = link.tell_server(&ToServer::Leave);
        }
        Server::Running { child: Some(pid), link, ready: false }
    }

    /// The server has ended; it is not known how if it was no child.
    pub(super) fn server_ended(&mut self, link: Link, code: Option<i32>) {
        self.server = Server::Settling { link, until: Instant::now() + SETTLING_TIME };
        self.watch_server(liveness::Event::Gone);
        let is_followed = matches!(self.succession, Succession::Taking(..));
        self.advance_upgrade(succession::Event::ServerEnded);
        if is_followed {
            return;
        }
        self.restarts.end(Instant::now(), code == Some(-(Signal::SIGKILL as i32)));
        if !self.leaving {
            let how = match code {
                None => "no longer runs".to_owned(),
                Some(code @ 0..) => format!("ended with status {code}"),
                Some(signal) => format!("ended by signal {}", -signal),
            };
            match self.restarts.pause() {
                Duration::ZERO => log::warn!("keeper", "the server {how}; starting it again"),
                pause => {
                    log::warn!("keeper", "the server {how}; starting it again in {pause:?}");
                }
            }
            self.held.service().status(&format!("The server {how}; starting it again"));
            self.end_trial();
            self.look_at_start(&format!("the last one {how}"));
        }
        self.start.last_end = code;
    }

    /// Gives up a start that somebody waits for, if it will not succeed. Nobody has given papad
    /// anything yet: it was never ready.
    fn look_at_start(&mut self, how: &str) {
        let deaths = self.restarts.never_ready();
        if self.ready.is_some() && deaths >= MOST_DEATHS {
            let why = format!("{deaths} servers in a row were never ready; {how}");
            self.failure = Some(format!("cannot start: {why}"));
        }
    }

    /// The time until the next server is started.
    pub(super) fn pausing(&self) -> Server {
        Server::Pausing { until: Instant::now() + self.restarts.pause() }
    }

    /// Tells a server that runs of one process that has ended and is not recorded yet.
    pub(super) fn tell_of_ended(&mut self) {
        let Server::Running { child, link, .. } = &self.server else { return };
        let candidate = self.succession.candidate().and_then(Candidate::child);
        let own = [*child, candidate, self.retiring];
        match self.ends.next(&own) {
            Ok(Some(ended)) => {
                let told = link.tell_server(&ToServer::Exited(ended.pid, ended.code));
                // If the server is gone, the next one is told. One that takes no message for so long
                // would never be told again.
                if told.is_err()
                    && let Some(child) = child
                {
                    let _ = kill(*child, Signal::SIGKILL);
                }
            }
            // A server's own end comes as a signal.
            Ok(None) => {}
            Err(error) => log::error!("keeper", "children cannot be looked at: {error}"),
        }
    }
}
