//! One hosted process, from the request for it until nobody needs to know of it any more.

mod held;
mod recorded;
mod replaced;
mod watched;

use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use papa_protocol::frame::{Stream, Time};

use super::ending::Ending;
use super::output::{Output, Pipes};
use super::since_boot;
use super::spec::Spec;
use super::stat;
use crate::link::Held;
use crate::ring::Filled;
use crate::sockets::GivenSocket;

pub(super) use recorded::{GIVEN, KEPT, SESSION_SEEN, SINCE_BOOT, read_given};
pub(crate) use watched::{Frames, NoReader, Sent};

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
    pub(crate) ending: Ending,
    /// When papad learned of it.
    pub(crate) time: Time,
}

/// What has to be done about a process after something happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Nothing,
    /// It has exited and its descendants hold its pipes: its end is told after a second.
    Linger,
    /// There is room again for output that its pipes were left to hold.
    Unstick,
    /// Nobody needs it any more: it leaves the list.
    Retire,
}

/// A process that papad hosts.
pub(crate) struct Process {
    /// Its number since papad first started.
    pub(crate) id: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) spec: Spec,
    pub(crate) started: Time,
    /// When it was going to be started, in nanoseconds since boot, on the clock that `/proc` tells
    /// starts by. Not set if its record was written by a version of papad that did not note it.
    pub(crate) since_boot: OnceLock<u64>,
    /// Set if its keeper is gone: when it was started, in clock ticks since boot. The keeper that
    /// there is now does not tell of it, and its pid may be another's before its end is recorded.
    pub(crate) orphaned: OnceLock<u64>,
    /// A time at which its session surely had its number still, in nanoseconds since boot: that of
    /// its end, or later. 0 if no such time is known.
    pub(crate) session_seen: AtomicU64,
    /// The sockets that it was given. Not set before it has them; empty if its record was written by
    /// a version of papad that did not note them.
    pub(crate) given: OnceLock<Vec<GivenSocket>>,
    /// 0 until it has one.
    pub(crate) pid: AtomicI32,
    /// Its number among all that were put on the list; 0 before.
    pub(crate) listing: AtomicU64,
    state: Mutex<State>,
}

/// How a process is at one moment.
pub(crate) struct Summary {
    pub(crate) life: Life,
    /// Its output is not recorded any more.
    pub(crate) removed: bool,
    /// The positions of the oldest byte kept and after the newest, and bytes pushed out unread.
    pub(crate) extent: (u64, u64, u64),
    pub(crate) readers: usize,
}

struct State {
    life: Life,
    output: Output,
    /// Bytes of output that its end still waits for, once its descendants have held its pipes for
    /// long enough: what was in them then.
    owed: Option<u64>,
    /// When all of its output had been taken, or waited for long enough: its end may be told.
    closed: Option<Time>,
    /// Its output is not wanted; it leaves the list when it exits.
    removed: bool,
    /// Another was to take its place and could not be started: it stays on the list until one has,
    /// or until it is removed.
    kept: bool,
}

impl Process {
    pub(crate) fn new(id: u64, name: Vec<u8>, spec: Spec, started: Time) -> Process {
        let process = Process::recovered(id, name, spec, started, 0, Life::Starting);
        process.since_boot.get_or_init(since_boot);
        process
    }

    pub(crate) fn recovered(
        id: u64,
        name: Vec<u8>,
        spec: Spec,
        started: Time,
        pid: i32,
        life: Life,
    ) -> Process {
        let output = Output::none();
        let state = State { life, output, owed: None, closed: None, removed: false, kept: false };
        let (pid, listing) = (AtomicI32::new(pid), AtomicU64::new(0));
        Process {
            id,
            name,
            spec,
            started,
            since_boot: OnceLock::new(),
            orphaned: OnceLock::new(),
            session_seen: AtomicU64::new(0),
            given: OnceLock::new(),
            pid,
            listing,
            state: Mutex::new(state),
        }
    }

    /// One that is off the list while its descendants write to its pipes.
    pub(crate) fn draining(id: u64, output: Output) -> Process {
        let exit = Exit { ending: Ending::Unknown, time: Time(0) };
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

    /// Whether a signal has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        stat::is_stopped(self.pid(), self.orphaned.get().copied())
    }

    pub(crate) fn life(&self) -> Life {
        self.lock().life
    }

    pub(crate) fn summary(&self) -> Summary {
        let state = self.lock();
        let State { life, removed, ref output, .. } = *state;
        Summary { life, removed, extent: output.extent(), readers: output.readers() }
    }

