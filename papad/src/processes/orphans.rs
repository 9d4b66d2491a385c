//! Processes whose keeper is gone. They are children of init, or of another reaper: the keeper
//! that there is now is not told how they end, and their pidfds are what tells it.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use papa_protocol::frame::Time;

use super::ending::Ending;
use super::process::Process;
use super::stat::{self, Stat, stat};
use super::{now, since_boot};
use crate::limit;
use crate::sys::{self, Told};

/// Ends that are looked at at once.
const EVENTS: usize = 64;

/// The longest time from the record of a process to its clone, in nanoseconds. What was started
/// later is another that has its pid.
const MAKING: u64 = 10_000_000_000;

/// How far off the wall clock may be where it stands in for the clock since boot, in nanoseconds.
const CLOCKS_APART: u64 = 10_000_000_000;

/// When a process was started, as far as its record tells: times since boot in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Started {
    /// Not before this, and soon after it.
    After(u64),
    /// About then: its record was written by a version of papad that noted the wall clock alone.
    About(u64),
}

impl Started {
    pub(super) fn of(process: &Process) -> Started {
        match process.since_boot.get() {
            Some(&time) => Started::After(time),
            None => Started::about(process.started),
        }
    }

    fn about(time: Time) -> Started {
        let age = now().0.saturating_sub(time.0);
        Started::About(since_boot().saturating_sub(age))
    }

    /// Whether a process that was started in this tick of the clock may be the one.
    fn fits(self, ticks: u64) -> bool {
        let tick = stat::tick();
        let begin = ticks.saturating_mul(tick);
        match self {
            Started::After(time) => begin + tick > time && begin <= time.saturating_add(MAKING),
            Started::About(time) => begin.abs_diff(time) <= CLOCKS_APART,
        }
    }
}

/// What has a process's pid.
#[derive(Debug)]
pub(super) enum Found {
    /// The process, and the keeper will tell how it ends.
    Child,
    /// The process, and the keeper will not.
    Orphan(Parentless),
    /// Something else, or nothing. The process has ended, and nobody can tell how.
    Other,
}

/// A process by its pidfd.
#[derive(Debug)]
pub(super) struct Parentless {
    pub(super) pidfd: OwnedFd,
    /// In clock ticks since boot, as in `/proc/PID/stat`.
    pub(super) started: u64,
}

/// Looks at what has a process's pid.
///
/// # Errors
/// Descriptors or memory do not suffice to find out.
pub(super) fn find(pid: i32, started: Started, keeper: i32) -> io::Result<Found> {
    // Before the look: what is seen then is what the pidfd stands for, or started later.
    let pidfd = match sys::pidfd(pid) {
        Ok(pidfd) => sys::keep(pidfd),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => return Err(error),
            // Nobody has it, or a thread.
            _ => return Ok(Found::Other),
        },
    };
    Ok(match (stat(pid)?, started) {
        // The keeper's children are hosted processes, whatever the wall clock says.
        (Some(Stat { parent, .. }), Started::About(_)) if parent == keeper => Found::Child,
        (Some(stat), _) if started.fits(stat.started) => {
            if stat.parent == keeper {
                Found::Child
            } else {
                Found::Orphan(Parentless { pidfd, started: stat.started })
            }
        }
        // What cannot be looked at is not taken for ours: it might be sent signals.
        _ => Found::Other,
    })
}

/// An orphan by the pidfd that the keeper held. Whoever has reaped it since, it tells.
pub(super) fn of_held(pidfd: OwnedFd, pid: i32, started: Started) -> Parentless {
    // One that was reaped is told of by its pidfd alone, and does not need it.
    let seen =
        stat(pid).ok().flatten().map(|stat| stat.started).filter(|&ticks| started.fits(ticks));
    Parentless { pidfd, started: seen.unwrap_or_default() }
}

/// All orphans that run.
pub(super) struct Orphans {
    epoll: Epoll,
    all: Mutex<HashMap<u64, Orphan>>,
}

struct Orphan {
    process: Arc<Process>,
    handle: Parentless,
}

impl Orphans {
    pub(super) fn new() -> io::Result<Orphans> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Orphans { epoll, all: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Orphan>> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to wait for the end of a process.
    pub(super) fn add(&self, process: Arc<Process>, handle: Parentless) -> io::Result<()> {
        process.orphaned.get_or_init(|| handle.started);
        // What was known by the wall clock alone is known for good.
        process.since_boot.get_or_init(|| handle.started.saturating_mul(stat::tick()));
        let mut all = self.lock();
        // Edge-triggered: it is readable from its end on, which is told once, and once more when
        // it is reaped.
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, process.id);
        self.epoll.add(&handle.pidfd, event)?;
        all.insert(process.id, Orphan { process, handle });
        Ok(())
    }

