//! Watching: output is sent in batches, and each is acknowledged before the next.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use papa_protocol::exact::Failure;
use papa_protocol::frame::{self, END_OF_BATCH, Time};

use super::Server;
use super::client::Client;
use super::handover::ById;
use super::lines::Lines;
use super::session::Ended;
use crate::processes::{Exit, Frames, Piece, Place, Process, ReaderId, Sent, Waker, Wants};
use crate::sys;

/// Bytes of output after which a batch is sent.
const BATCH: u64 = 1024 * 1024;

/// How long a client may take to read that it is watching before its first batch is sent.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long to wait before looking again whether it was read.
const GLANCE: Duration = Duration::from_micros(200);

/// Processes being watched. Those that are left when this is dropped keep what was not
/// acknowledged.
pub(super) struct Watch {
    server: Arc<Server>,
    waker: Arc<Waker>,
    watched: Vec<Watched>,
    /// No batch was sent yet.
    is_first: bool,
    /// A batch is on its way, or there, and not acknowledged.
    is_answered_next: bool,
}

struct Watched {
    process: Arc<Process>,
    reader: ReaderId,
    /// Its end is in the batch that is not acknowledged yet.
    ends: bool,
    /// Somebody removed it: there will be no more of it.
    is_removed: bool,
}

impl Watch {
    pub(super) fn new(
        server: Arc<Server>,
        processes: impl IntoIterator<Item = Arc<Process>>,
    ) -> io::Result<Watch> {
        let waker = Arc::new(Waker::new()?);
        let watched = processes.into_iter().filter_map(|process| {
            let (reader, _, next) = process.attach(Arc::clone(&waker), Wants::ALL).ok()?;
            server.processes.follow(&process, next);
            Some(Watched { process, reader, ends: false, is_removed: false })
        });
        let watched = watched.collect();
        Ok(Watch { server, waker, watched, is_first: true, is_answered_next: false })
    }

    /// Watches until the client stops or nothing is left, and says which.
    pub(super) fn run(&mut self, client: &mut Client) -> Result<&'static [u8], Ended> {
        loop {
            client.pass()?;
            client.send()?;
            if self.is_answered_next {
                let answer = next_line(client)?;
                self.is_answered_next = false;
                if let Some(answer) = answer {
                    self.acknowledge()?;
                    if self.watched.is_empty() {
                        return Ok(b"Nothing left to watch");
                    }
                    if wants_to_stop(Some(&answer)) {
                        return Ok(b"Stopped watching");
                    }
                }
            }
            if client.lines.take_unsure() {
                if self.begin_again(client)? {
                    return Ok(b"Stopped watching");
                }
                client.send()?;
            }
            self.waker.rearm();
            let budget = client.unread.add_batch(BATCH);
            let has_output = self.fill(budget, &mut client.out.bytes)?;
            if self.watched.is_empty() {
                return Ok(b"Nothing left to watch");
            }
            if has_output {
                if std::mem::take(&mut self.is_first) {
                    let_read(&client.lines);
                }
                client.out.bytes.extend_from_slice(END_OF_BATCH);
                self.is_answered_next = true;
                continue;
            }
            client.send_and_rest()?;
            if wants_to_stop(client.lines.peek()) {
                client.lines.next()?;
                return Ok(b"Stopped watching");
            }
            self.wait(client)?;
        }
    }

    /// The client may have thrown away the batch that it was sent: it is sent again. Lines that are
    /// there already were sent before that can be seen, and so acknowledge nothing. Returns whether
    /// one of them ends the watch.
    fn begin_again(&mut self, client: &mut Client) -> Result<bool, Failure> {
        for watched in &mut self.watched {
            watched.process.send_again(watched.reader);
            watched.ends = false;
        }
        while let Some(line) = client.next_line()? {
            if wants_to_stop(Some(&line)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Appends frames to a batch, of at most so much output; no other process has a turn when they have
    /// twice that. Returns whether there are any.
    fn fill(&mut self, budget: u64, batch: &mut Vec<u8>) -> io::Result<bool> {
        let mut has_frames = false;
        let (mut budget, gathered) = (budget, 2 * budget as usize);
        let mut first_unserved = None;
        let before = batch.len();
        for (at, watched) in self.watched.iter_mut().enumerate() {
            if budget == 0 || batch.len() - before > gathered {
                first_unserved = Some(at);
                break;
            }
            let frames = &mut Batch(batch);
            match watched.process.send(watched.reader, budget, u64::MAX, frames)? {
                // With no bytes, something was lost: this dialect cannot say so.
                Sent::Nothing | Sent::Output(0) => continue,
                Sent::Output(bytes) => budget -= bytes,
                Sent::End(bytes) => {
                    budget -= bytes;
                    watched.ends = true;
                }
                Sent::Removed => {
                    watched.is_removed = true;
                    continue;
                }
            }
            has_frames = true;
        }
        // Who did not get a turn is first the next time.
        self.watched.rotate_left(first_unserved.unwrap_or_default());
        self.let_go(|watched| watched.is_removed);
        Ok(has_frames)
    }

    /// Ends the watching of these.
    fn let_go(&mut self, is_over: impl Fn(&Watched) -> bool) {
        let server = &self.server;
        self.watched.retain(|watched| {
            let is_over = is_over(watched);
            if is_over {
                detach(server, &watched.process, watched.reader);
            }
            !is_over
        });
    }

    fn acknowledge(&mut self) -> io::Result<()> {
        for watched in &self.watched {
            let next = watched.process.acknowledge_sent(watched.reader)?;
            self.server.processes.follow(&watched.process, next);
        }
        self.let_go(|watched| watched.ends);
        self.server.compact();
        Ok(())
    }

    /// Waits for output, for a line, or for the client's leaving.
    fn wait(&self, client: &mut Client) -> Result<(), Ended> {
        // A line that is there already is for the next batch: more are not read meanwhile.
        // Nor does it matter then that the client sends no more.
        if client.lines.peek().is_some() {
            client.wait_for_waker(&self.waker)
        } else if client.wait_with(&self.waker)? {
            client.listen()
        } else {
            Ok(())
        }
    }

    /// What another server is to know, so that it can go on with this watch.
    pub(super) fn told(&self) -> Told {
        let watched = self.watched.iter().map(|watched| {
            let Watched { process, reader, ends, is_removed } = watched;
            TellWatched {
                process: process.id,
                place: process.place(*reader).unwrap_or_default(),
                ends: *ends,
                is_removed: *is_removed,
            }
        });
        Told {
            watched: watched.collect(),
            is_first: self.is_first,
            is_answered_next: self.is_answered_next,
        }
    }

    /// Goes on with the watch of another server.
    pub(super) fn resume(server: &Arc<Server>, told: Told, by_id: &ById) -> io::Result<Watch> {
        let waker = Arc::new(Waker::new()?);
        let Told { watched, is_first, is_answered_next } = told;
        let watched = watched.into_iter().filter_map(|told| {
            let process = Arc::clone(by_id.get(&told.process)?);
            let reader = process.attach_again(Arc::clone(&waker), Wants::ALL, told.place);
            let TellWatched { ends, is_removed, .. } = told;
            Some(Watched { process, reader, ends, is_removed })
        });
        let (watched, server) = (watched.collect(), Arc::clone(server));
        Ok(Watch { server, waker, watched, is_first, is_answered_next })
    }
}

/// A watch as one server tells another of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) watched: Vec<TellWatched>,
    pub(super) is_first: bool,
    pub(super) is_answered_next: bool,
}

/// A watched process as one server tells another of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TellWatched {
    pub(super) process: u64,
    pub(super) place: Place,
    pub(super) ends: bool,
    pub(super) is_removed: bool,
}

