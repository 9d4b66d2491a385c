//! Every unsafe line and raw system call.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::deadline::Deadline;

/// The most descriptors that papad sends at a time.
const MAX_DESCRIPTORS: usize = 1;

/// A descriptor that stands for a process, whoever has its pid later: see `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let number = Errno::result(result)? as i32;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Sends a signal; 0 only asks whether it could be sent. See `pidfd_send_signal(2)`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    pidfd_send(pidfd, signal, 0)
}

/// The same for all of the process group that the process leads.
///
/// # Errors
/// `EINVAL` before Linux 6.9.
pub(crate) fn pidfd_send_signal_to_group(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
    pidfd_send(pidfd, signal, PIDFD_SIGNAL_PROCESS_GROUP)
}

fn pidfd_send(pidfd: BorrowedFd<'_>, signal: i32, flags: libc::c_uint) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed, and then nothing else is read from memory.
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, flags)
    };
    Errno::result(result)?;
    Ok(())
}

/// Sends a signal to a process group: see `killpg(3)`.
pub(crate) fn kill_group(group: i32, signal: i32) -> io::Result<()> {
    // SAFETY: killpg takes two numbers and touches no memory.
    let result = unsafe { libc::killpg(group, signal) };
    Errno::result(result)?;
    Ok(())
}

/// `struct pidfd_info` of `linux/pidfd.h`, in its first version.
#[repr(C)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid, and four pairs of user and group.
    ids: [u32; 11],
    exit_code: i32,
}

/// How a process ended, if it is reaped and the kernel tells: since Linux 6.15, to whoever has had
/// its pidfd before.
pub(crate) fn pidfd_exit_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    const PIDFD_INFO_EXIT: u64 = 1 << 3;
    const PIDFD_GET_INFO: libc::Ioctl = libc::_IOWR::<PidfdInfo>(0xff, 11);
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, cgroup: 0, ids: [0; 11], exit_code: 0 };
    // SAFETY: `info` is valid for reads and writes of the size that the request's number names.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| ExitStatus::from_raw(info.exit_code))
}

/// Reads what there is, and descriptors that came with it.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut impl Extend<OwnedFd>,
) -> io::Result<usize> {
    let mut space = cmsg_space!([std::os::fd::RawFd; MAX_DESCRIPTORS]);
    let mut buffers = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut space), flags)?;
    if let Ok(controls) = message.cmsgs() {
        for control in controls {
            if let ControlMessageOwned::ScmRights(numbers) = control {
                // SAFETY: the kernel has just made these descriptors for this process alone.
                let own = |number| unsafe { OwnedFd::from_raw_fd(number) };
                descriptors.extend(numbers.into_iter().map(own));
            }
        }
    }
    Ok(message.bytes)
}

/// Waits until something can be read, or a pidfd's process has ended. False when the deadline
/// passed first.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Deadline) -> io::Result<bool> {
    loop {
        // Rounded up: waking a moment early would only mean to ask again.
        let timeout = deadline.left().map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Ok(0) if deadline.has_passed() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Has the runtime wait for a descriptor to become readable. There must be a runtime.
#[cfg(feature = "tokio")]
pub(crate) fn register(descriptor: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    // SAFETY: an OwnedFd is one open descriptor until it is dropped, and the AsyncFd owns it.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(registered?)
}
