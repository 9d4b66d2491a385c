//! What can happen to the keeper, and waiting for it.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use nix::unistd::Pid;

use super::succession::{self, Candidate};
use super::{Keeper, Server};
use crate::link::{ToKeeper, ToServer};
use crate::{limit, log, sys};

/// What can happen to the keeper.
pub(super) enum Event {
    /// Any but SIGCHLD.
    Signal(Signal),
    /// A child has ended, this one or others, too.
    Child(Pid),
    Message(ToKeeper),
    /// Nobody has the server's end of the link any more.
    LinkClosed,
    /// The server that is to take over has said something, or is gone.
    Candidate(succession::Event),
    /// systemd may take messages again, or is late with it.
    Systemd,
    /// A client waits to be let in.
    Connection,
    TimeIsUp,
}

impl Keeper {
    /// The next signal that has come, if one has.
    fn read_signal(&self) -> io::Result<Option<siginfo>> {
        limit::patiently(|| Ok(self.signals.read_signal()?))
    }

    /// Waits for what happens next. Messages come before signals: what a server said before it
    /// ended comes before its end.
    pub(super) fn next_event(&self) -> io::Result<Event> {
        let (link, own_until) = match &self.server {
            Server::Running { link, .. } => (Some(link), None),
            Server::Settling { link, until } => (Some(link), Some(*until)),
            Server::Pausing { until } => (None, Some(*until)),
        };
        let of_trial = self.trial.as_ref().and_then(|trial| trial.until);
        // Ends are told to a server that runs.
        let is_running = matches!(self.server, Server::Running { .. });
        let of_ends = self.ends.until().filter(|_| is_running);
        let of_liveness = self.liveness.until();
        let untils = [own_until, self.succession.until(), of_trial, of_ends, of_liveness];
        let own_until = untils.into_iter().flatten().min();
        let candidate = self.succession.candidate().map(Candidate::link);
        loop {
            let blocked = self.held.look_at_service().blocked();
            let until = own_until.into_iter().chain(blocked.as_ref().and_then(|it| it.until)).min();
            let timeout = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                // A millisecond more, so that the time is not up too early by rounding.
                Some(left) if left > Duration::ZERO => {
                    PollTimeout::try_from(left + Duration::from_millis(1))
                        .unwrap_or(PollTimeout::MAX)
                }
                Some(_) => PollTimeout::ZERO,
                None => PollTimeout::NONE,
            };
            // Messages first: what the server said before it ended comes before its end.
            let links = [link, candidate].into_iter().flatten();
            let mut fds: Vec<PollFd> =
                links.map(|link| PollFd::new(link.as_fd(), PollFlags::POLLIN)).collect();
            fds.push(PollFd::new(self.signals.as_fd(), PollFlags::POLLIN));
            let for_systemd = blocked.and_then(|blocked| blocked.socket);
            fds.extend(for_systemd.map(|socket| PollFd::new(socket, PollFlags::POLLOUT)));
            if self.liveness.is_watching() {
                fds.extend(self.doors());
            }
            match limit::poll(&mut fds, timeout) {
                Ok(0) if own_until.is_none_or(|until| Instant::now() < until) => {
                    return Ok(Event::Systemd);
                }
                Ok(0) => return Ok(Event::TimeIsUp),
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
            let is_link = link.is_some() && ready.next() == Some(true);
            let is_candidate = candidate.is_some() && ready.next() == Some(true);
            let _is_signal = ready.next();
            let is_systemd = for_systemd.is_some() && ready.next() == Some(true);
            let is_connection = ready.any(|is_ready| is_ready);
            if let Some(link) = link.filter(|_| is_link) {
                match link.hear_server() {
                    Ok(Some(message)) => return Ok(Event::Message(message)),
                    Ok(None) => return Ok(Event::LinkClosed),
                    Err(error) => {
                        log::error!("keeper", "a message from the server is lost: {error}");
                        // What came with it was answered for: it is to be held.
                        let _ = link.tell_server(&ToServer::HoldAgain);
                    }
                }
            } else if let Some(link) = candidate.filter(|_| is_candidate) {
                let said = link.hear_server().ok().flatten();
                let event = said.map_or(succession::Event::Ended, succession::Event::Said);
                return Ok(Event::Candidate(event));
            } else if let Some(info) = self.read_signal()?
                && let Ok(signal) = Signal::try_from(info.ssi_signo as i32)
            {
                return Ok(match signal {
                    Signal::SIGCHLD => Event::Child(Pid::from_raw(info.ssi_pid as i32)),
                    signal => Event::Signal(signal),
                });
            } else if is_systemd {
                return Ok(Event::Systemd);
            } else if is_connection {
                return Ok(Event::Connection);
            }
        }
    }
}

/// Has signals wait until they are watched for, and do nothing by themselves. This opens nothing:
/// descriptors that systemd has passed, or only says that it has, are yet to be taken by their
/// numbers.
pub(super) fn hold_signals() -> io::Result<SigSet> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block()?;
    // One that is ignored does not come, and children that end leave no zombies then.
    for signal in &signals {
        sys::heed(signal as i32)?;
    }
    Ok(signals)
}

/// Has these signals come as events, those that have waited, too.
pub(super) fn watch_signals(signals: &SigSet) -> io::Result<SignalFd> {
    Ok(SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
