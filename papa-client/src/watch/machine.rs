//! A watch, from one connection to the next.
//!
//! Like [`Wire`], it never blocks: it is polled, and says when it can go on no further.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::Poll;
use std::time::Duration;

use papa_protocol::exact::{Code, From as WatchFrom, Mode, Request, Watch, WatchRequest};
use papa_protocol::name::{Noun, Patterns};

use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::process::{ProcessId, ProcessInfo};
use crate::session::{Answer, Reply};
use crate::watch::batch::Contents;
use crate::watch::builder::{OnDisconnect, Plan, Start};
use crate::watch::reading::{Reading, Then};
use crate::watch::resume::{Pending, resume};
use crate::wire::Wire;

/// One watch.
pub(crate) struct Machine {
    wire: Wire,
    plan: Plan,
    /// How long a connection may take to stand again.
    patience: Duration,
    phase: Phase,
    /// What papad has, while it is still to answer what others have replaced.
    listed: Option<Vec<ProcessInfo>>,
    /// When to give up coming back.
    until: Option<Deadline>,
    reading: Reading,
    /// Batches that were dropped and are to be given again, by number.
    returned: BTreeMap<u64, Contents>,
    /// An error to be told when everything before it was handed out.
    to_tell: Option<Error>,
    stop: Stop,
    /// Whether the next poll has something to do that no descriptor tells of.
    is_due: bool,
    alarm: Alarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    /// papad was asked what it has.
    Listing,
    Watching,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Wanted,
    Said,
}

/// What the wire's alarm is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    Off,
    Now,
    At(Deadline),
}

impl From<Start> for WatchFrom {
    fn from(start: Start) -> Self {
        match start {
            Start::Oldest => Self::Oldest,
            Start::Newest => Self::Newest,
        }
    }
}

impl Machine {
    pub(crate) fn new(endpoint: &Endpoint, plan: Plan, patience: Duration) -> Result<Self> {
        let reading = Reading::new(plan.data);
        Ok(Self {
            wire: Wire::new(endpoint.clone())?,
            plan,
            patience,
            phase: Phase::Connecting,
            listed: None,
            until: None,
            reading,
            returned: BTreeMap::new(),
            to_tell: None,
            stop: Stop::No,
            is_due: false,
            alarm: Alarm::Off,
        })
    }

    /// Goes on until papad has answered what the watch begins with.
    pub(crate) fn poll_started(&mut self) -> Poll<Result<()>> {
        let is_started = |machine: &Self| {
            machine.is_settled()
                || machine.phase == Phase::Finished
                || machine.reading.buffer.is_full()
        };
        self.poll_until(is_started)
    }

    /// Goes on until there is something to [take](Self::take), or the watch is over.
    pub(crate) fn poll(&mut self) -> Poll<Result<()>> {
        self.poll_until(|machine| !machine.returned.is_empty() || !machine.reading.items.is_empty())
    }

    /// Goes on until the watch is over. What comes meanwhile is left to papad.
    pub(crate) fn poll_stopped(&mut self) -> Poll<Result<()>> {
        if self.stop == Stop::No {
            self.stop = Stop::Wanted;
        }
        self.poll_until(|_| false)
    }

    fn poll_until(&mut self, is_enough: impl Fn(&Self) -> bool) -> Poll<Result<()>> {
        let result = self.advance(is_enough);
        // After an error it goes on with the next poll, and not before.
        self.is_due = matches!(result, Poll::Ready(Err(_)));
        self.set_alarm(result.is_pending());
        result
    }

    /// Whether the watch is over, and all of it was taken.
    pub(crate) fn is_finished(&self) -> bool {
        self.phase == Phase::Finished && self.reading.items.is_empty() && self.returned.is_empty()
    }

    /// What there is for the caller, with its number.
    pub(crate) fn take(&mut self) -> Option<(u64, Contents)> {
        if let Some(returned) = self.returned.pop_first() {
            return Some(returned);
        }
        self.reading.take()
    }

    /// The caller has acknowledged a batch.
    pub(crate) fn acknowledge(&mut self, number: u64) {
        self.reading.ledger.acknowledge(number);
        if self.phase == Phase::Watching
            && let Err(error) = self.say()
        {
            // Whoever waits for the connection would wait in vain: it is waited for no more.
            self.lost(error);
            self.is_due = true;
            self.set_alarm(false);
        }
    }