    /// A duplicate of an orphan's pidfd; `None` if it has ended.
    pub(super) fn pidfd(&self, process: &Process) -> io::Result<Option<OwnedFd>> {
        let all = self.lock();
        all.get(&process.id).map(|orphan| orphan.handle.pidfd.try_clone()).transpose()
    }

    /// Those that have ended since the last call. They are orphans no more.
    pub(super) fn take_ended(&self) -> io::Result<Vec<(Arc<Process>, Ending)>> {
        let mut ready = [EpollEvent::empty(); EVENTS];
        let count = match self.epoll.wait(&mut ready, EpollTimeout::ZERO) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        let mut all = self.lock();
        let mut ended = Vec::new();
        for event in &ready[..count] {
            let id = event.data();
            if let Some(ending) = all.get(&id).and_then(Orphan::ending)
                && let Some(Orphan { process, .. }) = all.remove(&id)
            {
                ended.push((process, ending));
            }
        }
        Ok(ended)
    }
}

/// Readable when some orphan may have ended.
impl AsFd for Orphans {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

impl Orphan {
    fn ending(&self) -> Option<Ending> {
        self.handle.ending(self.process.pid())
    }
}

impl Parentless {
    /// Whether this is the orphan that the process is known to be, if it is known.
    pub(super) fn is(&self, process: &Process) -> bool {
        *process.orphaned.get_or_init(|| self.started) == self.started
    }

    /// How it ended; `None` if it has not, or that will be told when it is reaped.
    pub(super) fn ending_if_ended(&self, pid: i32) -> Option<Ending> {
        let has_ended = limit::is_readable_within(&self.pidfd, Duration::ZERO);
        if has_ended.unwrap_or(false) { self.ending(pid) } else { None }
    }

