//! A watching session in protocol 2: frames stream out while acknowledgements come in.

mod frames;
mod order;
mod told;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use papa_protocol::exact::{
    self, AckTo, Code, Failure, Frame, From, Line, Mode, Watch, WatchRequest,
};
use papa_protocol::name::{Pattern, Patterns};
use papa_protocol::text::shown;

use super::super::Server;
use super::super::client::Client;
use super::super::session::Ended;
use super::super::watch::detach;
use super::check_words;
use crate::bounds::Bound;
use crate::processes::{Next, NoReader, Numbers, Process, ReaderId, Sent, Start, Waker, Wants};
use crate::{limit, log};

use frames::Streamed;
pub(in crate::server) use told::{TellWatched, TellWildcard, Told};

/// Bytes of output that are gathered before they are sent.
const BATCH: u64 = 256 * 1024;

/// Processes watched no more whose names are remembered.
const REMEMBERED: usize = 256;

/// A session that watches: it takes acknowledgements, further watches and `stop`, and nothing else.
pub(in crate::server) struct Watching {
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
}

struct Watched {
    process: Arc<Process>,
    reader: ReaderId,
    wants: Wants,
    /// Where a watch that does not follow ends.
    until: Option<u64>,
    /// Whether an older one of its name goes first, and nothing is said of this one before.
    is_held_back: bool,
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
    /// Begins a watch; returns it with the lines of its answer.
    pub(super) fn new(
        server: &Arc<Server>,
        request: &Watch,
    ) -> Result<(Watching, Vec<Vec<u8>>), Failure> {
        let empty = Watching::empty(server, request.window);
        let mut watching = empty.map_err(|error| failed(&error))?;
        let opening = watching.add(request)?;
        Ok((watching, opening))
    }

