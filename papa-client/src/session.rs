//! What is said over one connection, without the connection: requests out, answers in.
//!
//! Answers come in the order of the requests. One that nobody waits for any more is passed over
//! when it comes, so a session goes on after a call has met its deadline.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use papa_protocol::exact::{
    Failure, Hello, MAX_LINE, PROTOCOL, ReplyHead, Request, parse_reply_head,
};
use papa_protocol::frame::{BANNER, NOT_LET_IN};
use papa_protocol::text::shown;

use crate::error::{Error, ErrorKind, Result};
use crate::incoming::Incoming;
use crate::sys::Received;

/// What papad's lines begin with when it turns a connection away before the session is exact.
const REFUSAL: &[u8] = b"Error: ";

/// The longest greeting, in bytes: the banner, and the two lines that `protocol 2` is answered with.
/// Until it has come whole, nobody knows who is speaking.
pub(crate) const MAX_GREETING: usize = 4096;

/// What a line takes in memory besides its bytes, rounded up.
const LINE_COST: usize = 32;

/// A request, and a descriptor that goes with it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl From<Request> for Asked {
    fn from(request: Request) -> Self {
        Self { request, descriptor: None }
    }
}

/// What came of a request.
pub(crate) type Answer = Result<Reply, Failure>;

/// The answer of a request that was done.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    /// Without their line ends.
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) descriptor: Option<Received>,
}

/// Bytes that are to be sent, and a descriptor that goes with the first of them.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    descriptor: Option<OwnedFd>,
}

/// A request that is not answered yet.
#[derive(Debug)]
struct Unanswered {
    brings_descriptor: bool,
    is_abandoned: bool,
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    outgoing: VecDeque<Outgoing>,
    incoming: Incoming,
    is_greeted: bool,
    hello: Option<Hello>,
    unanswered: VecDeque<Unanswered>,
    coming: Option<Coming>,
    /// Bytes that an answer may take.
    max_answer: usize,
}

/// The answer that is coming.
#[derive(Debug)]
struct Coming {
    /// How many lines it has.
    count: usize,
    /// Those that are here.
    lines: Vec<Vec<u8>>,
    /// Bytes that they take.
    taken: usize,
}

impl Coming {
    fn new(count: usize) -> Self {
        Self { count, lines: Vec::new(), taken: 0 }
    }
}

impl Session {
    /// A session that asks to be exact, as its first word. An answer may take so many bytes.
    pub(crate) fn new(max_answer: usize) -> Self {
        let bytes = [PROTOCOL, b"\n"].concat();
        Self {
            outgoing: [Outgoing { bytes, sent: 0, descriptor: None }].into(),
            incoming: Incoming::default(),
            is_greeted: false,
            hello: None,
            unanswered: VecDeque::new(),
            coming: None,
            max_answer,
        }
    }

    /// Puts a request at the end of what is to be sent.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`]: it is longer than papad lets a line be, and nothing of it is sent.
    pub(crate) fn ask(&mut self, asked: Asked) -> Result<()> {
        let Asked { request, descriptor } = asked;
        let mut bytes = Vec::new();
        request.write(&mut bytes);
        if bytes.len() > MAX_LINE {
            let length = bytes.len();
            let what = format!("a request may have at most {MAX_LINE} bytes, not {length}");
            return Err(Error::new(ErrorKind::Limit, what));
        }
        self.outgoing.push_back(Outgoing { bytes, sent: 0, descriptor });
        let brings_descriptor = matches!(request, Request::Fetch { .. });
        self.unanswered.push_back(Unanswered { brings_descriptor, is_abandoned: false });
        Ok(())
    }

    /// Puts lines at the end of what is to be sent that are not answered as requests are.
    pub(crate) fn say(&mut self, bytes: Vec<u8>) {
        self.outgoing.push_back(Outgoing { bytes, sent: 0, descriptor: None });
    }

    /// Lets go of all requests that are not answered yet: those that were not sent never will be,
    /// and the answers of others will be passed over. One that was sent in part is sent whole.
    pub(crate) fn abandon(&mut self) {
        while !self.unanswered.is_empty() && self.outgoing.back().is_some_and(|it| it.sent == 0) {
            self.outgoing.pop_back();
            self.unanswered.pop_back();
        }
        for request in &mut self.unanswered {
            request.is_abandoned = true;
        }
    }

    /// What is to be sent next.
    pub(crate) fn to_send(&self) -> Option<(&[u8], Option<&OwnedFd>)> {
        let next = self.outgoing.front()?;
        Some((next.bytes.get(next.sent..)?, next.descriptor.as_ref()))
    }

