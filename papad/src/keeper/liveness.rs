//! Whether the server still responds, as a policy: when it is asked, and when it is killed.
//!
//! A server may stand still for good: stopped by a signal, or waiting for a device. It is asked only
//! when there is a reason: a signal to papad that takes the server, or a client that waits to be let
//! in. So nothing wakes the keeper while nothing happens.

use std::time::{Duration, Instant};

/// How long the server may take to answer before it is killed.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);

/// How long it may take to end when papad is stopped, and to be gone once it is killed for that.
pub(super) const LEAVE_TIME: Duration = Duration::from_secs(5);

/// How long a client may wait to be let in before the server is asked. For so long after one has
/// come the keeper does not look for others.
const LOOK_LATER: Duration = Duration::from_secs(5);

/// If the keeper is so late to see that the time for an answer is over, it was held up itself, and
/// perhaps the server with it: papad was stopped, or the machine was.
const LATE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A server serves. One of an older version does not know the question.
    Ready { answers: bool },
    /// No server serves: it has ended, or another is in its place that is not ready yet.
    Gone,
    /// There is a reason to ask that is no connection.
    Wanted,
    /// A client waits to be let in.
    Connection,
    /// Whether one waits, when it was time to look again.
    Looked { is_waiting: bool },
    /// The server has answered.
    Answered,
    /// The server was told to stop its sessions, and hears nothing meanwhile.
    Parts,
    /// It is not to stop them after all.
    GoesOn,
    /// It has not stopped them in time, and has not given up either, as it does before that.
    DoesNotPart,
    /// papad is to end, and the server was told to.
    Leave,
    /// The time may have come for something.
    TimeIsUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask the server whether it responds.
    Ask,
    /// Look whether a client waits.
    Look,
    /// Kill the server, which has not responded in time.
    Kill,
    /// Go without the server: it does not even end when it is killed.
    GiveUp,
}

/// What is known of the server.
#[derive(Clone, Copy)]
enum Server {
    /// None serves, or none that can be asked.
    NotAsked,
    /// It parts.
    Parting,
    /// Connections are watched for.
    Watched,
    /// A client has come, and may still wait then.
    LookedAt(Instant),
    /// It was asked, and has to answer until then.
    Asked(Instant),
    /// It was killed for not answering.
    Killed,
}

/// How far the end of papad has come.
#[derive(Clone, Copy)]
enum Leaving {
    No,
    Until(Instant),
    KilledUntil(Instant),
}

/// The state of the policy.
pub(super) struct Liveness {
    server: Server,
    leaving: Leaving,
}

impl Liveness {
    pub(super) fn new() -> Liveness {
        Liveness { server: Server::NotAsked, leaving: Leaving::No }
    }

