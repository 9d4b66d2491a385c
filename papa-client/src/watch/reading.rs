//! What is received while watching, and what it means: frames and answers in, events out.
//!
//! This knows nothing of connections but that they end: see [`Reading::leave`].

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use papa_protocol::exact::{Code, Failure, Frame, ReplyHead, ServerLine, parse_server_line};
use papa_protocol::frame::Stream;

use crate::error::{Error, Result};
use crate::fields::{Line, time};
use crate::name::Name;
use crate::process::ProcessId;
use crate::session::not_exact;
use crate::watch::batch::Contents;
use crate::watch::buffer::Buffer;
use crate::watch::event::{Item, What, Who};
use crate::watch::ledger::{EndOf, Ledger, marks};
use crate::watch::resume::Pending;

/// What one watcher has received.
pub(crate) struct Reading {
    pub(crate) ledger: Ledger,
    pub(crate) buffer: Buffer,
    /// What is in the buffer and was not handed out.
    pub(crate) items: Vec<Item>,
    /// Requests that are not answered.
    pub(crate) pending: VecDeque<Pending>,
    /// Whether papad has answered all that the watch began with, once.
    pub(crate) has_started: bool,
    /// The id of the papad that the connection is to.
    papad: String,
    /// Whether output is asked for, and not ends alone.
    has_data: bool,
    /// The output that is being received.
    body: Option<Body>,
    /// Lines that are still to come of the first pending request's answer, and whether any came.
    answer: Option<(usize, bool)>,
}

/// What is to be done after something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// More is to be received.
    Receive,
    /// Nothing: the watch is over.
    Finish,
    /// papad is to be asked again what it has, on another connection.
    StartOver,
}

/// The rest of a frame of output.
struct Body {
    /// `None` if it was all received before: nobody is to be handed any of it.
    who: Option<Arc<Who>>,
    stream: Stream,
    time: SystemTime,
    /// Of the next byte.
    position: u64,
    left: u64,
}

impl Reading {
    pub(crate) fn new(has_data: bool) -> Self {
        Self {
            ledger: Ledger::default(),
            buffer: Buffer::new(),
            items: Vec::new(),
            pending: VecDeque::new(),
            has_started: false,
            papad: String::new(),
            has_data,
            body: None,
            answer: None,
        }
    }

    /// A connection to the papad of this id stands.
    pub(crate) fn begin(&mut self, papad: &str) {
        papad.clone_into(&mut self.papad);
    }

    /// The connection has ended. What was received of a frame's output is as good as all else.
    pub(crate) fn leave(&mut self) {
        self.body = None;
        self.answer = None;
        self.pending.clear();
        self.buffer.drop_unread();
    }

    /// Takes what was read, with the number that acknowledges it.
    pub(crate) fn take(&mut self) -> Option<(u64, Contents)> {
        if self.items.is_empty() {
            return None;
        }
        let items = mem::take(&mut self.items);
        let number = self.ledger.hand_out(marks(&items));
        Some((number, Contents { buffer: self.buffer.cut(), items }))
    }

    /// Reads what was received, up to the end of the watch if that is there.
    pub(crate) fn read(&mut self) -> Result<Then> {
        loop {
            if let Some(body) = self.body.take() {
                if !self.read_body(body) {
                    return Ok(Then::Receive);
                }
                continue;
            }
            let is_answer = self.answer.is_some();
            let Some(line) = self.buffer.take_line() else {
                return Ok(Then::Receive);
            };
            if is_answer {
                let line = Line::parse(line)?;
                self.read_answer(&line)?;
                continue;
            }
            let then = match parse_server_line(line) {
                Ok(ServerLine::Reply(head)) => self.read_head(head)?,
                Ok(ServerLine::Frame(frame)) => self.read_frame(frame)?,
                // A later papad may have frames of other kinds.
                Err(_) if !is_known(line) => Then::Receive,
                Err(failure) => return Err(not_exact(failure)),
            };
            if then != Then::Receive {
                return Ok(then);
            }
        }
    }

    /// Takes what is there of a frame's output; false if more is to come.
    fn read_body(&mut self, mut body: Body) -> bool {
        let mut range = self.buffer.take(body.left);
        let length = range.len() as u64;
        let position = body.position;
        body.position += length;
        body.left -= length;
        let is_whole = body.left == 0;
        let name = body.who.as_ref().map(|who| who.name.as_bytes());
        if let Some(track) = name.and_then(|name| self.ledger.get_mut(name)) {
            // Some of it may have been received over another connection.
            let known = track.received.saturating_sub(position).min(length);
            range.start += known as usize;
            if !range.is_empty() {
                track.received = position + length;
                let Body { stream, time, .. } = body;
                let what = What::Output { stream, position: position + known, time, range };
                self.items.push(Item { who: Arc::clone(&track.who), what });
            }
        }
        if !is_whole {
            self.body = Some(body);
        }
        is_whole
    }

