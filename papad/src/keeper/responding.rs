//! What the keeper does for [`liveness`](super::liveness), the policy on a server that stands still.

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{Signal, kill};
use std::os::fd::AsFd;
use std::time::Instant;

use super::liveness::{ANSWER_TIME, Action, Event, LEAVE_TIME};
use super::{Keeper, Server};
use crate::link::ToServer;
use crate::{limit, log};

impl Keeper {
    /// papad's own endpoints, to see whether a client waits there.
    pub(super) fn doors(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.held.control().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN))
    }

    /// Does what the policy wants after this.
    pub(super) fn watch_server(&mut self, event: Event) {
        let mut next = self.liveness.on(event, Instant::now());
        while let Some(action) = next.take() {
            match action {
                Action::Ask => {
                    if let Server::Running { link, .. } = &self.server {
                        // If it is gone, its end is what comes next.
                        let _ = link.tell_server(&ToServer::Ping);
                    }
                }
                Action::Look => {
                    let mut doors: Vec<PollFd> = self.doors().collect();
                    let is_waiting =
                        limit::poll(&mut doors, PollTimeout::ZERO).is_ok_and(|count| count > 0);
                    next = self.liveness.on(Event::Looked { is_waiting }, Instant::now());
                }
                Action::Kill => self.kill_unresponsive(),
                Action::GiveUp => {
                    log::error!("keeper", "the server does not end though it was killed");
                    self.is_given_up = true;
                }
            }
        }
    }

    /// Kills a server that stands still. Its SIGCHLD comes next, unless it waits for a device.
    fn kill_unresponsive(&mut self) {
        let Server::Running { child: Some(pid), .. } = &self.server else { return };
        let pid = *pid;
        let what = if self.leaving {
            format!("the server (pid {pid}) has not ended for {LEAVE_TIME:?}; killing it")
        } else {
            format!("the server (pid {pid}) has not responded for {ANSWER_TIME:?}; killing it")
        };
        log::error!("keeper", "{what}");
        self.held.service().status(&format!("Not responding: {what}"));
        // It may be gone already, which is what is wanted.
        let _ = kill(pid, Signal::SIGKILL);
    }
}