    /// Whether [`Event::Connection`] is to be reported.
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.server, Server::Watched)
    }

    /// When [`Event::TimeIsUp`] is due.
    pub(super) fn until(&self) -> Option<Instant> {
        let server = match self.server {
            Server::LookedAt(until) | Server::Asked(until) => Some(until),
            Server::NotAsked | Server::Parting | Server::Watched | Server::Killed => None,
        };
        let leaving = match self.leaving {
            Leaving::Until(until) | Leaving::KilledUntil(until) => Some(until),
            Leaving::No => None,
        };
        server.into_iter().chain(leaving).min()
    }

    /// What to do after this has happened.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match event {
            Event::Leave => {
                if matches!(self.leaving, Leaving::No) {
                    self.leaving = Leaving::Until(now + LEAVE_TIME);
                }
                None
            }
            Event::TimeIsUp => self.leave(now).or_else(|| self.time_is_up(now)),
            Event::Ready { answers: true } => self.becomes(Server::Watched),
            Event::Ready { answers: false } | Event::Gone => self.becomes(Server::NotAsked),
            Event::Wanted => match self.server {
                Server::Watched | Server::LookedAt(_) => Some(self.ask(now)),
                Server::NotAsked | Server::Parting | Server::Asked(_) | Server::Killed => None,
            },
            Event::Connection => match self.server {
                Server::Watched => self.becomes(Server::LookedAt(now + LOOK_LATER)),
                _ => None,
            },
            Event::Looked { is_waiting } => match self.server {
                Server::LookedAt(_) if is_waiting => Some(self.ask(now)),
                Server::LookedAt(_) => self.becomes(Server::Watched),
                _ => None,
            },
            Event::Answered => match self.server {
                // What waits may have to wait for something else, and is not asked for at once.
                Server::Asked(_) => self.becomes(Server::LookedAt(now + LOOK_LATER)),
                _ => None,
            },
            Event::Parts => match self.server {
                Server::Watched | Server::LookedAt(_) | Server::Asked(_) => {
                    self.becomes(Server::Parting)
                }
                Server::NotAsked | Server::Parting | Server::Killed => None,
            },
            Event::GoesOn => match self.server {
                Server::Parting => self.becomes(Server::Watched),
                _ => None,
            },
            Event::DoesNotPart => match self.server {
                Server::Parting => Some(self.kill()),
                _ => None,
            },
        }
    }

    fn becomes(&mut self, server: Server) -> Option<Action> {
        self.server = server;
        None
    }

    fn ask(&mut self, now: Instant) -> Action {
        self.server = Server::Asked(now + ANSWER_TIME);
        Action::Ask
    }

    fn kill(&mut self) -> Action {
        self.server = Server::Killed;
        Action::Kill
    }

    fn leave(&mut self, now: Instant) -> Option<Action> {
        match self.leaving {
            Leaving::Until(until) if until <= now => {
                self.leaving = Leaving::KilledUntil(now + LEAVE_TIME);
                Some(Action::Kill)
            }
            Leaving::KilledUntil(until) if until <= now => Some(Action::GiveUp),
            Leaving::No | Leaving::Until(_) | Leaving::KilledUntil(_) => None,
        }
    }

    fn time_is_up(&mut self, now: Instant) -> Option<Action> {
        match self.server {
            Server::LookedAt(until) if until <= now => Some(Action::Look),
            Server::Asked(until) if until + LATE < now => {
                self.becomes(Server::Asked(now + ANSWER_TIME))
            }
            Server::Asked(until) if until <= now => Some(self.kill()),
            Server::NotAsked
            | Server::Parting
            | Server::Watched
            | Server::LookedAt(_)
            | Server::Asked(_)
            | Server::Killed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: Event = Event::Ready { answers: true };

    /// A server that is watched, and the time.
    struct Watch {
        liveness: Liveness,
        now: Instant,
    }

    impl Watch {
        fn ready() -> Watch {
            let mut watch = Watch { liveness: Liveness::new(), now: Instant::now() };
            assert_eq!(watch.on(READY), None);
            watch
        }

        fn on(&mut self, event: Event) -> Option<Action> {
            self.liveness.on(event, self.now)
        }

        /// What is done when the time comes for which the policy waits.
        fn wait(&mut self) -> Option<Action> {
            self.now = self.liveness.until().unwrap();
            self.on(Event::TimeIsUp)
        }

        fn is_at_rest(&self) -> bool {
            self.liveness.until().is_none()
        }
    }

    #[test]
    fn client_that_is_let_in_costs_one_look() {
        let mut watch = Watch::ready();
        assert!(watch.is_at_rest() && watch.liveness.is_watching());
        assert_eq!(watch.on(Event::Connection), None);
        // Others do not wake the keeper meanwhile.
        assert!(!watch.liveness.is_watching());
        assert_eq!(watch.wait(), Some(Action::Look));
        assert_eq!(watch.on(Event::Looked { is_waiting: false }), None);
        assert!(watch.is_at_rest() && watch.liveness.is_watching());
    }

    #[test]
    fn server_that_lets_nobody_in_is_asked_and_killed() {
        let mut watch = Watch::ready();
        watch.on(Event::Connection);
        assert_eq!(watch.wait(), Some(Action::Look));
        assert_eq!(watch.on(Event::Looked { is_waiting: true }), Some(Action::Ask));
        assert_eq!(watch.wait(), Some(Action::Kill));
        assert!(watch.is_at_rest());
        watch.on(Event::Gone);
        watch.on(READY);
        assert!(watch.liveness.is_watching());
    }

    #[test]
    fn server_that_answers_is_not_asked_again_at_once() {
        let mut watch = Watch::ready();
        assert_eq!(watch.on(Event::Wanted), Some(Action::Ask));
        assert_eq!(watch.on(Event::Wanted), None);
        assert_eq!(watch.on(Event::Answered), None);
        assert!(!watch.liveness.is_watching());
        assert_eq!(watch.wait(), Some(Action::Look));
        assert_eq!(watch.on(Event::Looked { is_waiting: true }), Some(Action::Ask));
        watch.on(Event::Answered);
        assert_eq!(watch.wait(), Some(Action::Look));
        watch.on(Event::Looked { is_waiting: false });
        assert!(watch.is_at_rest());
    }

    #[test]
    fn keeper_that_was_held_up_itself_gives_the_server_more_time() {
        let mut watch = Watch::ready();
        watch.on(Event::Wanted);
        watch.now += ANSWER_TIME + 2 * LATE;
        assert_eq!(watch.on(Event::TimeIsUp), None);
        assert_eq!(watch.wait(), Some(Action::Kill));
    }

    #[test]
    fn server_that_cannot_be_asked_is_left_alone() {
        for event in [Event::Ready { answers: false }, Event::Gone] {
            let mut watch = Watch::ready();
            watch.on(event);
            for event in [Event::Wanted, Event::Connection, Event::Parts, Event::GoesOn] {
                assert_eq!(watch.on(event), None);
                assert!(watch.is_at_rest() && !watch.liveness.is_watching());
            }
        }
    }

    #[test]
    fn server_that_parts_is_asked_again_only_if_it_goes_on() {
        let mut watch = Watch::ready();
        watch.on(Event::Wanted);
        watch.on(Event::Parts);
        assert!(watch.is_at_rest());
        assert_eq!(watch.on(Event::Wanted), None);
        watch.on(Event::GoesOn);
        assert_eq!(watch.on(Event::Wanted), Some(Action::Ask));
    }

    #[test]
    fn server_that_neither_parts_nor_gives_up_is_killed() {
        let mut watch = Watch::ready();
        watch.on(Event::Wanted);
        watch.on(Event::Parts);
        assert_eq!(watch.on(Event::DoesNotPart), Some(Action::Kill));
        watch.on(Event::GoesOn);
        assert!(watch.is_at_rest() && !watch.liveness.is_watching());
    }

    #[test]
    fn server_that_does_not_leave_is_killed_and_then_given_up() {
        let mut watch = Watch::ready();
        watch.on(Event::Leave);
        let until = watch.liveness.until();
        watch.now += LEAVE_TIME / 2;
        watch.on(Event::Leave);
        assert_eq!(watch.liveness.until(), until, "asking twice gives no more time");
        assert_eq!(watch.wait(), Some(Action::Kill));
        assert_eq!(watch.wait(), Some(Action::GiveUp));
    }

    #[test]
    fn old_server_has_to_leave_in_time_as_well() {
        let mut watch = Watch::ready();
        watch.on(Event::Ready { answers: false });
        watch.on(Event::Leave);
        assert_eq!(watch.wait(), Some(Action::Kill));
    }
}