    fn read_head(&mut self, head: ReplyHead) -> Result<Then> {
        let failure = match head {
            ReplyHead::Ok(_) if self.pending.is_empty() => {
                return Err(Error::protocol("papad answered what was not asked"));
            }
            ReplyHead::Ok(count) => {
                self.answer = Some((count, false));
                self.end_answer();
                return Ok(Then::Receive);
            }
            ReplyHead::Error(failure) => failure,
        };
        let is_absent = matches!(failure.code, Code::NotFound | Code::Gone);
        match self.pending.front() {
            // It was there when papad was asked what it has. If it was the last, nothing is watched
            // now, and papad says no more.
            Some(Pending::Known(_)) if is_absent => Ok(Then::StartOver),
            Some(Pending::Known(_) | Pending::Rest) => Err(failure.into()),
            None => acknowledgement_refused(failure).map(|()| Then::Receive),
        }
    }

    /// A line of the answer to a request to watch: a process that is watched.
    fn read_answer(&mut self, line: &Line) -> Result<()> {
        let name = line.name()?;
        let id = ProcessId::new(&self.papad, line.number("id")?)?;
        let position = line.number("from")?;
        // What has come while there was no connection is told from its first byte, like all that
        // joins.
        let is_late = self.has_started && self.pending.front() == Some(&Pending::Rest);
        let begin = if is_late { 0 } else { position };
        self.join(Who { name: name.clone(), id }, line.number("pid")?, begin);
        if is_late && self.has_data {
            self.lose_until(name.as_bytes(), position);
        }
        if let Some((left, has_lines)) = &mut self.answer {
            *left = left.saturating_sub(1);
            *has_lines = true;
        }
        self.end_answer();
        Ok(())
    }

    /// Goes on to the next request if this one is answered.
    fn end_answer(&mut self) {
        let Some((0, has_lines)) = self.answer else {
            return;
        };
        self.answer = None;
        match self.pending.pop_front() {
            // It was removed and still runs.
            Some(Pending::Known(name)) if !has_lines => self.forget(name.as_bytes()),
            Some(Pending::Known(_) | Pending::Rest) | None => {}
        }
        self.has_started |= self.pending.is_empty();
    }

    /// A process is watched from a position on.
    fn join(&mut self, who: Who, pid: i32, position: u64) {
        let known = self.ledger.get(who.name.as_bytes());
        let replaced = known.filter(|track| track.who.id != who.id);
        let end = replaced.map(|track| track.end);
        let follows_removed = end == Some(EndOf::Open);
        match end {
            Some(EndOf::Open) => self.forget(who.name.as_bytes()),
            // All of it was received, and papad has said so.
            Some(EndOf::Received | EndOf::Taken) => {
                self.ledger.forget(who.name.as_bytes());
            }
            None => {}
        }
        let track = match self.ledger.get_mut(who.name.as_bytes()) {
            Some(track) => track,
            None => self.ledger.begin(Arc::new(who), position),
        };
        track.follows_removed |= follows_removed;
        if !mem::replace(&mut track.is_announced, true) {
            let what = What::Joined { pid, position: track.received };
            self.items.push(Item { who: Arc::clone(&track.who), what });
        }
    }

    /// A process is gone.
    pub(crate) fn forget(&mut self, name: &[u8]) {
        if let Some(who) = self.ledger.forget(name) {
            self.items.push(Item { who, what: What::Removed });
        }
    }

    fn read_frame(&mut self, frame: Frame) -> Result<Then> {
        match frame {
            Frame::Data { name, stream, position, time: at, length } => {
                let who = self.lose_until(&name, position);
                if length > 0 {
                    self.body =
                        Some(Body { who, stream, time: time(at.0), position, left: length });
                }
            }
            Frame::Lost { name, position, bytes } => {
                self.lose_until(&name, position.saturating_add(bytes));
            }
            Frame::Closed { name, position, time: at, end } => {
                if self.has_data {
                    self.lose_until(&name, position);
                }
                let Some(track) = self.ledger.get_mut(&name) else {
                    return Ok(Then::Receive);
                };
                match track.end {
                    EndOf::Open => {
                        track.end = EndOf::Received;
                        let what = What::Closed { position, time: time(at.0), end: end.into() };
                        self.items.push(Item { who: Arc::clone(&track.who), what });
                    }
                    EndOf::Received => {}
                    // papad was killed before it heard so.
                    EndOf::Taken => self.ledger.send_again(&Name::told(&name)),
                }
            }
            Frame::Joined { name, id, pid } => {
                let id = ProcessId::new(&self.papad, id)?;
                self.join(Who { name: Name::told(&name), id }, pid, 0);
            }
            Frame::Removed { name } => {
                let track = self.ledger.get_mut(&name);
                let is_news_of_another =
                    track.is_some_and(|track| mem::take(&mut track.follows_removed));
                if !is_news_of_another {
                    self.forget(&name);
                }
            }
            Frame::End(_) if self.pending.is_empty() => return Ok(Then::Finish),
            // There was nothing to watch for the first of several requests.
            Frame::End(_) => {}
        }
        Ok(Then::Receive)
    }