    /// The caller has dropped a batch.
    pub(crate) fn put_back(&mut self, number: u64, contents: Contents) {
        self.returned.insert(number, contents);
        self.set_alarm(false);
    }

    /// A batch's buffer is free.
    pub(crate) fn give_back(&mut self, buffer: Vec<u8>) {
        self.reading.buffer.give_back(buffer);
    }

    /// Ends it. What was acknowledged is still said if there is room.
    pub(crate) fn close(&mut self) {
        if self.phase == Phase::Watching {
            let _ = self.say();
        }
        self.finish();
        self.reading.items.clear();
        self.returned.clear();
    }

    fn finish(&mut self) {
        self.phase = Phase::Finished;
        self.wire.hang_up();
    }

    /// Whether everything is as it should be for a watch.
    fn is_settled(&self) -> bool {
        self.phase == Phase::Watching && self.reading.pending.is_empty()
    }

    fn set_alarm(&mut self, is_waiting: bool) {
        let is_over = self.phase == Phase::Finished;
        let alarm = match self.until {
            _ if is_over || self.is_due || self.to_tell.is_some() => Alarm::Now,
            _ if !self.returned.is_empty() => Alarm::Now,
            Some(until) if is_waiting && !self.is_settled() => Alarm::At(until),
            _ => Alarm::Off,
        };
        if alarm != self.alarm {
            self.alarm = alarm;
            self.wire.set_alarm(match alarm {
                Alarm::Off => None,
                Alarm::Now => Some(Duration::ZERO),
                Alarm::At(deadline) => deadline.left(),
            });
        }
    }

