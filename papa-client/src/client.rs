//! Calls over a wire: asked, answered in time, and asked again where that does no harm.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use papa_protocol::exact::Request;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::session::{Answer, Asked};
use crate::wire::{Peer, Wire};

/// What a call asks, and how the answers are read.
pub(crate) struct Call<T> {
    pub(crate) ask: Ask,
    pub(crate) read: Box<dyn FnOnce(Answers) -> Result<T> + Send>,
}

/// The requests of one call. They are sent together.
#[derive(Debug)]
pub(crate) struct Ask {
    requests: Vec<Request>,
    /// Goes with the first request.
    descriptor: Option<OwnedFd>,
    /// Whether a call whose answer was lost may be asked again: it only looks.
    only_looks: bool,
    /// Whether what it does lasts as long as the session.
    binds: bool,
}

/// The answers of one call, in the order of its requests.
#[derive(Debug)]
pub(crate) struct Answers {
    answers: VecDeque<Answer>,
    /// Who answered.
    pub(crate) peer: Peer,
}

impl Ask {
    /// One request that changes something.
    pub(crate) fn change(request: Request) -> Self {
        Self { requests: vec![request], descriptor: None, only_looks: false, binds: false }
    }

    /// Requests that change nothing.
    pub(crate) fn look(requests: Vec<Request>) -> Self {
        Self { requests, descriptor: None, only_looks: true, binds: false }
    }

    pub(crate) fn with_descriptor(self, descriptor: OwnedFd) -> Self {
        Self { descriptor: Some(descriptor), ..self }
    }

    pub(crate) fn binding(self, binds: bool) -> Self {
        Self { binds, ..self }
    }
}

impl Answers {
    /// The next answer.
    pub(crate) fn next(&mut self) -> Result<Answer> {
        // There are as many answers as requests.
        self.answers.pop_front().ok_or_else(|| Error::protocol("an answer is missing"))
    }
}

/// A time in words. Parts of a second matter only where that is all there is.
fn shown(time: Duration) -> String {
    let rounded = time.saturating_add(Duration::from_micros(500)).as_millis();
    let rounded = Duration::from_millis(u64::try_from(rounded).unwrap_or(u64::MAX));
    format!("{rounded:?}")
}

/// One session, and the call that is under way.
pub(crate) struct Client {
    wire: Wire,
    /// Something of this session's may vanish with it.
    is_bound: bool,
    call: Option<Active>,
}

struct Active {
    ask: Ask,
    /// Whether the session was bound before the call.
    was_bound: bool,
    is_sent: bool,
    answers: VecDeque<Answer>,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self> {
        let wire = Wire::new(endpoint)?;
        Ok(Self { wire, is_bound: false, call: None })
    }

    /// Begins a call. One that was under way is let go.
    pub(crate) fn begin(&mut self, ask: Ask) {
        self.let_go();
        let (was_bound, answers) = (self.is_bound, VecDeque::new());
        self.call = Some(Active { ask, was_bound, is_sent: false, answers });
    }

    /// Lets go of the call that is under way, because nobody waits for it any more.
    pub(crate) fn let_go(&mut self) {
        self.call = None;
        if let Some(session) = self.wire.session() {
            session.abandon();
        }
    }

    /// The error of a call whose deadline has passed.
    pub(crate) fn too_late(&mut self, deadline: Duration) -> Error {
        self.let_go();
        let what = format!("papad has not answered within {}", shown(deadline));
        let error = Error::new(ErrorKind::Timeout, what);
        match self.wire.take_trouble() {
            Some(trouble) => error.because(trouble),
            None => error,
        }
    }

    /// Goes on with the call as far as possible.
    pub(crate) fn poll(&mut self) -> Poll<Result<Answers>> {
        let Some(mut call) = self.call.take() else {
            return Poll::Ready(Err(Error::usage("no call is under way")));
        };
        let result = self.poll_call(&mut call);
        if result.is_pending() {
            self.call = Some(call);
        }
        result
    }

    fn poll_call(&mut self, call: &mut Active) -> Poll<Result<Answers>> {
        loop {
            if !call.is_sent {
                if self.wire.is_stale() {
                    self.wire.hang_up();
                }
                if self.is_bound && self.wire.hello().is_none() {
                    let what = "the session has ended, and what it kept has vanished with it";
                    return Poll::Ready(Err(Error::new(ErrorKind::Disconnected, what)));
                }
                match self.wire.poll_up() {
                    Poll::Ready(result) => result?,
                    Poll::Pending => return Poll::Pending,
                }
                self.send(&mut call.ask)?;
                call.is_sent = true;
                call.answers.clear();
                // From now on something may be bound to the session, unless the answer says no.
                self.is_bound |= call.ask.binds;
            }
            if call.answers.len() == call.ask.requests.len() {
                self.wire.settle();
                return Poll::Ready(self.done(call));
            }
            match self.wire.poll_answer() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(answer)) => call.answers.push_back(answer),
                Poll::Ready(Err(error)) => {
                    self.is_bound = call.was_bound;
                    let is_lost = error.kind() == ErrorKind::Disconnected;
                    if !is_lost || !call.ask.only_looks || self.is_bound {
                        return Poll::Ready(Err(error));
                    }
                    // A request that ends the server each time is not to be sent without pause.
                    self.wire.pause(error);
                    call.is_sent = false;
                }
            }
        }
    }

    fn send(&mut self, ask: &mut Ask) -> Result<()> {
        if let Some(session) = self.wire.session() {
            let mut descriptor = ask.descriptor.take();
            for request in &ask.requests {
                session.ask(Asked { request: request.clone(), descriptor: descriptor.take() })?;
            }
        }
        Ok(())
    }

    fn done(&mut self, call: &mut Active) -> Result<Answers> {
        if call.answers.iter().any(Result::is_err) {
            self.is_bound = call.was_bound;
        }
        let peer = self.wire.peer().cloned().ok_or_else(Error::disconnected)?;
        Ok(Answers { answers: std::mem::take(&mut call.answers), peer })
    }
}

/// Becomes readable when the call that is under way can go on; between calls, when the session has
/// ended.
impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_whole_milliseconds() {
        for (time, text) in [
            (Duration::from_nanos(9_999_999_469), "10s"),
            (Duration::from_micros(9_999_400), "9.999s"),
            (Duration::from_millis(20), "20ms"),
        ] {
            assert_eq!(shown(time), text);
        }
        assert!(!shown(Duration::MAX).is_empty());
    }
}
