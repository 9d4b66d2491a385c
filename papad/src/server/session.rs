//! One client's session: what it is doing, until it leaves, here or with the next server.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};

use nix::unistd::Uid;

use papa_protocol::exact::{Failure, write_error};
use papa_protocol::frame::BANNER;

use super::admission::Admission;
use super::client::{Client, Out};
use super::lines::Lines;
use super::places::Owner;
use super::upgrade::{self, Awaited};
use super::watch::Watch;
use super::{exact, handover, named, papa};
use crate::bounds::Bound;
use crate::{log, memory};

/// Bytes of replies that are gathered before they are sent, though more commands are waiting.
pub(super) const GATHERED: usize = 64 * 1024;

/// Bytes of stack for a session. Name look-ups need most of it; untouched pages cost nothing.
const SESSION_STACK: usize = 256 * 1024;

/// A session.
///
/// It is dropped in the order of its fields. What it was doing goes first: a gate that closes
/// counts the session no more once its admission is gone, and takes it that nothing is changed by
/// it then. The connection goes last: a client that finds it closed is watching nothing any more,
/// and its place is free.
pub(super) struct Session {
    pub(super) activity: Activity,
    pub(super) admission: Admission,
    pub(super) peer: String,
    pub(super) client: Client,
}

/// What a session is doing. Each can be stopped and gone on with, whatever the client has said and
/// heard meanwhile.
pub(super) enum Activity {
    /// It takes commands of papa 1.0. The first line may show that it is not papa's client at all.
    Commanding { is_first: bool },
    /// It watches as in papa 1.0.
    Watching(Watch),
    /// It takes requests of protocol 2.
    Requesting { was_watching: bool },
    /// It watches as in protocol 2.
    Streaming(exact::Watching),
    /// It waits for an upgrade that it has asked for.
    Upgrading(Dialect, Arc<Awaited>),
    /// All is said and done, and has to be sent still; to who was refused while it is speaking, so
    /// that it hears of it.
    Leaving { while_it_speaks: bool },
}

/// What a session speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Papa,
    Exact,
}

/// Why a session does not go on.
#[derive(Debug)]
pub(super) enum Ended {
    /// The client is gone.
    ByClient,
    /// Everything is said.
    ByPapad,
    /// It went beyond a bound behind which there is no going on. It is told so.
    BeyondBound(Failure),
    /// It read nothing for so long that it is not waited for any more.
    NotRead,
    /// It is a browser or a TLS client.
    NotPapa,
    /// Its first line was no command, and more came with it.
    NoCommand,
    /// It has stopped at the gate, to go on later.
    Stopped,
    Failed(#[expect(dead_code, reason = "shown in the log")] io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Ended {
        Ended::Failed(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::BeyondBound(failure)
    }
}

impl Session {
    /// One that begins.
    pub(super) fn new(admission: Admission, connection: File, peer: String, uid: Uid) -> Session {
        let out = Out::new(BANNER.to_vec(), [].into());
        let server = &admission.server;
        let lines = Lines::new(connection, Arc::clone(&server.bounds));
        let client = Client::new(lines, out, server, Owner::of(Some(uid)));
        Session { admission, peer, client, activity: Activity::Commanding { is_first: true } }
    }

    /// Has a thread of its own go on with it; returns it if there can be none.
    pub(super) fn start(self) -> Result<(), Box<Session>> {
        // A thread that cannot be made gives back nothing of what it was to have.
        let session = Arc::new(Mutex::new(Some(Box::new(self))));
        let taken = Arc::clone(&session);
        let take = |from: &Mutex<Option<_>>| from.lock().ok()?.take();
        let started = named("session").stack_size(SESSION_STACK).spawn(move || {
            let Some(mut session): Option<Box<Session>> = take(&taken) else { return };
            let ended = session.run();
            log::debug!("server", "session from {} ended: {ended:?}", session.peer);
            drop(session);
            memory::give_back_if_due();
        });
        let Err(error) = started else { return Ok(()) };
        log::error!("server", "a session cannot be started: {error}");
        take(&session).map_or(Ok(()), Err)
    }

    /// Goes on until the client leaves; returns why it is over.
    fn run(&mut self) -> Ended {
        loop {
            let next = match &mut self.activity {
                Activity::Commanding { is_first } => {
                    papa::talk(&self.admission, &mut self.client, is_first)
                }
                Activity::Watching(watch) => papa::watch(watch, &mut self.client),
                Activity::Requesting { was_watching } => {
                    exact::talk(&self.admission, &mut self.client, was_watching)
                }
                Activity::Streaming(watching) => exact::watch(watching, &mut self.client),
                Activity::Upgrading(dialect, awaited) => {
                    upgrade::wait(awaited, *dialect, &mut self.client)
                }
                Activity::Leaving { while_it_speaks: false } => {
                    self.client.send().and(Err(Ended::ByPapad))
                }
                Activity::Leaving { while_it_speaks: true } => self.client.refuse(),
            };
            match next {
                Ok(activity) => self.activity = activity,
                Err(Ended::Stopped) => {
                    let gate = Arc::clone(&self.admission.server.gate);
                    gate.stop(|| handover::tell(self));
                }
                Err(Ended::BeyondBound(failure)) => {
                    self.say(&failure);
                    self.activity = Activity::Leaving { while_it_speaks: true };
                }
                Err(Ended::NotRead) => {
                    let seconds = self.admission.server.bounds.allowed(Bound::ClientTimeout);
                    let peer = &self.peer;
                    log::warn!("server", "hung up on {peer}: it read nothing for {seconds} s");
                    return Ended::NotRead;
                }
                Err(Ended::NotPapa) => {
                    let peer = &self.peer;
                    self.admission.server.refusals.tell(format_args!(
                        "hung up on {peer}: it speaks HTTP or TLS, as a web page would"
                    ));
                    return Ended::NotPapa;
                }
                Err(Ended::NoCommand) => {
                    let peer = &self.peer;
                    self.admission.server.refusals.tell(format_args!(
                        "hung up on {peer}: its first line is no command, and more came with it, as \
                         from a client of something else"
                    ));
                    papa::say_no_command(&mut self.client.out.bytes);
                    self.activity = Activity::Leaving { while_it_speaks: true };
                }
                Err(ended @ (Ended::ByClient | Ended::ByPapad | Ended::Failed(_))) => return ended,
            }
        }
    }

    fn say(&mut self, failure: &Failure) {
        let out = &mut self.client.out.bytes;
        match self.activity {
            Activity::Commanding { .. }
            | Activity::Watching(_)
            | Activity::Leaving { .. }
            | Activity::Upgrading(Dialect::Papa, _) => {
                papa::say_failure(out, failure);
            }
            Activity::Requesting { .. }
            | Activity::Streaming(_)
            | Activity::Upgrading(Dialect::Exact, _) => write_error(out, failure),
        }
    }
}