    fn advance(&mut self, is_enough: impl Fn(&Self) -> bool) -> Poll<Result<()>> {
        loop {
            if self.stop != Stop::No {
                self.reading.items.clear();
            }
            if is_enough(self) {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = self.to_tell.take() {
                return Poll::Ready(Err(error));
            }
            let step = match self.phase {
                Phase::Finished => return Poll::Ready(Ok(())),
                Phase::Connecting => self.connect(),
                Phase::Listing => self.list(),
                Phase::Watching => self.receive(),
            };
            match step {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.leave();
                    // Whoever tries again at once is not to make papad work without a pause.
                    self.wire.pause(Error::disconnected());
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => return self.wait(),
            }
        }
    }

    /// Nothing can be done now. That may last only so long where something is expected.
    fn wait(&mut self) -> Poll<Result<()>> {
        if self.is_settled() {
            self.until = None;
            return Poll::Pending;
        }
        let patience = self.patience;
        if !self.until.get_or_insert_with(|| Deadline::after(patience)).has_passed() {
            return Poll::Pending;
        }
        self.until = None;
        let late = || {
            let what = format!("papad has not answered within {:?}", self.patience);
            Error::new(ErrorKind::Timeout, what)
        };
        Poll::Ready(Err(self.wire.take_trouble().unwrap_or_else(late)))
    }

    /// Leaves a connection that is of no use any more.
    fn leave(&mut self) {
        self.wire.hang_up();
        self.reading.leave();
        if self.phase != Phase::Finished {
            self.phase = Phase::Connecting;
        }
    }

    /// The connection has ended, as it does when papad's server is killed.
    fn lost(&mut self, error: Error) {
        self.leave();
        if self.stop != Stop::No {
            self.to_tell = Some(error);
            self.finish();
            return;
        }
        // A request that ends the server each time is not to be sent without pause.
        self.wire.pause(Error::disconnected());
        if self.reading.has_started && self.plan.on_disconnect == OnDisconnect::Report {
            self.to_tell = Some(error);
        }
    }

    fn connect(&mut self) -> Poll<Result<()>> {
        match self.wire.poll_up() {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) if self.will_pass(&error) => {
                self.wire.pause(error);
                // The pause may be long enough to give up in.
                return Poll::Pending;
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
        let papad = self.wire.hello().ok_or_else(Error::disconnected)?;
        self.reading.begin(&papad.id);
        let here = ProcessId::new(&papad.id, 0)?.papad();
        if let Some(id) = self.plan.only.filter(|id| id.papad() != here) {
            let what = format!("papad has started anew and knows nothing of the process {id}");
            return Poll::Ready(Err(Error::new(ErrorKind::NotFound, what)));
        }
        let names = self.plan.patterns.iter().map(|it| it.as_bytes().to_vec()).collect();
        let Reading { has_started, ledger, .. } = &self.reading;
        if *has_started || !ledger.is_empty() || !self.plan.places.is_empty() {
            let names = Patterns::new(names);
            let list = Request::List { noun: Noun::Process, names: names.clone() };
            if let Some(session) = self.wire.session() {
                session.ask(list.into())?;
                session.ask(Request::ListPrevious { names }.into())?;
            }
            self.listed = None;
            self.phase = Phase::Listing;
        } else {
            let request = self.plan.request(names, self.plan.start.into());
            self.watch(vec![(Pending::Rest, request)]);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether what keeps it from connecting will pass: papad comes back, and has too many sessions
    /// only as long as others do not end theirs. At the beginning the latter is for the caller to
    /// know.
    fn will_pass(&self, error: &Error) -> bool {
        match error.kind() {
            ErrorKind::NotRunning => true,
            ErrorKind::Limit => self.reading.has_started,
            _ => false,
        }
    }

    fn list(&mut self) -> Poll<Result<()>> {
        match self.wire.poll_answer() {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(answer)) => Poll::Ready(self.listed(answer)),
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Disconnected => {
                self.lost(error);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    }

    /// An answer has come: first what papad has, and then what others have replaced.
    fn listed(&mut self, answer: Answer) -> Result<()> {
        let papad = &self.wire.hello().ok_or_else(Error::disconnected)?.id;
        let parse = |reply: Reply| -> Result<Vec<ProcessInfo>> {
            reply.lines.iter().map(|line| ProcessInfo::parse(line, papad)).collect()
        };
        let Some(listed) = self.listed.take() else {
            self.listed = Some(parse(answer?)?);
            return Ok(());
        };
        let previous = match answer {
            // An older papad keeps nothing of what was replaced.
            Err(failure) if failure.code == Code::Usage => Vec::new(),
            answer => parse(answer?)?,
        };
        let Reading { has_started, ledger, .. } = &mut self.reading;
        let resumption = resume(&mut self.plan, ledger, &listed, &previous, !*has_started);
        for name in &resumption.gone {
            self.reading.forget(name.as_bytes());
        }
        if resumption.requests.is_empty() {
            self.finish();
        } else {
            self.watch(resumption.requests);
        }
        Ok(())
    }

    fn watch(&mut self, requests: Vec<(Pending, Watch)>) {
        let mut lines = Vec::new();
        for (pending, request) in requests {
            WatchRequest::Watch(request).write(&mut lines);
            self.reading.pending.push_back(pending);
        }
        if let Some(session) = self.wire.session() {
            session.say(lines);
        }
        self.phase = Phase::Watching;
    }

    /// Sends what is to be sent. While anything is on its way out, or a request might be answered
    /// by an error, acknowledgements are gathered: of an error between frames one could not tell
    /// what it answers.
    fn say(&mut self) -> Result<()> {
        self.wire.flush()?;
        let is_free = self.wire.session().is_some_and(|session| session.to_send().is_none());
        if is_free && self.reading.pending.is_empty() {
            let mut lines = self.reading.ledger.take_unsent();
            if self.plan.mode == Mode::Peek {
                lines.clear();
            }
            if self.stop == Stop::Wanted {
                self.stop = Stop::Said;
                WatchRequest::Stop.write(&mut lines);
            }
            if let Some(session) = self.wire.session().filter(|_| !lines.is_empty()) {
                session.say(lines);
                self.wire.flush()?;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Poll<Result<()>> {
        if let Err(error) = self.say() {
            self.lost(error);
            return Poll::Ready(Ok(()));
        }
        if self.reading.items.is_empty() {
            self.reading.buffer.drop_read();
        }
        if self.reading.buffer.is_full() {
            return Poll::Ready(Err(Error::protocol("papad's line is too long")));
        }
        match self.wire.receive(self.reading.buffer.room()) {
            Ok(0) => self.lost(Error::disconnected()),
            Ok(count) => {
                self.reading.buffer.add(count);
                self.until = None;
                let read = self.reading.read();
                if self.is_settled() {
                    self.wire.settle();
                }
                match read {
                    Ok(Then::Receive) => {}
                    Ok(Then::Finish) => self.finish(),
                    Ok(Then::StartOver) => self.leave(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => self.lost(Error::disconnected().because(error)),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsFd for Machine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}
