//! A watching session in protocol 2: frames stream out while acknowledgements come in.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use papa_protocol::exact::{
    self, AckTo, Code, End, Failure, Frame, From, Line, Mode, Watch, WatchRequest,
};
use papa_protocol::frame::Time;
use papa_protocol::name::{Pattern, Patterns};
use papa_protocol::text::shown;

use super::super::Server;
use super::super::lines::{Lines, Received};
use super::super::session::{Ended, write_out, write_out_and_rest};
use super::super::watch::{HUNG_UP, detach};
use crate::limit;
use crate::processes::{
    Exit, Frames, Next, NoReader, Numbers, Piece, Process, ReaderId, Sent, Start, Waker, Wants,
};

/// Bytes of output that are gathered before they are sent.
const BATCH: u64 = 256 * 1024;

/// Processes watched no more whose names are remembered.
const REMEMBERED: usize = 256;

/// A session that watches: it takes acknowledgements, further watches and `stop`, and nothing else.
pub(super) struct Watching {
    server: Arc<Server>,
    waker: Arc<Waker>,
    watched: Vec<Watched>,
    /// What new processes join by.
    wildcards: Vec<Wildcard>,
    /// How many processes were listed when the wildcards were last matched.
    seen: u64,
    /// Bytes that may be sent and not acknowledged.
    window: u64,
    /// Names of the last few that are watched no more: what is said of them has crossed the news.
    over: VecDeque<Vec<u8>>,
    /// The answer to the request that began the watch.
    opening: Vec<Vec<u8>>,
}

struct Watched {
    process: Arc<Process>,
    reader: ReaderId,
    wants: Wants,
    /// Where a watch that does not follow ends.
    until: Option<u64>,
    /// Its end was sent.
    has_ended: bool,
    /// There is no more for this watch to send or to wait for.
    is_over: bool,
}

struct Wildcard {
    patterns: Patterns,
    wants: Wants,
}

impl Watching {
    /// Begins a watch.
    pub(super) fn new(server: &Arc<Server>, request: &Watch) -> Result<Watching, Failure> {
        let waker = Waker::new().map_err(|error| failed(&error))?;
        let waker = Arc::new(waker);
        server.processes.subscribe(&waker);
        let mut watching = Watching {
            server: Arc::clone(server),
            seen: server.processes.listings(),
            waker,
            watched: Vec::new(),
            wildcards: Vec::new(),
            window: request.window,
            over: VecDeque::new(),
            opening: Vec::new(),
        };
        watching.opening = watching.add(request)?;
        Ok(watching)
    }

    /// Adds what a request names; returns the lines of its answer. After a failure, nothing of it
    /// is watched.
    fn add(&mut self, request: &Watch) -> Result<Vec<Vec<u8>>, Failure> {
        let patterns = Patterns::new(request.names.clone());
        let from = match request.from {
            From::Oldest => Start::Oldest,
            From::Newest => Start::Newest,
            From::Position(position) => Start::Position(position),
        };
        let wants = Wants { takes: request.mode == Mode::Take, data: request.data, from };
        let found = self.server.processes.find(&patterns, Numbers::AreNames);
        if let Some(name) = found.missing {
            let what = format!("there is no process of the name {}", shown(&name));
            return Err(Failure::new(Code::NotFound, what));
        }
        let before = self.watched.len();
        let mut lines = Vec::new();
        for process in found.into_processes() {
            if self.has(&process) {
                continue;
            }
            match self.attach(&process, wants, request.follow) {
                Ok(start) => lines.push(
                    Line::new()
                        .pair("name", &process.name)
                        .number("id", process.id)
                        .number("pid", process.pid())
                        .number("from", start)
                        .into_bytes(),
                ),
                Err(NoReader::Removed) => {}
                Err(why) => {
                    self.watched.drain(before..).for_each(|watched| self.server.let_go(&watched));
                    let what = "the process has not written as much as that";
                    return Err(match why {
                        NoReader::Failed(error) => failed(&error),
                        NoReader::Removed | NoReader::BeyondEnd => {
                            Failure::new(Code::Conflict, what)
                        }
                    });
                }
            }
        }
        let is_exact = |pattern| matches!(pattern, Pattern::Exact(_));
        if request.follow && !patterns.iter().all(is_exact) {
            // What joins later is new: all of it is wanted.
            let wants = Wants { from: Start::Oldest, ..wants };
            self.wildcards.push(Wildcard { patterns, wants });
        }
        self.window = self.window.max(request.window);
        Ok(lines)
    }