    /// Whether somebody reads it, or is waited for to read on.
    pub(crate) fn is_watched(&self) -> bool {
        let state = self.lock();
        state.output.readers() > 0 || state.output.is_waiting()
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
    pub(crate) fn stop_lingering(&self, now: Time, null: &File) {
        let mut state = self.lock();
        state.owed = Some(state.output.waiting());
        for stream in [Stream::Out, Stream::Err] {
            while state.owed.is_some_and(|owed| owed > 0) {
                let captured = state.output.capture(stream, now, null);
                state.pay(captured);
                if !matches!(captured, Filled::Bytes(_)) {
                    break;
                }
            }
        }
        state.pay(Filled::Bytes(0));
    }

    /// Takes what a pipe has. One that is known to be empty has ended.
    pub(crate) fn capture(&self, stream: Stream, is_empty: bool, now: Time, null: &File) -> Filled {
        if is_empty {
            return Filled::End;
        }
        let mut state = self.lock();
        let captured = state.output.capture(stream, now, null);
        state.pay(captured);
        captured
    }

    /// Hands out a pipe that has ended, to be forgotten.
    pub(crate) fn take_pipe(&self, stream: Stream) -> Option<OwnedFd> {
        let mut state = self.lock();
        let pipe = state.output.take_pipe(stream);
        // The end of the last pipe is what the end of the process may have waited for.
        state.close_if_complete();
        pipe
    }

    /// The positions of the oldest byte kept and after the newest, and bytes pushed out unread.
    pub(crate) fn extent(&self) -> (u64, u64, u64) {
        self.lock().output.extent()
    }

    /// Looks at the pipes.
    pub(crate) fn with_pipes<T>(&self, look: impl FnOnce(&Pipes) -> T) -> T {
        look(self.lock().output.pipes())
    }

    /// What the keeper holds of the process.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<(Held, OwnedFd)>> {
        let state = self.lock();
        let (pipes, ring) = (state.output.pipes(), state.output.ring());
        let held = [
            (Held::Ring(self.id), ring),
            (Held::Out(self.id), pipes.get(Stream::Out)),
            (Held::Err(self.id), pipes.get(Stream::Err)),
        ];
        let open = held.into_iter().filter_map(|(name, fd)| Some((name, fd?)));
        open.map(|(name, fd)| Ok((name, fd.try_clone_to_owned()?))).collect()
    }

    /// Looks at the pipes if one is to be left to fill. Room made meanwhile is made after this.
    pub(crate) fn if_stuck(&self, look: impl FnOnce(&Pipes)) {
        let state = self.lock();
        if state.output.is_stuck() {
            look(state.output.pipes());
        }
    }

    /// Whether pipes that were left to fill are to be read again.
    pub(crate) fn take_unstuck(&self) -> bool {
        self.lock().output.take_unstuck()
    }
}

impl State {
    /// Counts what was captured against what the end waits for, and tells the end when all is here.
    fn pay(&mut self, captured: Filled) {
        let Some(owed) = &mut self.owed else { return };
        if let Filled::Bytes(bytes) = captured {
            *owed = owed.saturating_sub(bytes);
        }
        if let (0, Life::Exited(exit), None) = (*owed, self.life, self.closed) {
            self.close(exit);
        }
    }

    /// Its end may be told. Output that came after the exit is not to look later than it.
    fn close(&mut self, exit: Exit) {
        self.closed = Some(exit.time.max(self.output.newest()));
        self.output.stop_keeping();
        self.output.wake_readers();
    }

    /// What follows from how things are now.
    fn next(&mut self) -> Next {
        if self.is_over() {
            Next::Retire
        } else if self.output.take_unstuck() {
            Next::Unstick
        } else {
            Next::Nothing
        }
    }

    fn next_after_exit(&mut self) -> Next {
        if self.is_over() {
            Next::Retire
        } else if self.closed.is_none() {
            Next::Linger
        } else {
            Next::Nothing
        }
    }

    /// Whether it has ended and nobody needs to know of it any more.
    fn is_over(&mut self) -> bool {
        self.close_if_complete();
        let has_exited = matches!(self.life, Life::Exited(_));
        has_exited && (self.removed || (!self.kept && self.output.is_done()))
    }

    /// Its end may be told once it has exited and its pipes have ended.
    fn close_if_complete(&mut self) {
        if let (Life::Exited(exit), None) = (self.life, self.closed)
            && self.output.pipes().all_ended()
        {
            self.close(exit);
        }
    }
}
