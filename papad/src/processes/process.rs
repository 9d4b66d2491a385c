//! One hosted process, from the request for it until nobody needs to know of it any more.

use std::fmt::Write;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papa_protocol::frame::{self, Stream, Time};

use super::output::{Output, Pipes, ReaderId};
use super::spec::Spec;
use super::waker::Waker;
use crate::journal::Record;
use crate::ring::Filled;

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is being made; the request for it is not answered yet.
    Starting,
    Running,
    Exited(Exit),
}

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit status, or minus the number of the signal that ended it.
    pub(crate) code: i32,
    pub(crate) time: Time,
}

/// What has to be done about a process after something happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// It has exited and its descendants hold its pipes: its end is told after a second.
    Linger,
    /// Nobody needs it any more: it leaves the list.
    Retire,
}

/// What a watching session is to do about one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// So many bytes of output; there may be more.
    Output(u64),
    /// There was the end of the process.
    End,
    Nothing,
    /// Its output is recorded no more, so there will never be anything.
    Removed,
}

/// A process that papad hosts.
pub(crate) struct Process {
    /// Its number since papad first started.
    pub(crate) id: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) spec: Spec,
    pub(crate) started: Time,
    /// 0 until it has one.
    pub(crate) pid: AtomicI32,
    state: Mutex<State>,
}

struct State {
    life: Life,
    output: Output,
    /// When all of its output had been taken, or waited for long enough: its end may be told.
    closed: Option<Time>,
    /// Its output is not wanted; it leaves the list when it exits.
    removed: bool,
}

impl Process {
    pub(crate) fn new(id: u64, name: Vec<u8>, spec: Spec, started: Time) -> Process {
        Process::recovered(id, name, spec, started, 0, Life::Starting)
    }

    pub(crate) fn recovered(
        id: u64,
        name: Vec<u8>,
        spec: Spec,
        started: Time,
        pid: i32,
        life: Life,
    ) -> Process {
        let output = Output::new(Pipes::default(), None);
        let state = State { life, output, closed: None, removed: false };
        Process { id, name, spec, started, pid: AtomicI32::new(pid), state: Mutex::new(state) }
    }

    /// One that is off the list while its descendants write to its pipes.
    pub(crate) fn draining(id: u64, output: Output) -> Process {
        let exit = Exit { code: 0, time: Time(0) };
        let life = Life::Exited(exit);
        let process = Process::recovered(id, Vec::new(), Spec::default(), Time(0), 0, life);
        process.set_output(output);
        process.remove();
        process
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid.load(Ordering::SeqCst)
    }

    pub(crate) fn life(&self) -> Life {
        self.lock().life
    }

    /// `NAME pid=... args=...`, as papa's clients parse it: args comes last.
    pub(crate) fn line(&self) -> Vec<u8> {
        let is_running = !matches!(self.life(), Life::Exited(_));
        let running = if is_running { "True" } else { "False" };
        let mut fields = format!(" pid={} running={running} started={}", self.pid(), self.started);
        // Writing to a String cannot fail.
        if let Some(uid) = self.spec.uid {
            let _ = write!(fields, " uid={uid}");
        }
        if let Some(gid) = self.spec.gid {
            let _ = write!(fields, " gid={gid}");
        }
        if self.spec.shell {
            fields.push_str(" shell=True");
        }
        [&self.name[..], fields.as_bytes(), b" args=", &self.spec.args.join(&b' ')].concat()
    }

