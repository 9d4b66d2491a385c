//! Children, signals and forking.

use std::io;
use std::mem::MaybeUninit;

use nix::errno::Errno;
use nix::unistd::Pid;

/// A child that has ended and is not reaped yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) pid: Pid,
    /// The exit status, or minus the number of the signal that ended it. Real-time signals too,
    /// which is why this is not `nix`'s type.
    pub(crate) code: i32,
}

/// Which children to wait for.
fn wait(kind: libc::idtype_t, pid: Pid, flags: i32) -> io::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is valid for writes of a siginfo_t, and waitid keeps no pointer to it.
        let result = unsafe { libc::waitid(kind, pid.as_raw() as u32, info.as_mut_ptr(), flags) };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
    // SAFETY: all-zero bytes are a valid siginfo_t, and waitid wrote nothing else than one.
    let info = unsafe { info.assume_init() };
    // SAFETY: waitid fills the SIGCHLD fields; where it found no child they are the zeros above.
    let pid = unsafe { info.si_pid() };
    // SAFETY: as for the pid.
    let status = unsafe { info.si_status() };
    if pid == 0 {
        return Ok(None);
    }
    let code = if info.si_code == libc::CLD_EXITED { status } else { -status };
    Ok(Some(Ended { pid: Pid::from_raw(pid), code }))
}

/// Any child that has ended, left unreaped (`WNOWAIT`): its pid cannot be used again meanwhile.
pub(crate) fn look_at_ended() -> io::Result<Option<Ended>> {
    wait(libc::P_ALL, Pid::from_raw(0), libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// This child if it has ended, left unreaped. `None` also if it is no child.
pub(crate) fn look_at_child(pid: Pid) -> io::Result<Option<Ended>> {
    wait(libc::P_PID, pid, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
}

/// Reaps this child if it has ended.
pub(crate) fn reap(pid: Pid) -> io::Result<Option<Ended>> {
    wait(libc::P_PID, pid, libc::WEXITED | libc::WNOHANG)
}

/// Waits until this child ends, and reaps it; `None` if it is no child.
pub(crate) fn reap_at_end(pid: Pid) -> io::Result<Option<Ended>> {
    wait(libc::P_PID, pid, libc::WEXITED)
}

/// Ignores a signal.
pub(crate) fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN runs no code of ours, so no handler can meet broken state.
    let before = unsafe { libc::signal(signal, libc::SIG_IGN) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives a signal its default disposition: exec(3) leaves one ignored that was ignored before.
pub(crate) fn heed(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_DFL runs no code of ours, so no handler can meet broken state.
    let before = unsafe { libc::signal(signal, libc::SIG_DFL) };
    if before == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The signals that this process ignores, by its own choice or inherited: exec(3) would pass
/// them on to a child as ignored.
pub(crate) fn ignored_signals() -> Vec<i32> {
    // By the system call itself: glibc hides the signals that it uses.
    let is_ignored = |&signal: &i32| {
        let mut action = [0_usize; 4];
        let size = size_of::<u64>();
        // SAFETY: a null new action only asks; `action` is as large as a kernel_sigaction, whose
        // first word is the handler, and valid for writes.
        let result = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                std::ptr::null::<usize>(),
                action.as_mut_ptr(),
                size,
            )
        };
        result == 0 && action[0] == libc::SIG_IGN
    };
    (1..=64).filter(is_ignored).collect()
}

/// Removes variables from the environment. Only for a process of which no other thread reads it.
pub(crate) fn forget_variables(names: &[&str]) {
    for name in names {
        // SAFETY: only the keeper calls this. The one other thread that it may have is the log's,
        // which does not read the environment.
        unsafe { std::env::remove_var(name) };
    }
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    Parent,
    Child,
}

/// Makes a copy of this process. Only for a process that has a single thread.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: papad forks only in `daemonize`, before it has started any thread, so no lock can
    // be held by a thread that the child does not have.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Parent { .. } => Ok(Fork::Parent),
        nix::unistd::ForkResult::Child => Ok(Fork::Child),
    }
}
