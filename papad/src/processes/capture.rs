//! The thread that moves output: it waits for all pipes of all processes at once, and for the
//! time when descendants have held a pipe for long enough. While nothing happens it sleeps.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use papa_protocol::frame::Stream;

use super::now;
use super::process::Process;
use super::unpinned::LOOK_AGAIN;
use super::waker::Waker;
use crate::gate::{Gate, Parcel};
use crate::ring::Filled;
use crate::{limit, log, memory};

/// Events taken at once.
const EVENTS: usize = 64;

/// What the waker's event is marked with, and that of all orphans; a pipe's is marked with its
/// process and stream.
const WAKE: u64 = u64::MAX;
const ORPHANS: u64 = u64::MAX - 1;

/// What the gate's event is marked with.
const GATE: u64 = u64::MAX - 2;

/// How long takers may take to come back when the server was killed. Until then, and until they
/// are all there, nothing that they might not have is dropped.
const GRACE: Duration = Duration::from_secs(10);

/// How long a process may take to start before it is told to go on.
const SLOW_START: Duration = Duration::from_secs(1);

/// All pipes, and whom they belong to.
pub(crate) struct Capture {
    epoll: Epoll,
    waker: Arc<Waker>,
    gate: Arc<Gate>,
    /// Where what is not kept goes. Open from the start: later there may be no descriptor left.
    null: File,
    state: Mutex<State>,
}

/// Processes by the time when there is something to do, and their numbers.
type Timed = BTreeMap<(Instant, u64), Arc<Process>>;

#[derive(Default)]
struct State {
    processes: HashMap<u64, Arc<Process>>,
    lingering: Timed,
    starting: Timed,
    /// Until when takers are waited for.
    grace: Option<Instant>,
    /// When orphans that nothing tells of are looked at.
    look: Option<Instant>,
}

/// Room in memory for output.
pub(crate) trait Room {
    /// Whether there is some for this process. If not, it waits until there is.
    fn is_there_for(&self, process: &Arc<Process>) -> bool;
    /// Makes some, if there is less than none after output was taken.
    fn make(&self);
    /// Has those go on that wait for some, if there is some now.
    fn use_it(&self);
}

/// What the thread leaves to others to do.
pub(crate) trait Events: Room {
    /// These pipes have ended and are read no more.
    fn pipes_ended(&self, pipes: &[(Arc<Process>, Stream)]);
    /// Some process that the keeper does not tell of may have ended.
    fn look_at_orphans(&self) -> io::Result<()>;
    /// Some process that nothing tells of may have ended. Returns whether to look again later.
    fn look_at_unpinned(&self) -> bool;
    /// Takers that have not come back are waited for no more.
    fn grace_is_over(&self);
    /// Has a process go on that is being started still; false if it is not.
    fn nudge(&self, process: &Process) -> bool;
}

impl Capture {
    pub(crate) fn new(gate: Arc<Gate>) -> io::Result<Capture> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let waker = Arc::new(Waker::new()?);
        epoll.add(&*waker, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        epoll.add(&*gate, EpollEvent::new(EpollFlags::EPOLLIN, GATE))?;
        let null = File::options().write(true).open("/dev/null")?;
        Ok(Capture { epoll, waker, gate, null, state: Mutex::default() })
    }

    /// Wakes the thread.
    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to read the process's pipes.
    pub(crate) fn watch(&self, process: &Arc<Process>) -> io::Result<()> {
        process.with_pipes(|pipes| {
            if !pipes.all_ended() {
                self.lock().processes.insert(process.id, Arc::clone(process));
            }
            for stream in [Stream::Out, Stream::Err] {
                if let Some(pipe) = pipes.get(stream) {
                    let mark = process.id << 1 | u64::from(stream == Stream::Err);
                    let event = EpollEvent::new(EpollFlags::EPOLLIN, mark);
                    match limit::patiently(|| Ok(self.epoll.add(pipe, event)?)) {
                        // The other one was left to fill, and not this.
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        added => added?,
                    }
                }
            }
            Ok(())
        })
    }

    /// Reads the pipes of this process no more: it has not come to run.
    pub(crate) fn abandon(&self, process: &Process) {
        process.with_pipes(|pipes| {
            for pipe in [Stream::Out, Stream::Err].into_iter().filter_map(|of| pipes.get(of)) {
                // It may not have come to be read.
                let _ = self.epoll.delete(pipe);
            }
        });
        self.lock().processes.remove(&process.id);
    }