/// Frames as papa 1.0 writes them. It cannot say that output was lost.
struct Batch<'a>(&'a mut Vec<u8>);

impl Frames for Batch<'_> {
    fn batch(&mut self) -> &mut Vec<u8> {
        self.0
    }

    fn begin_output(&mut self, process: &Process, piece: Piece) {
        let Piece { stream, time, length, .. } = piece;
        frame::output_header(self.0, stream, &process.name, time, length as usize);
    }

    fn end_output(&mut self) {
        self.0.push(b'\n');
    }

    fn lost(&mut self, _process: &Process, _position: u64, _bytes: u64) {}

    fn closed(&mut self, process: &Process, _position: u64, time: Time, exit: Exit) {
        frame::closed(self.0, &process.name, time, exit.ending.code());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for watched in &self.watched {
            detach(&self.server, &watched.process, watched.reader);
        }
    }
}

/// A reader is gone.
pub(super) fn detach(server: &Server, process: &Arc<Process>, reader: ReaderId) {
    let next = process.detach(reader);
    server.processes.follow(process, next);
}

/// papa's client reads more than the line that says it is watching, and then waits in select for
/// output that it already has. So the first batch comes when that line was read.
fn let_read(lines: &Lines) {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && sys::unread_by_peer(lines.as_fd()).is_ok_and(|n| n > 0) {
        thread::sleep(GLANCE);
    }
}

fn wants_to_stop(line: Option<&[u8]>) -> bool {
    line.is_some_and(|line| line.eq_ignore_ascii_case(b"q"))
}

/// The next line; `None` if what was sent before it may not have been shown.
fn next_line(client: &mut Client) -> Result<Option<Vec<u8>>, Ended> {
    loop {
        if client.lines.is_unsure_before_next_line() {
            return Ok(None);
        }
        if let Some(line) = client.lines.next()? {
            return Ok(Some(line));
        }
        client.listen()?;
    }
}