    fn empty(server: &Arc<Server>, window: u64) -> io::Result<Watching> {
        let waker = Arc::new(Waker::new()?);
        server.processes.subscribe(&waker);
        Ok(Watching {
            server: Arc::clone(server),
            seen: server.processes.listings(),
            waker,
            watched: Vec::new(),
            wildcards: Vec::new(),
            window,
            over: VecDeque::new(),
        })
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
        let found = self.find(request, &patterns)?;
        let is_exact = |pattern| matches!(pattern, Pattern::Exact(_));
        let has_joining = request.follow && !patterns.iter().all(is_exact);
        let new: Vec<_> = found.into_iter().filter(|process| !self.has(process)).collect();
        let more = new.len() + if has_joining { patterns.iter().count() } else { 0 };
        let bounds = &self.server.bounds;
        bounds.check(Bound::Watched, self.count() + more)?;
        // Before anything is acknowledged: the greatest position stands for where each begins.
        self.check_order(request, &new)?;
        let longest = |process| opening(process, u64::MAX).len() + 1;
        bounds.check(Bound::Answer, new.iter().map(longest).sum())?;
        let before = self.watched.len();
        let mut lines = Vec::new();
        for process in new {
            match self.attach(&process, wants, request.follow) {
                Ok(Some(start)) => lines.push(opening(&process, start)),
                // It joins when the one before it has left, or never: it is removed.
                Ok(None) | Err(NoReader::Removed) => {}
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
        if has_joining {
            // What joins later is new: all of it is wanted.
            let wants = Wants { from: Start::Oldest, ..wants };
            self.wildcards.push(Wildcard { patterns, wants });
        }
        self.window = self.window.max(request.window);
        Ok(lines)
    }

    /// Processes and wildcards.
    fn count(&self) -> usize {
        let wildcards = self.wildcards.iter().map(|wildcard| wildcard.patterns.iter().count());
        self.watched.len() + wildcards.sum::<usize>()
    }

    fn has(&self, process: &Process) -> bool {
        self.watched.iter().any(|watched| watched.process.id == process.id)
    }

    /// Adds a process; tells where it begins, if it may begin now.
    fn attach(
        &mut self,
        process: &Arc<Process>,
        wants: Wants,
        follow: bool,
    ) -> Result<Option<u64>, NoReader> {
        let (reader, start, next) = process.attach(Arc::clone(&self.waker), wants)?;
        self.server.processes.follow(process, next);
        let (_, end, _) = process.extent();
        let is_held_back = self.has_name(&process.name);
        self.watched.push(Watched {
            process: Arc::clone(process),
            reader,
            wants,
            until: (!follow).then_some(end),
            is_held_back,
            has_ended: false,
            is_over: false,
        });
        Ok((!is_held_back).then_some(start))
    }

    /// Watches until the client stops it, or nothing is left.
    pub(super) fn run(&mut self, client: &mut Client) -> Result<exact::Ended, Ended> {
        loop {
            client.pass()?;
            self.waker.rearm();
            self.join_new(&mut client.out.bytes);
            let batch = client.unread.add_batch(BATCH);
            let has_sent = self.send(batch, &mut client.out.bytes)?;
            let has_sent = self.join_successors(&mut client.out.bytes) || has_sent;
            if !has_sent && self.is_finished() {
                return Ok(exact::Ended::Finished);
            }
            client.send()?;
            if has_sent {
                client.listen_in_passing()?;
            }
            let mut has_heard = false;
            while let Some(line) = client.next_line()? {
                has_heard = true;
                if self.hear(&line, &mut client.out.bytes)? {
                    return Ok(exact::Ended::Stopped);
                }
            }
            if !has_sent && !has_heard {
                if self.in_flight() == 0 {
                    client.send_and_rest()?;
                }
                if client.wait_with(&self.waker)? {
                    client.listen()?;
                }
            }
        }
    }

    /// New processes that match a wildcard join.
    fn join_new(&mut self, out: &mut Vec<u8>) {
        let listings = self.server.processes.listings();
        if listings == self.seen {
            return;
        }
        let mut count = self.count();
        let wildcards = std::mem::take(&mut self.wildcards);
        for Wildcard { patterns, wants } in &wildcards {
            for process in self.server.processes.find(patterns, Numbers::AreNames).into_processes()
            {
                let is_new =
                    process.listing.load(Ordering::SeqCst) > self.seen && !self.has(&process);
                if !is_new {
                    continue;
                }
                if let Err(refusal) = self.server.bounds.check(Bound::Watched, count + 1) {
                    let name = shown(&process.name);
                    log::warn!("server", "{name} does not join a watch: {refusal}");
                } else if let Ok(start) = self.attach(&process, *wants, true) {
                    count += 1;
                    if start.is_some() {
                        joined(&process).write(out);
                    }
                }
            }
        }
        self.wildcards = wildcards;
        self.seen = listings;
    }

    /// Appends frames as far as the window allows, of at most so much output; returns whether there are any.
    fn send(&mut self, batch: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        let mut window = self.window.saturating_sub(self.in_flight()).min(batch);
        let (mut looking, gathered) = (batch, 2 * batch as usize);
        let mut has_sent = false;
        let mut first_unserved = None;
        let before = out.len();
        for (at, watched) in self.watched.iter_mut().enumerate() {
            if watched.is_held_back {
                continue;
            }
            if out.len() - before > gathered {
                first_unserved = first_unserved.or(Some(at));
                break;
            }
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
        let checked = check_words(&self.server.bounds, line);
        let answer = match checked.and_then(|()| exact::parse_in_watch(line)) {
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
        let is_meant = |it: &&mut Watched| it.process.name == name && !it.is_held_back;
        let named = self.watched.iter_mut().find(is_meant);
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
}

/// What is answered of a process that is watched from now on, and from this position.
fn opening(process: &Arc<Process>, from: u64) -> Vec<u8> {
    let line = Line::new().pair("name", &process.name).number("id", process.id);
    line.number("pid", process.pid()).number("from", from).into_bytes()
}

fn joined(process: &Process) -> Frame {
    Frame::Joined { name: process.name.clone(), id: process.id, pid: process.pid() }
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

fn failed(error: &io::Error) -> Failure {
    Failure::new(limit::code_of(error), error.to_string())
}