    fn has(&self, process: &Process) -> bool {
        self.watched.iter().any(|watched| watched.process.id == process.id)
    }

    fn attach(
        &mut self,
        process: &Arc<Process>,
        wants: Wants,
        follow: bool,
    ) -> Result<u64, NoReader> {
        let (reader, start, next) = process.attach(Arc::clone(&self.waker), wants)?;
        self.server.processes.follow(process, next);
        let (_, end, _) = process.extent();
        self.watched.push(Watched {
            process: Arc::clone(process),
            reader,
            wants,
            until: (!follow).then_some(end),
            has_ended: false,
            is_over: false,
        });
        Ok(start)
    }

    /// Watches until the client stops it, or nothing is left.
    pub(super) fn run(mut self, lines: &mut Lines, out: &mut Vec<u8>) -> Result<(), Ended> {
        exact::write_ok(out, &std::mem::take(&mut self.opening));
        loop {
            self.waker.rearm();
            self.join_new(out);
            let has_sent = self.send(out)?;
            if !has_sent && self.is_finished() {
                Frame::End(exact::Ended::Finished).write(out);
                return Ok(());
            }
            write_out(lines, out)?;
            if has_sent && can_hear(lines)? {
                listen(lines)?;
            }
            let mut has_heard = false;
            while let Some(line) = lines.next() {
                has_heard = true;
                if self.hear(&line, out)? {
                    Frame::End(exact::Ended::Stopped).write(out);
                    return Ok(());
                }
            }
            if !has_sent && !has_heard {
                if self.in_flight() == 0 {
                    write_out_and_rest(lines, out)?;
                }
                self.wait(lines)?;
            }
        }
    }

    /// New processes that match a wildcard join.
    fn join_new(&mut self, out: &mut Vec<u8>) {
        let listings = self.server.processes.listings();
        if listings == self.seen {
            return;
        }
        let wildcards = std::mem::take(&mut self.wildcards);
        for Wildcard { patterns, wants } in &wildcards {
            for process in self.server.processes.find(patterns, Numbers::AreNames).into_processes()
            {
                let is_new =
                    process.listing.load(Ordering::SeqCst) > self.seen && !self.has(&process);
                if is_new && self.attach(&process, *wants, true).is_ok() {
                    let name = process.name.clone();
                    Frame::Joined { name, id: process.id, pid: process.pid() }.write(out);
                }
            }
        }
        self.wildcards = wildcards;
        self.seen = listings;
    }

    /// Appends frames as far as the window allows; returns whether there are any.
    fn send(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut window = self.window.saturating_sub(self.in_flight()).min(BATCH);
        let mut looking = BATCH;
        let mut has_sent = false;
        let mut first_unserved = None;
        for (at, watched) in self.watched.iter_mut().enumerate() {
            let budget = if watched.wants.takes { &mut window } else { &mut looking };
            let has_turn = *budget > 0 || !watched.wants.data;
            if !has_turn {
                first_unserved = first_unserved.or(Some(at));
            }
            let until = watched.until.unwrap_or(u64::MAX);
            match watched.process.send(watched.reader, *budget, until, &mut Streamed(out))? {
                Sent::Output(bytes) => *budget = budget.saturating_sub(bytes),
                Sent::End(bytes) => {
                    *budget = budget.saturating_sub(bytes);
                    watched.has_ended = true;
                }
                Sent::Nothing => {
                    watched.is_over = has_turn && watched.is_over_without_news();
                    continue;
                }
                Sent::Removed => {
                    Frame::Removed { name: watched.process.name.clone() }.write(out);
                    watched.is_over = true;
                }
            }
            has_sent = true;
        }
        self.let_go_of_the_over();
        // Who did not get a turn is first the next time.
        if let Some(at) = first_unserved.filter(|&at| at < self.watched.len()) {
            self.watched.rotate_left(at);
        }
        Ok(has_sent)
    }

    /// Bytes that were sent and are still to be acknowledged.
    fn in_flight(&self) -> u64 {
        let takers = self.watched.iter().filter(|watched| watched.wants.takes);
        takers.map(|taker| taker.process.in_flight(taker.reader)).sum()
    }

    fn let_go_of_the_over(&mut self) {
        let (server, over) = (&self.server, &mut self.over);
        self.watched.retain(|watched| {
            if watched.is_over {
                server.let_go(watched);
                over.push_back(watched.process.name.clone());
            }
            !watched.is_over
        });
        let surplus = self.over.len().saturating_sub(REMEMBERED);
        self.over.drain(..surplus);
    }

    fn is_finished(&self) -> bool {
        self.watched.is_empty() && self.wildcards.is_empty()
    }