    /// What was not received of a process before this position never will be. If anything was not,
    /// that is an event. `None` if it is done: who only looks is sent such a one again where two
    /// requests of one connection name it.
    fn lose_until(&mut self, name: &[u8], position: u64) -> Option<Arc<Who>> {
        let track = self.ledger.get_mut(name)?;
        let who = Arc::clone(&track.who);
        if let Some(bytes) = position.checked_sub(track.received).filter(|&bytes| bytes > 0) {
            let what = What::Lost { position: track.received, bytes };
            track.received = position;
            self.items.push(Item { who: Arc::clone(&who), what });
        }
        Some(who)
    }
}

/// papad may have let go of a process while its acknowledgement was under way. What is acknowledged
/// in vain then does not matter.
fn acknowledgement_refused(failure: Failure) -> Result<()> {
    match failure.code {
        Code::NotFound | Code::Gone | Code::Conflict | Code::Usage => Ok(()),
        _ => Err(failure.into()),
    }
}

/// Whether a line begins as one that is to be understood.
fn is_known(line: &[u8]) -> bool {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let known = ["ok", "error", "data", "lost", "closed", "joined", "removed", "end"];
    known.iter().any(|it| it.as_bytes() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPAD: &str = "0123456789abcdef";

    /// One that watches a wildcard, and was told that it does.
    fn reading() -> Reading {
        let mut reading = Reading::new(true);
        begin(&mut reading);
        assert_eq!(read(&mut reading, b"ok 0\n"), "");
        reading
    }

    fn begin(reading: &mut Reading) {
        reading.begin(PAPAD);
        reading.pending.push_back(Pending::Rest);
    }

    /// Receives bytes, and shows what events they are.
    fn read(reading: &mut Reading, bytes: &[u8]) -> String {
        receive(reading, bytes).unwrap();
        let Some((_, contents)) = reading.take() else {
            return String::new();
        };
        let shown = contents.items.iter().map(|item| {
            let name = &item.who.name;
            match &item.what {
                What::Output { position, range, .. } => {
                    let bytes = contents.buffer[range.clone()].escape_ascii();
                    format!("{name} {position} {bytes}")
                }
                What::Lost { position, bytes } => format!("{name} lost {position}+{bytes}"),
                What::Closed { position, end, .. } => format!("{name} closed {position} {end}"),
                What::Joined { position, .. } => format!("{name} joined {position}"),
                What::Removed => format!("{name} removed"),
            }
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    fn receive(reading: &mut Reading, bytes: &[u8]) -> Result<Then> {
        reading.buffer.room()[..bytes.len()].copy_from_slice(bytes);
        reading.buffer.add(bytes.len());
        reading.read()
    }

    #[test]
    fn frames_are_events_however_they_are_cut() {
        let bytes = b"joined a 1 7\ndata a out 0 0 4\nx\nyzdata a err 4 0 2\n\nw\
                      closed a 6 0 signal 9\n";
        let whole = read(&mut reading(), bytes);
        assert_eq!(whole, "a joined 0, a 0 x\\nyz, a 4 \\nw, a closed 6 signal KILL");
        let mut byte_by_byte = reading();
        let events: Vec<String> = bytes
            .iter()
            .map(|byte| read(&mut byte_by_byte, &[*byte]))
            .filter(|event| !event.is_empty())
            .collect();
        let expected = [
            "a joined 0",
            "a 0 x",
            "a 1 \\n",
            "a 2 y",
            "a 3 z",
            "a 4 \\n",
            "a 5 w",
            "a closed 6 signal KILL",
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn what_comes_again_over_another_connection_is_passed_over() {
        let mut reading = reading();
        assert_eq!(
            read(&mut reading, b"joined a 1 7\ndata a out 0 0 6\nabcd"),
            "a joined 0, a 0 abcd"
        );
        reading.leave();
        begin(&mut reading);
        let again = b"ok 1\nname=a id=1 pid=7 from=0\ndata a out 0 0 2\nabdata a out 2 0 4\ncdef";
        assert_eq!(read(&mut reading, again), "a 4 ef");
    }

    #[test]
    fn a_gap_is_told_and_told_once() {
        let mut reading = reading();
        let lost = b"joined a 1 7\nlost a 0 10\ndata a out 10 0 1\nxdata a out 15 0 1\ny";
        assert_eq!(
            read(&mut reading, lost),
            "a joined 0, a lost 0+10, a 10 x, a lost 11+4, a 15 y"
        );
        assert_eq!(read(&mut reading, b"lost a 5 5\nlost a 12 6\n"), "a lost 16+2");
    }

    #[test]
    fn an_end_is_told_once_and_acknowledged_as_often_as_it_comes() {
        let mut reading = reading();
        assert_eq!(
            read(&mut reading, b"joined a 1 7\nclosed a 0 0 exit 3\n"),
            "a joined 0, a closed 0 exit status 3"
        );
        assert_eq!(read(&mut reading, b"closed a 0 0 exit 3\n"), "");
        reading.ledger.acknowledge(0);
        assert_eq!(reading.ledger.take_unsent(), b"ack a closed\n");
        // papad was killed before it heard so.
        reading.leave();
        begin(&mut reading);
        let again = b"ok 1\nname=a id=1 pid=7 from=0\ndata a out 0 0 2\nabclosed a 2 0 exit 3\n";
        assert_eq!(read(&mut reading, again), "");
        assert_eq!(reading.ledger.take_unsent(), b"ack a closed\n");
        // Two requests of one connection may name it.
        let more = b"data a out 0 0 2\nablost a 2 1\nclosed a 3 0 exit 3\njoined b 2 8\n";
        assert_eq!(read(&mut reading, more), "b joined 0");
    }

    #[test]
    fn a_process_that_takes_a_name_over_is_another_whichever_news_comes_first() {
        for news in ["removed a\njoined a 2 8\n", "joined a 2 8\nremoved a\n"] {
            let mut reading = reading();
            read(&mut reading, b"joined a 1 7\ndata a out 0 0 1\nx");
            assert_eq!(read(&mut reading, news.as_bytes()), "a removed, a joined 0");
            assert_eq!(read(&mut reading, b"data a out 0 0 1\ny"), "a 0 y");
        }
    }

    #[test]
    fn an_error_answers_the_request_that_is_pending_or_an_acknowledgement() {
        let mut first = Reading::new(true);
        begin(&mut first);
        assert!(receive(&mut first, b"error not-found \"no a\"\n").is_err());
        let mut reading = reading();
        assert_eq!(receive(&mut reading, b"error not-found \"no a\"\n").unwrap(), Then::Receive);
    }

    /// One that has come back to a process.
    fn coming_back() -> Reading {
        let mut reading = reading();
        read(&mut reading, b"joined a 1 7\n");
        reading.leave();
        reading.pending.push_back(Pending::Known(Name::new("a").unwrap()));
        reading
    }

    #[test]
    fn a_known_process_that_was_removed_and_runs_on_is_told() {
        assert_eq!(read(&mut coming_back(), b"ok 0\n"), "a removed");
    }

    #[test]
    fn when_a_known_process_has_gone_since_it_was_listed_the_list_is_asked_for_again() {
        let gone = receive(&mut coming_back(), b"error not-found \"no a\"\n").unwrap();
        assert_eq!(gone, Then::StartOver);
    }

    #[test]
    fn what_was_pushed_out_before_a_process_was_found_is_lost() {
        let mut reading = reading();
        reading.leave();
        begin(&mut reading);
        let found = b"ok 1\nname=a id=1 pid=7 from=10\ndata a out 10 0 2\nxy";
        assert_eq!(read(&mut reading, found), "a joined 0, a lost 0+10, a 10 xy");
        // When a watch begins it is not: nobody has watched before.
        let mut first = Reading::new(true);
        begin(&mut first);
        assert_eq!(read(&mut first, b"ok 1\nname=a id=1 pid=7 from=10\n"), "a joined 10");
    }

    #[test]
    fn the_end_of_the_watch_counts_when_nothing_is_pending() {
        let mut reading = reading();
        begin(&mut reading);
        assert_eq!(receive(&mut reading, b"end finished\nok 0\n").unwrap(), Then::Receive);
        assert_eq!(receive(&mut reading, b"end finished\n").unwrap(), Then::Finish);
    }

    #[test]
    fn a_frame_of_a_later_papad_is_passed_over_and_a_bad_one_is_not() {
        let mut reading = reading();
        assert_eq!(receive(&mut reading, b"weather a sunny\n").unwrap(), Then::Receive);
        for line in [&b"data a out 0\n"[..], b"lost a x 1\n", b"data a out 0 0 x\n"] {
            assert!(receive(&mut reading, line).is_err(), "{}", line.escape_ascii());
        }
    }
}