    /// So much of [`Self::to_send`] was sent, and its descriptor with it.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(next) = self.outgoing.front_mut() {
            next.sent += count;
            next.descriptor = None;
            if next.sent >= next.bytes.len() {
                self.outgoing.pop_front();
            }
        }
    }

    /// Adds what was received.
    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.incoming.add(bytes);
    }

    /// Bytes that may be received before the greeting is whole.
    pub(crate) fn greeting_room(&self) -> usize {
        MAX_GREETING.saturating_sub(self.incoming.len())
    }

    /// Whether as many descriptors as this may have come for requests that are not answered.
    pub(crate) fn awaits_descriptors(&self, count: usize) -> bool {
        count <= self.unanswered.iter().filter(|request| request.brings_descriptor).count()
    }

    /// Whom one is speaking with, when that is known.
    ///
    /// # Errors
    /// What answers is not papad, or turns this session away.
    pub(crate) fn hello(&mut self) -> Result<Option<&Hello>> {
        if self.hello.is_none() {
            self.hello = self.read_hello()?;
        }
        if self.hello.is_none() && self.greeting_room() == 0 {
            let what =
                format!("what answers is not papad; it greets with over {MAX_GREETING} bytes");
            return Err(Error::protocol(what));
        }
        Ok(self.hello.as_ref())
    }

    fn read_hello(&mut self) -> Result<Option<Hello>> {
        if !self.is_greeted {
            let rest = self.incoming.rest();
            if rest.starts_with(BANNER) {
                self.incoming.skip(BANNER.len());
                self.is_greeted = true;
            } else if !BANNER.starts_with(rest) {
                return match self.incoming.take_line() {
                    Some(line) => Err(turned_away(&line)),
                    None => Ok(None),
                };
            } else {
                return Ok(None);
            }
        }
        if self.coming.is_none() {
            let Some(line) = self.incoming.take_line() else {
                return Ok(None);
            };
            if line.starts_with(REFUSAL) {
                return Err(turned_away(&line));
            }
            match parse_reply_head(&line).map_err(not_exact)? {
                ReplyHead::Ok(1) => self.coming = Some(Coming::new(1)),
                ReplyHead::Ok(_) => {
                    return Err(Error::protocol("papad's greeting is not one line"));
                }
                ReplyHead::Error(failure) => return Err(failure.into()),
            }
        }
        let Some(line) = self.incoming.take_line() else {
            return Ok(None);
        };
        self.coming = None;
        Hello::parse(&line).map(Some).map_err(not_exact)
    }

    /// The next answer that somebody waits for, if it is here. `descriptors` are those that were
    /// received, in their order.
    ///
    /// # Errors
    /// What came is no answer, or longer than one may be: the session is of no use any more.
    pub(crate) fn answer(
        &mut self,
        descriptors: &mut VecDeque<Received>,
    ) -> Result<Option<Answer>> {
        loop {
            let Some(answer) = self.whole_answer()? else {
                return Ok(None);
            };
            let Some(request) = self.unanswered.pop_front() else {
                return Err(Error::protocol("papad answered what was not asked"));
            };
            let mut answer = answer;
            if let (Ok(reply), true) = (&mut answer, request.brings_descriptor) {
                reply.descriptor = descriptors.pop_front();
            }
            if !request.is_abandoned {
                return Ok(Some(answer));
            }
        }
    }

    fn whole_answer(&mut self) -> Result<Option<Answer>> {
        let mut coming = match self.coming.take() {
            Some(coming) => coming,
            None => match self.incoming.take_line() {
                None => return self.expect_within(0).map(|()| None),
                Some(line) => match parse_reply_head(&line).map_err(not_exact)? {
                    ReplyHead::Error(failure) => return Ok(Some(Err(failure))),
                    // Each line takes more than this, so what is as long as that never comes whole.
                    ReplyHead::Ok(count) if count > self.max_answer => return Err(self.too_long()),
                    ReplyHead::Ok(count) => Coming::new(count),
                },
            },
        };
        while coming.lines.len() < coming.count {
            let Some(line) = self.incoming.take_line() else {
                let taken = coming.taken;
                self.coming = Some(coming);
                return self.expect_within(taken).map(|()| None);
            };
            coming.taken += line.len() + LINE_COST;
            self.check_length(coming.taken)?;
            coming.lines.push(line);
        }
        Ok(Some(Ok(Reply { lines: coming.lines, descriptor: None })))
    }

    /// Checks that what is here of a line may become one, in an answer that takes so much already.
    fn expect_within(&self, taken: usize) -> Result<()> {
        self.check_length(taken + self.incoming.rest().len())
    }

    fn check_length(&self, taken: usize) -> Result<()> {
        if taken > self.max_answer { Err(self.too_long()) } else { Ok(()) }
    }

    fn too_long(&self) -> Error {
        let what = format!("papad's answer takes more than {} bytes", self.max_answer);
        Error::new(ErrorKind::Limit, what)
    }
}

/// The error of a connection on which papad said no before the session was exact.
fn turned_away(line: &[u8]) -> Error {
    if let Some(why) = line.strip_prefix(REFUSAL) {
        let kind = if why.ends_with(NOT_LET_IN) { ErrorKind::NotYours } else { ErrorKind::Limit };
        return Error::new(kind, shown(why));
    }
    Error::protocol(format!("what answers is not papad; it said: {}", shown(line)))
}

/// The error of a line that is none of protocol 2's.
pub(crate) fn not_exact(failure: Failure) -> Error {
    Error::protocol(failure.what)
}

#[cfg(test)]
mod tests;
