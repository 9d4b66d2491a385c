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

/// What papad's lines begin with when it turns a connection away before the session is exact.
const REFUSAL: &[u8] = b"Error: ";

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
    pub(crate) descriptor: Option<OwnedFd>,
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
    /// The answer that is coming: how many lines it has, and those that are here.
    coming: Option<(usize, Vec<Vec<u8>>)>,
}

/// Bytes that were received and not read yet.
#[derive(Debug, Default)]
struct Incoming {
    bytes: Vec<u8>,
    /// So many of them are read.
    read: usize,
    /// Up to here there is no line end.
    searched: usize,
}

impl Incoming {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.read);
        self.searched = self.searched.saturating_sub(self.read);
        self.read = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let from = self.searched.max(self.read);
        let unseen = self.bytes.get(from..).unwrap_or_default();
        let Some(length) = unseen.iter().position(|&byte| byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let line = self.bytes.get(self.read..from + length).map(<[u8]>::to_vec);
        self.read = from + length + 1;
        line
    }
}

impl Session {
    /// A session that asks to be exact, as its first word.
    pub(crate) fn new() -> Self {
        let bytes = [PROTOCOL, b"\n"].concat();
        Self {
            outgoing: [Outgoing { bytes, sent: 0, descriptor: None }].into(),
            incoming: Incoming::default(),
            is_greeted: false,
            hello: None,
            unanswered: VecDeque::new(),
            coming: None,
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

    /// Whom one is speaking with, when that is known.
    pub(crate) fn hello(&mut self) -> Result<Option<&Hello>> {
        if self.hello.is_none() {
            self.hello = self.read_hello()?;
        }
        Ok(self.hello.as_ref())
    }

    fn read_hello(&mut self) -> Result<Option<Hello>> {
        if !self.is_greeted {
            let rest = self.incoming.rest();
            if rest.starts_with(BANNER) {
                self.incoming.read += BANNER.len();
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
                ReplyHead::Ok(1) => self.coming = Some((1, Vec::new())),
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
    pub(crate) fn answer(&mut self, descriptors: &mut VecDeque<OwnedFd>) -> Result<Option<Answer>> {
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
        let (count, mut lines) = match self.coming.take() {
            Some(coming) => coming,
            None => match self.incoming.take_line() {
                None => return Ok(None),
                Some(line) => match parse_reply_head(&line).map_err(not_exact)? {
                    ReplyHead::Error(failure) => return Ok(Some(Err(failure))),
                    ReplyHead::Ok(count) => (count, Vec::new()),
                },
            },
        };
        while lines.len() < count {
            let Some(line) = self.incoming.take_line() else {
                self.coming = Some((count, lines));
                return Ok(None);
            };
            lines.push(line);
        }
        Ok(Some(Ok(Reply { lines, descriptor: None })))
    }
}

/// The error of a connection on which papad said no before the session was exact.
fn turned_away(line: &[u8]) -> Error {
    if let Some(why) = line.strip_prefix(REFUSAL) {
        let kind = if why.ends_with(NOT_LET_IN) { ErrorKind::NotYours } else { ErrorKind::Limit };
        return Error::new(kind, String::from_utf8_lossy(why));
    }
    Error::protocol(format!("what answers is not papad; it said: {}", shown(line)))
}

/// The error of a line that is none of protocol 2's.
pub(crate) fn not_exact(failure: Failure) -> Error {
    Error::protocol(failure.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"ok 1\nprotocol=2 version=0.1.0 pid=7 id=0123456789abcdef\n";

    /// A session that was greeted, and has said what it says for that.
    fn greeted() -> Session {
        let mut session = Session::new();
        session.received(&[BANNER, HELLO].concat());
        assert_eq!(session.hello().unwrap().unwrap().pid, 7);
        send_all(&mut session);
        session
    }

    /// Sends all there is, and returns it.
    fn send_all(session: &mut Session) -> Vec<u8> {
        let mut sent = Vec::new();
        while let Some((bytes, _)) = session.to_send() {
            sent.extend_from_slice(bytes);
            let count = bytes.len();
            session.sent(count);
        }
        sent
    }

    fn answers(session: &mut Session) -> Vec<Answer> {
        std::iter::from_fn(|| session.answer(&mut VecDeque::new()).unwrap()).collect()
    }

    #[test]
    fn a_session_asks_to_be_exact_and_is_greeted_byte_by_byte() {
        let mut session = Session::new();
        assert_eq!(session.to_send().unwrap().0, b"protocol 2\n");
        for byte in [BANNER, HELLO].concat() {
            assert!(session.hello().unwrap().is_none());
            session.received(&[byte]);
        }
        assert_eq!(session.hello().unwrap().unwrap().id, "0123456789abcdef");
    }

    #[test]
    fn a_refusal_instead_of_a_greeting_is_an_error_with_papads_words() {
        let mut session = Session::new();
        session.received(b"Error: papad serves at most 3 sessions\n> ");
        let error = session.hello().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert_eq!(error.to_string(), "papad serves at most 3 sessions");
    }

    #[test]
    fn who_is_not_papad_is_found_out() {
        let mut session = Session::new();
        session.received(b"HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(session.hello().unwrap_err().kind(), ErrorKind::Protocol);
        let mut session = Session::new();
        session.received(&[BANNER, b"Error: Unknown command \"protocol\"\n> "].concat());
        assert_eq!(session.hello().unwrap_err().to_string(), "Unknown command \"protocol\"");
    }

    #[test]
    fn answers_come_in_the_order_of_the_requests_however_they_are_cut() {
        let mut session = greeted();
        for _ in 0..3 {
            session.ask(Request::Status.into()).unwrap();
        }
        let mut got = Vec::new();
        for byte in *b"ok 2\na\nb\nerror busy \"not idle\"\nok 0\n" {
            session.received(&[byte]);
            got.extend(answers(&mut session));
        }
        let [Ok(first), Err(second), Ok(third)] = &got[..] else {
            panic!("{got:?}");
        };
        assert_eq!(first.lines, [b"a", b"b"]);
        assert_eq!(second.what, "not idle");
        assert!(third.lines.is_empty());
    }

    #[test]
    fn an_abandoned_request_that_was_not_sent_never_is() {
        let mut session = greeted();
        for _ in 0..3 {
            session.ask(Request::Status.into()).unwrap();
        }
        session.sent("status\n".len());
        session.sent(1);
        session.abandon();
        session.ask(Request::Help.into()).unwrap();
        assert_eq!(send_all(&mut session), b"tatus\nhelp\n");
        session.received(b"ok 0\nok 0\nok 1\nhelp\n");
        let answers = answers(&mut session);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].as_ref().unwrap().lines, [b"help"]);
    }

    #[test]
    fn the_answer_of_an_abandoned_request_is_passed_over() {
        let mut session = greeted();
        session.ask(Request::Status.into()).unwrap();
        send_all(&mut session);
        session.received(b"ok 1\nhalf");
        assert!(answers(&mut session).is_empty());
        session.abandon();
        session.ask(Request::Status.into()).unwrap();
        session.received(b" a line\nok 1\nmine\n");
        let [Ok(reply)] = &answers(&mut session)[..] else {
            panic!("there is one answer");
        };
        assert_eq!(reply.lines, [b"mine"]);
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_an_error() {
        let mut session = greeted();
        session.received(b"ok 0\n");
        assert!(session.answer(&mut VecDeque::new()).is_err());
    }
}
