//! Descriptors that stand for processes (`pidfd_open(2)`), and what they tell of an end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// A descriptor that stands for a process, whoever has its pid later.
pub(crate) fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = Errno::result(result)? as i32;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// What a pidfd tells of how its process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It was reaped, and this is its status, in the form of wait(2).
    Status(i32),
    /// It is not reaped yet. Its pidfd hangs up (EPOLLHUP) when it is.
    NotYet,
    /// This pidfd will never tell: the kernel is older than Linux 6.15, or the process was reaped
    /// before anybody had a pidfd of it.
    Never,
}

/// `struct pidfd_info` of `linux/pidfd.h`, in its first version: 64 bytes.
#[repr(C)]
struct PidfdInfo {
    /// What is asked for; then what is told.
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and four pairs of user and group.
    ids: [u32; 11],
    exit_code: i32,
}

/// Asks how a process has ended. Before Linux 6.15 nobody but its parent is told, and before 6.13
/// a process that runs is answered for with `Never`, too: ask when the pidfd is readable.
pub(crate) fn told_of_end(pidfd: BorrowedFd) -> Told {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<PidfdInfo>(0xff, 11);
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, cgroup: 0, ids: [0; 11], exit_code: 0 };
    // SAFETY: the request's number names the size of `info`, which is valid for reads and writes
    // of that many bytes, and the kernel keeps no pointer to it. All bytes are valid in its fields.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    match result {
        0 if info.mask & PIDFD_INFO_EXIT != 0 => Told::Status(info.exit_code),
        0 => Told::NotYet,
        _ => Told::Never,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::{Child, Command};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    fn run(line: &str) -> (Child, OwnedFd) {
        let child = Command::new("/bin/sh").arg("-c").arg(line).spawn().unwrap();
        let pidfd = pidfd(child.id() as i32).unwrap();
        (child, pidfd)
    }

    fn wait_for_end(pidfd: &OwnedFd) {
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::NONE), Ok(1));
    }

    /// Whether this kernel tells at all (Linux 6.15).
    fn kernel_tells() -> bool {
        let (mut child, pidfd) = run("exit 0");
        child.wait().unwrap();
        told_of_end(pidfd.as_fd()) != Told::Never
    }

    #[test]
    fn a_pidfd_tells_the_status_once_the_process_is_reaped() {
        if !kernel_tells() {
            return;
        }
        for (line, status) in [("exit 0", 0), ("exit 3", 3 << 8), ("kill -KILL $$", 9)] {
            let (mut child, pidfd) = run(line);
            wait_for_end(&pidfd);
            assert_eq!(told_of_end(pidfd.as_fd()), Told::NotYet, "{line}");
            child.wait().unwrap();
            assert_eq!(told_of_end(pidfd.as_fd()), Told::Status(status), "{line}");
        }
    }

    #[test]
    fn what_is_no_pidfd_never_tells() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(told_of_end(file.as_fd()), Told::Never);
    }
}