    /// The records that make this process anew, for a compacted journal.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut records = vec![self.made_record()];
        if self.pid() != 0 {
            records.push(Record::new("started").number(self.id).number(self.pid()));
        }
        let state = self.lock();
        if let Life::Exited(exit) = state.life {
            records.push(self.exited_record(exit));
        }
        if state.removed {
            records.push(self.record("removing"));
        }
        records
    }

    pub(crate) fn made_record(&self) -> Record {
        let record = Record::new("process").number(self.id).number(self.started.0).word(&self.name);
        self.spec.write(record)
    }

    pub(crate) fn exited_record(&self, exit: Exit) -> Record {
        Record::new("exited").number(self.id).number(exit.code).number(exit.time.0)
    }

    /// A record that says no more of the process than this.
    pub(crate) fn record(&self, verb: &str) -> Record {
        Record::new(verb).number(self.id)
    }

    /// Gives the process its pipes and ring.
    pub(crate) fn set_output(&self, output: Output) {
        self.lock().output = output;
    }

    /// It runs, unless it has ended already.
    pub(crate) fn set_running(&self) {
        let mut state = self.lock();
        if state.life == Life::Starting {
            state.life = Life::Running;
        }
    }

    /// It has ended.
    pub(crate) fn set_exited(&self, exit: Exit) -> Next {
        let mut state = self.lock();
        state.life = Life::Exited(exit);
        state.next_after_exit()
    }

    /// What is to be done about it when a server has recovered it.
    pub(crate) fn resume(&self) -> Next {
        let mut state = self.lock();
        match state.life {
            Life::Starting | Life::Running => Next::Nothing,
            Life::Exited(_) => state.next_after_exit(),
        }
    }

    /// Its output is not wanted any more.
    pub(crate) fn remove(&self) -> Next {
        let mut state = self.lock();
        state.removed = true;
        state.output.discard();
        state.next()
    }

    /// Waiting for its descendants to let go of its pipes is over: what is in them now still
    /// counts, and what comes later does not.
    pub(crate) fn stop_lingering(&self, now: Time) {
        let mut state = self.lock();
        if let (Life::Exited(exit), None) = (state.life, state.closed) {
            for stream in [Stream::Out, Stream::Err] {
                while matches!(state.output.capture(stream, now), Filled::Bytes(_)) {}
            }
            state.close(exit);
        }
    }

    /// Takes what a pipe has. One that is known to be empty has ended.
    pub(crate) fn capture(&self, stream: Stream, is_empty: bool, now: Time) -> Filled {
        if is_empty { Filled::End } else { self.lock().output.capture(stream, now) }
    }

    /// Hands out a pipe that has ended, to be forgotten.
    pub(crate) fn take_pipe(&self, stream: Stream) -> Option<OwnedFd> {
        let mut state = self.lock();
        let pipe = state.output.take_pipe(stream);
        // The end of the last pipe is what the end of the process may have waited for.
        state.next();
        pipe
    }

    /// Bytes of output that were pushed out unread.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().output.lost()
    }

    /// Looks at the pipes.
    pub(crate) fn with_pipes<T>(&self, look: impl FnOnce(&Pipes) -> T) -> T {
        look(self.lock().output.pipes())
    }

    /// Adds a reader; `None` if the process's output is not recorded any more.
    pub(crate) fn attach(&self, waker: Arc<Waker>) -> Option<ReaderId> {
        let mut state = self.lock();
        (!state.removed).then(|| state.output.attach(waker))
    }

    /// Appends frames of papa 1.0 with what the reader was not sent yet.
    pub(crate) fn send(
        &self,
        reader: ReaderId,
        budget: u64,
        batch: &mut Vec<u8>,
    ) -> io::Result<Sent> {
        let mut state = self.lock();
        if state.removed {
            return Ok(Sent::Removed);
        }
        let output = &mut state.output;
        let mut sent = 0;
        while let Some(piece) = output.next_piece(reader, budget - sent) {
            let length = piece.length as usize;
            frame::output_header(batch, piece.stream, &self.name, piece.time, length);
            output.send(reader, piece, batch)?;
            batch.push(b'\n');
            sent += piece.length;
        }
        let is_told_all = output.is_caught_up(reader) && !output.was_sent_end(reader);
        if let (Life::Exited(exit), Some(time), true) = (state.life, state.closed, is_told_all) {
            state.output.send_end(reader);
            frame::closed(batch, &self.name, time, exit.code);
            return Ok(Sent::End);
        }
        Ok(if sent > 0 { Sent::Output(sent) } else { Sent::Nothing })
    }

    /// The reader took all that it was sent.
    pub(crate) fn acknowledge(&self, reader: ReaderId) -> io::Result<Next> {
        let mut state = self.lock();
        state.output.acknowledge(reader)?;
        Ok(state.next())
    }

    /// The reader is gone.
    pub(crate) fn detach(&self, reader: ReaderId) -> io::Result<Next> {
        let mut state = self.lock();
        state.output.detach(reader)?;
        Ok(state.next())
    }
}

impl State {
    /// Its end may be told. Output that came after the exit is not to look later than it.
    fn close(&mut self, exit: Exit) {
        self.closed = Some(exit.time.max(self.output.newest()));
        self.output.stop_keeping();
        self.output.wake_readers();
    }

    /// What follows from how things are now.
    fn next(&mut self) -> Next {
        let Life::Exited(exit) = self.life else {
            return Next::Nothing;
        };
        if self.closed.is_none() && self.output.pipes().all_ended() {
            self.close(exit);
        }
        let is_over = self.removed || self.output.is_end_acknowledged();
        if is_over { Next::Retire } else { Next::Nothing }
    }

    fn next_after_exit(&mut self) -> Next {
        match self.next() {
            Next::Nothing if self.closed.is_none() => Next::Linger,
            next => next,
        }
    }
}