    /// Takes a line; returns whether it ends the watch.
    fn hear(&mut self, line: &[u8], out: &mut Vec<u8>) -> io::Result<bool> {
        let answer = match exact::parse_in_watch(line) {
            Ok(None) => return Ok(false),
            Ok(Some(WatchRequest::Stop)) => return Ok(true),
            Ok(Some(WatchRequest::Ack { name, to })) => self.acknowledge(&name, to)?.map(|()| None),
            Ok(Some(WatchRequest::Watch(request))) => self.add(&request).map(Some),
            Err(failure) => Err(failure),
        };
        match answer {
            Ok(None) => {}
            Ok(Some(lines)) => exact::write_ok(out, &lines),
            Err(failure) => exact::write_error(out, &failure),
        }
        Ok(false)
    }

    fn acknowledge(&mut self, name: &[u8], to: AckTo) -> io::Result<Result<(), Failure>> {
        // Of two processes of one name, the older is removed and says no more.
        let named = self.watched.iter_mut().rev().find(|watched| watched.process.name == name);
        let Some(watched) = named else {
            if self.over.iter().any(|over| over == name) {
                return Ok(Ok(()));
            }
            let what = format!("{} is not being watched", shown(name));
            return Ok(Err(Failure::new(Code::NotFound, what)));
        };
        if !watched.wants.takes {
            return Ok(Ok(()));
        }
        let position = match to {
            AckTo::Position(position) => Some(position),
            AckTo::Closed => None,
        };
        let Some(next) = watched.process.acknowledge(watched.reader, position)? else {
            let what = "that was not sent yet, so it cannot be acknowledged";
            return Ok(Err(Failure::new(Code::Conflict, what)));
        };
        watched.is_over |= to == AckTo::Closed;
        let process = Arc::clone(&watched.process);
        self.server.processes.follow(&process, next);
        if next == Next::Retire {
            self.server.compact();
        }
        self.let_go_of_the_over();
        Ok(Ok(()))
    }

    /// Waits for output, for a line, or for the client's leaving.
    fn wait(&self, lines: &mut Lines) -> Result<(), Ended> {
        let mut fds = [
            PollFd::new(self.waker.as_fd(), PollFlags::POLLIN),
            PollFd::new(lines.as_fd(), PollFlags::POLLIN | HUNG_UP),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(()),
            result => result.map_err(io::Error::from)?,
        };
        if fds[1].any().unwrap_or(true) { listen(lines) } else { Ok(()) }
    }
}

/// Whether the client has said something, while there is more to be sent to it.
fn can_hear(lines: &Lines) -> io::Result<bool> {
    let mut fds = [PollFd::new(lines.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut fds, PollTimeout::ZERO)? > 0)
}

fn listen(lines: &mut Lines) -> Result<(), Ended> {
    match lines.read()? {
        Received::Bytes => Ok(()),
        Received::End => Err(Ended::ByClient),
        Received::TooLong => Err(Ended::LineTooLong),
    }
}

impl Watched {
    /// Whether nothing more is to come, given that there is nothing to send now.
    fn is_over_without_news(&self) -> bool {
        let is_taken = !self.wants.takes || self.process.in_flight(self.reader) == 0;
        match self.until {
            // Its end, if it was sent, is still to be acknowledged.
            Some(_) => is_taken && !(self.has_ended && self.wants.takes),
            None => self.has_ended && !self.wants.takes,
        }
    }
}

impl Server {
    fn let_go(&self, watched: &Watched) {
        detach(self, &watched.process, watched.reader);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watched.iter().for_each(|watched| self.server.let_go(watched));
    }
}

/// Frames as protocol 2 writes them.
struct Streamed<'a>(&'a mut Vec<u8>);

impl Frames for Streamed<'_> {
    fn batch(&mut self) -> &mut Vec<u8> {
        self.0
    }

    fn begin_output(&mut self, process: &Process, piece: Piece) {
        let Piece { stream, time, start, length } = piece;
        exact::write_data(self.0, &process.name, stream, start, time, length);
    }

    fn end_output(&mut self) {}

    fn lost(&mut self, process: &Process, position: u64, bytes: u64) {
        Frame::Lost { name: process.name.clone(), position, bytes }.write(self.0);
    }

    fn closed(&mut self, process: &Process, position: u64, time: Time, exit: Exit) {
        let end = if exit.code < 0 { End::Signal(-exit.code) } else { End::Exit(exit.code) };
        Frame::Closed { name: process.name.clone(), position, time, end }.write(self.0);
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(limit::code_of(error), error.to_string())
}
