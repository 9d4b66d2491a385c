//! Writes lines to standard error without ever making the caller wait.
//!
//! A caller writes its line itself if standard error takes it at once. What is not taken stays in a
//! bounded queue, and a thread writes it when there is room. Where a write itself may wait, as on a
//! disk that hangs, the thread makes all writes. It alone waits then, and starts when it is needed.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::file::LogFile;
use super::queue::Queue;
use super::target::{Target, Written};

/// How long the last lines may take before this process ends or becomes another program.
const LAST_LINES: Duration = Duration::from_secs(1);

/// How long the thread waits if poll(2) reports room where there is none.
const PAUSE: Duration = Duration::from_millis(10);

/// The thread's stack, in bytes.
const STACK: usize = 128 * 1024;

struct State {
    queue: Queue,
    target: Option<Arc<Target>>,
    /// The file that standard error is, if `--log-file` names one.
    file: Option<Arc<LogFile>>,
    /// The thread has been started.
    has_thread: bool,
    /// The thread is to write what waits, and nobody else.
    is_threads: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    queue: Queue::new(),
    target: None,
    file: None,
    has_thread: false,
    is_threads: false,
});

/// Something changed between the thread and the others.
static CHANGED: Condvar = Condvar::new();

/// The descriptor that lines are written to, if it is not standard error itself.
static OWN_DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

/// Makes a line that reports how many were dropped.
pub(super) type Notice = fn(u64) -> Vec<u8>;

fn lock() -> MutexGuard<'static, State> {
    // A panic ends the whole process, so no thread ever sees a poisoned lock.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn target(&mut self) -> Option<Arc<Target>> {
        if self.target.is_none() {
            self.target = Target::open(self.file.as_ref()).map(Arc::new);
            let own = self.target.as_ref().and_then(|target| target.own_descriptor());
            OWN_DESCRIPTOR.store(own.unwrap_or(-1), Ordering::Relaxed);
        }
        self.target.clone()
    }

    /// Notes what became of an attempt to write what is next; false if there is no room.
    fn account(&mut self, written: &Written) -> bool {
        match written {
            Written::Some(bytes) => self.queue.wrote(*bytes),
            Written::Full => return false,
            Written::Failed => {
                self.queue.failed();
                // There may be a reader again later, whom only a new descriptor reaches.
                self.target = None;
            }
        }
        true
    }

    /// Writes what waits as far as that is possible at once; false if something is left.
    fn write_at_once(&mut self, notice: Notice) -> bool {
        loop {
            let target = self.target();
            let Some(next) = self.queue.next(notice) else { return true };
            let written = match target {
                Some(target) if target.never_waits() => target.write(next),
                Some(_) => return false,
                None => Written::Failed,
            };
            if !self.account(&written) {
                return false;
            }
        }
    }

    fn start_thread(&mut self, notice: Notice) {
        if !self.has_thread {
            let thread = thread::Builder::new().name("log".to_owned()).stack_size(STACK);
            // Without it, the next line is tried with those that wait.
            self.has_thread = thread.spawn(move || run(notice)).is_ok();
        }
    }

    /// Leaves the queue to the thread.
    fn leave_to_thread(&mut self, notice: Notice) {
        self.start_thread(notice);
        self.is_threads = self.has_thread;
        CHANGED.notify_all();
    }
}

/// Opens standard error, and starts the thread if every line will need it: later there may be no
/// room for it.
pub(super) fn open(notice: Notice) {
    let mut state = lock();
    if state.target().is_some_and(|target| !target.never_waits()) {
        state.start_thread(notice);
    }
}

/// Writes a line as soon as there is room for it.
pub(super) fn write(line: Vec<u8>, notice: Notice) {
    let mut state = lock();
    state.queue.push(line, notice);
    if !state.is_threads && !state.write_at_once(notice) {
        state.leave_to_thread(notice);
    }
}

/// The thread: it writes what is left to it.
fn run(notice: Notice) {
    let mut state = lock();
    loop {
        while !state.is_threads {
            state = CHANGED.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let target = state.target();
        let Some(next) = state.queue.next(notice).map(<[u8]>::to_vec) else {
            state.is_threads = false;
            CHANGED.notify_all();
            continue;
        };
        let Some(target) = target else {
            state.account(&Written::Failed);
            continue;
        };
        drop(state);
        let written = target.write(&next);
        if matches!(written, Written::Full) {
            target.wait_for_room(None);
            // For want of memory there is none though poll(2) reports room.
            thread::sleep(PAUSE);
        }
        state = lock();
        state.account(&written);
    }
}

/// Waits until all lines are written, but not for long: this process is about to end, or to become
/// another program, or standard error to become another file.
pub(super) fn flush(notice: Notice) {
    let until = Instant::now() + LAST_LINES;
    let mut state = lock();
    while !state.queue.is_empty() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        if state.is_threads {
            let waited = CHANGED.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        } else if !state.write_at_once(notice) {
            write_here(&mut state, until, notice);
        }
    }
}

/// Waits for room and writes what is next, where no thread could be started for that.
fn write_here(state: &mut State, until: Instant, notice: Notice) {
    if let Some(target) = state.target()
        && let Some(next) = state.queue.next(notice)
    {
        target.wait_for_room(Some(until));
        let written = target.write(next);
        state.account(&written);
    }
}

/// Looks again at what standard error is: another file has taken its place.
pub(super) fn reopen() {
    let mut state = lock();
    state.target = None;
    OWN_DESCRIPTOR.store(-1, Ordering::Relaxed);
}

/// Whether standard error is a log file of papad's own.
pub(super) fn has_file() -> bool {
    lock().file.is_some()
}

/// As [`reopen`]: standard error is this file now.
pub(super) fn reopen_as(file: LogFile) {
    lock().file = Some(Arc::new(file));
    reopen();
}

/// Whether lines are written to this descriptor.
#[cfg(feature = "faults")]
pub(super) fn is_own_descriptor(fd: i32) -> bool {
    OWN_DESCRIPTOR.load(Ordering::Relaxed) == fd
}