    /// How it ended, now that it has; `None` if that will be told when it is reaped.
    fn ending(&self, pid: i32) -> Option<Ending> {
        let told = |told| match told {
            Told::Status(status) => Some(Ending::of_wait_status(status)),
            Told::NotYet => None,
            Told::Never => Some(Ending::Unknown),
        };
        told(sys::told_of_end(self.pidfd.as_fd())).or_else(|| {
            // Its reaper may take its time, or never reap at all.
            let seen = stat::status_of_zombie(pid, self.started);
            // If it was reaped during the look, it may have been another that was seen.
            told(sys::told_of_end(self.pidfd.as_fd())).or_else(|| seen.map(Ending::of_wait_status))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, ChildStdin, Command, Stdio};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::{Signal, kill};
    use nix::unistd::{Pid, getpid};

    use super::super::spec::Spec;
    use super::*;
    use crate::processes::Life;

    const RUNNING: Life = Life::Running;
    /// A second, in nanoseconds.
    const SECOND: u64 = 1_000_000_000;

    fn run(line: &str) -> Child {
        Command::new("/bin/sh")
            .args(["-c", line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// A process that is nobody's child, by its pid, and what it reads.
    fn orphan(line: &str) -> (i32, ChildStdin) {
        // Asynchronous lists read /dev/null (sh), unless they are told otherwise.
        let mut shell = run(&format!("exec 3<&0; /bin/sh -c '{line}' <&3 >/dev/null & echo $!"));
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let input = shell.stdin.take().unwrap();
        shell.wait().unwrap();
        (pid.trim().parse().unwrap(), input)
    }

    /// Whether this kernel tells how a process ends that is nobody's child (Linux 6.15).
    fn kernel_tells() -> bool {
        let mut child = run("exit 0");
        let pidfd = sys::pidfd(child.id() as i32).unwrap();
        child.wait().unwrap();
        sys::told_of_end(pidfd.as_fd()) != Told::Never
    }

    fn watch(orphans: &Orphans, pid: i32) -> Arc<Process> {
        let process = Process::recovered(7, b"a".to_vec(), Spec::default(), now(), pid, RUNNING);
        let process = Arc::new(process);
        let Found::Orphan(handle) = find(pid, Started::about(now()), 0).unwrap() else { panic!() };
        orphans.add(Arc::clone(&process), handle).unwrap();
        process
    }

    fn wait_for_end(orphans: &Orphans) -> Ending {
        loop {
            let mut fds = [PollFd::new(orphans.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::NONE), Ok(1));
            if let Some((process, ending)) = orphans.take_ended().unwrap().pop() {
                assert_eq!(process.id, 7);
                return ending;
            }
        }
    }

    #[test]
    fn a_process_is_found_by_its_start_and_is_an_orphan_unless_the_keeper_is_its_parent() {
        let before = since_boot();
        let mut child = run("read line");
        let (pid, keeper) = (child.id() as i32, getpid().as_raw());
        let started = Started::After(before);
        assert!(matches!(find(pid, started, keeper).unwrap(), Found::Child));
        assert!(matches!(find(pid, started, keeper + 1).unwrap(), Found::Orphan(_)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(find(pid, started, keeper).unwrap(), Found::Other));
    }

    #[test]
    fn what_was_started_at_another_time_is_another_process() {
        let before = since_boot();
        let mut child = run("read line");
        let after = since_boot();
        let (pid, keeper) = (child.id() as i32, getpid().as_raw());
        for other in [after + SECOND, before - MAKING - SECOND] {
            let found = find(pid, Started::After(other), keeper).unwrap();
            assert!(matches!(found, Found::Other), "{other} {before} {after}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn without_a_recorded_start_the_wall_clock_counts_for_orphans_alone() {
        let before = now();
        let mut child = run("read line");
        let (pid, keeper) = (child.id() as i32, getpid().as_raw());
        let long_ago = Started::about(Time(before.0 - CLOCKS_APART - SECOND));
        assert!(matches!(find(pid, long_ago, keeper).unwrap(), Found::Child));
        assert!(matches!(find(pid, long_ago, keeper + 1).unwrap(), Found::Other));
        let just_now = Started::about(now());
        assert!(matches!(find(pid, just_now, keeper + 1).unwrap(), Found::Orphan(_)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn an_orphan_tells_how_it_ends() {
        for (line, ending) in [("read l; exit 3", Ending::Exited(3)), ("read l", Ending::Exited(1))]
        {
            let orphans = Orphans::new().unwrap();
            let (pid, input) = orphan(line);
            let process = watch(&orphans, pid);
            assert!(orphans.take_ended().unwrap().is_empty(), "it runs");
            assert!(orphans.pidfd(&process).unwrap().is_some());
            drop(input);
            assert_eq!(wait_for_end(&orphans), ending, "{line}");
            assert!(orphans.pidfd(&process).unwrap().is_none());
        }
    }

    #[test]
    fn a_signal_that_ends_an_orphan_is_told() {
        let orphans = Orphans::new().unwrap();
        let (pid, _input) = orphan("read l");
        watch(&orphans, pid);
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        assert_eq!(wait_for_end(&orphans), Ending::Signaled(9));
    }

    #[test]
    fn one_that_is_not_reaped_and_not_to_be_looked_at_is_left_alone_until_it_is_reaped() {
        let orphans = Orphans::new().unwrap();
        if !kernel_tells() {
            return;
        }
        let mut child = run("exit 3");
        let pid = child.id() as i32;
        let process = Process::recovered(7, b"a".to_vec(), Spec::default(), now(), pid, RUNNING);
        let pidfd = sys::pidfd(pid).unwrap();
        // By this start, the zombie is another process.
        orphans.add(Arc::new(process), Parentless { pidfd, started: 0 }).unwrap();
        let is_readable = |timeout: PollTimeout| {
            let mut fds = [PollFd::new(orphans.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, timeout) == Ok(1)
        };
        assert!(is_readable(PollTimeout::NONE), "it has ended");
        assert!(orphans.take_ended().unwrap().is_empty());
        assert!(!is_readable(PollTimeout::ZERO), "nothing happens until it is reaped");
        child.wait().unwrap();
        assert_eq!(wait_for_end(&orphans), Ending::Exited(3));
    }

    #[test]
    fn an_orphan_whose_status_was_taken_tells_by_its_pidfd_or_is_unknown() {
        let orphans = Orphans::new().unwrap();
        let mut child = run("read l; exit 3");
        watch(&orphans, child.id() as i32);
        // This closes its input.
        child.wait().unwrap();
        let expected = if kernel_tells() { Ending::Exited(3) } else { Ending::Unknown };
        assert_eq!(wait_for_end(&orphans), expected);
    }
}