    /// All processes whose pipes are read.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        self.lock().processes.values().map(Arc::clone).collect()
    }

    /// Leaves a pipe to fill until there is room in the ring again, and `watch` is called.
    fn leave(&self, process: &Process, stream: Stream) {
        process.if_stuck(|pipes| {
            if let Some(pipe) = pipes.get(stream)
                && let Err(errno) = self.epoll.delete(pipe)
            {
                log::error!("server", "a pipe cannot be left to fill: {errno}");
            }
        });
    }

    /// Ends the wait for the process's output as long after now as it is to linger.
    pub(crate) fn linger(&self, process: &Arc<Process>) {
        let until = Instant::now() + Duration::from_millis(process.spec.linger_ms);
        self.lock().lingering.insert((until, process.id), Arc::clone(process));
        self.waker.wake();
    }

    /// Has a process go on that is still being started after a while, again and again. A user may
    /// send it signals from when it is theirs, and could otherwise, by a stop just before it calls
    /// exec, hold up whoever makes it and every compaction.
    pub(crate) fn see_to_start(&self, process: &Arc<Process>) {
        let until = Instant::now() + SLOW_START;
        self.lock().starting.insert((until, process.id), Arc::clone(process));
        self.waker.wake();
    }

    /// Looks at orphans whenever this is readable.
    pub(crate) fn wait_for(&self, orphans: BorrowedFd) -> io::Result<()> {
        Ok(self.epoll.add(orphans, EpollEvent::new(EpollFlags::EPOLLIN, ORPHANS))?)
    }

    /// Looks at orphans that nothing tells of, in a while.
    pub(super) fn look_again(&self) {
        self.lock().look = Some(Instant::now() + LOOK_AGAIN);
        self.waker.wake();
    }

    /// Begins to wait for takers that another server had.
    pub(crate) fn wait_for_takers(&self) {
        self.lock().grace = Some(Instant::now() + GRACE);
        self.waker.wake();
    }

    /// Captures for as long as papad lives.
    pub(crate) fn run(&self, events: &impl Events) -> io::Result<()> {
        let mut ready = vec![EpollEvent::empty(); EVENTS];
        // What was recovered may be more than there may be now.
        events.make();
        loop {
            memory::give_back_if_due();
            let count = match self.epoll.wait(&mut ready, self.time_left()) {
                Err(Errno::EINTR) => 0,
                result => result?,
            };
            self.gate.stop(Parcel::default);
            let mut ended = Vec::new();
            for event in &ready[..count] {
                match event.data() {
                    WAKE => {
                        self.waker.rearm();
                        events.use_it();
                    }
                    GATE => {}
                    ORPHANS => events.look_at_orphans()?,
                    // An ended pipe that has nothing left is not readable.
                    mark => {
                        let is_empty = !event.events().contains(EpollFlags::EPOLLIN);
                        self.capture(mark, is_empty, events, &mut ended);
                    }
                }
            }
            if !ended.is_empty() {
                events.pipes_ended(&ended);
            }
            for process in self.due(|state| &mut state.lingering) {
                process.stop_lingering(now(), &self.null);
                events.make();
            }
            for process in self.due(|state| &mut state.starting) {
                if events.nudge(&process) {
                    self.see_to_start(&process);
                }
            }
            if self.take_look() && events.look_at_unpinned() {
                self.look_again();
            }
            if self.take_grace() {
                events.grace_is_over();
            }
        }
    }

    /// Takes what the marked pipe has, and sees to its end.
    fn capture(
        &self,
        mark: u64,
        is_empty: bool,
        events: &impl Events,
        ended: &mut Vec<(Arc<Process>, Stream)>,
    ) {
        let stream = if mark & 1 == 0 { Stream::Out } else { Stream::Err };
        let Some(process) = self.lock().processes.get(&(mark >> 1)).map(Arc::clone) else { return };
        if !is_empty && !events.is_there_for(&process) {
            return self.leave(&process, stream);
        }
        let pipe = match process.capture(stream, is_empty, now(), &self.null) {
            Filled::Bytes(_) => return events.make(),
            Filled::Nothing => return,
            Filled::Full => return self.leave(&process, stream),
            Filled::End => process.take_pipe(stream),
        };
        if let Some(pipe) = pipe {
            self.forget(&process, &pipe);
            ended.push((process, stream));
        }
    }

    fn forget(&self, process: &Process, pipe: &OwnedFd) {
        // The keeper holds the same open file, so closing this descriptor would not be enough.
        if let Err(errno) = self.epoll.delete(pipe.as_fd()) {
            log::error!("server", "a pipe cannot be forgotten: {errno}");
        }
        if process.with_pipes(super::output::Pipes::all_ended) {
            self.lock().processes.remove(&process.id);
        }
    }

    fn time_left(&self) -> EpollTimeout {
        let state = self.lock();
        let first = |of: &Timed| of.first_key_value().map(|((until, _), _)| *until);
        let times = [first(&state.lingering), first(&state.starting), state.grace, state.look];
        let Some(until) = times.into_iter().flatten().min() else {
            return EpollTimeout::NONE;
        };
        // A millisecond more, so that the time is up when epoll says so.
        let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    /// Whether it is time to look at orphans that nothing tells of.
    fn take_look(&self) -> bool {
        self.lock().look.take_if(|time| Instant::now() >= *time).is_some()
    }

    /// Whether takers have been waited for until now.
    fn take_grace(&self) -> bool {
        self.lock().grace.take_if(|until| Instant::now() >= *until).is_some()
    }

    /// The processes of these whose time is up.
    fn due(&self, of: impl FnOnce(&mut State) -> &mut Timed) -> Vec<Arc<Process>> {
        let mut state = self.lock();
        let timed = of(&mut state);
        let later = timed.split_off(&(Instant::now(), u64::MAX));
        std::mem::replace(timed, later).into_values().collect()
    }
}
