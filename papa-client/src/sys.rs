//! Every unsafe line and raw system call.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::deadline::Deadline;

/// The most descriptors that the kernel lets a message have (`SCM_MAX_FD`): whatever is sent, there
/// is room for it.
const MAX_DESCRIPTORS: usize = 253;

/// A descriptor that was sent to this process: an error if the kernel could not install it.
pub(crate) type Received = Result<OwnedFd, Errno>;

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

/// Reads what there is, and takes the descriptors that came with it. Where the kernel could not
/// install all of a message's, an error stands for the others: this process has as many as it may
/// have, or the system has.
///
/// `nix` gives up on such a message before those that were installed are owned, so it is read here.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    descriptors: &mut impl Extend<Received>,
) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    // SAFETY: all-zero bytes are a valid msghdr: null pointers and no lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.capacity();
    let length = loop {
        let flags = libc::MSG_CMSG_CLOEXEC | libc::MSG_DONTWAIT;
        // SAFETY: the header's pointers are to `buffer` and `control`, which live through the call
        // and are as long as it says.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match Errno::result(length) {
            Err(Errno::EINTR) => {}
            other => break other? as usize,
        }
    };
    descriptors.extend(descriptors_of(&header).into_iter().map(Ok));
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        descriptors.extend([Err(Errno::EMFILE)]);
    }
    Ok(length)
}

/// Owns the descriptors that came with a message that was just received.
fn descriptors_of(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the control buffer, and set its length in the header.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a pointer to a header within the buffer.
    while let Some(part) = unsafe { next.as_ref() } {
        if (part.cmsg_level, part.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: CMSG_LEN only computes with its argument.
            let bytes = part.cmsg_len - unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data of a header follows it in the buffer.
            let data = unsafe { libc::CMSG_DATA(next) };
            // SAFETY: the data is as long as the header says, and stays while `header` is borrowed.
            let data = unsafe { std::slice::from_raw_parts(data, bytes) };
            for number in data.as_chunks().0 {
                let number = RawFd::from_ne_bytes(*number);
                // SAFETY: the kernel has just installed it, and nothing else knows its number.
                descriptors.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    descriptors
}

/// Waits until something can be read, or a pidfd's process has ended. False when the deadline
/// passed first.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Deadline) -> io::Result<bool> {
    Ok(wait_any_readable(&[fd.as_fd()], deadline)?.contains(&true))
}

/// Waits until any of these can be read. Says of each whether it can; of none when the deadline
/// passed first.
pub(crate) fn wait_any_readable(
    fds: &[BorrowedFd<'_>],
    deadline: Deadline,
) -> io::Result<Vec<bool>> {
    loop {
        // Rounded up: waking a moment early would only mean to ask again.
        let timeout = deadline.left().map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX)
        });
        let mut polled: Vec<PollFd<'_>> =
            fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        match poll(&mut polled, timeout) {
            Ok(0) if !deadline.has_passed() => {}
            Err(Errno::EINTR) => {}
            Ok(_) => return Ok(polled.iter().map(|fd| fd.any().unwrap_or(true)).collect()),
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

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs::File;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

    use super::*;

    /// Set in the environment of the test program that has no descriptor left.
    const CHILD: &str = "PAPA_CLIENT_TEST_HAS_NO_DESCRIPTORS";

    fn send(socket: &UnixStream, descriptors: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(descriptors)];
        let bytes = [io::IoSlice::new(b"x")];
        sendmsg::<()>(socket.as_raw_fd(), &bytes, &rights, MsgFlags::empty(), None).unwrap();
    }

    fn receive_all(socket: &UnixStream) -> Vec<Received> {
        let (mut byte, mut received) = ([0], Vec::new());
        assert_eq!(receive(socket.as_fd(), &mut byte, &mut received).unwrap(), 1);
        received
    }

    #[test]
    fn descriptors_are_owned_however_many_come() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        send(&theirs, &[file.as_raw_fd(); MAX_DESCRIPTORS]);
        let received = receive_all(&ours);
        assert_eq!(received.iter().filter(|it| it.is_ok()).count(), MAX_DESCRIPTORS);
    }

    #[test]
    fn descriptors_beyond_the_limit_are_an_error_and_none_leaks() {
        if env::var_os(CHILD).is_none() {
            // A process of its own: the limit is for all of one.
            let name = "sys::tests::descriptors_beyond_the_limit_are_an_error_and_none_leaks";
            let mut alone = Command::new("/bin/sh");
            alone.args(["-c", "ulimit -n 40; exec \"$0\" --exact \"$1\""]);
            alone.arg(env::current_exe().unwrap()).arg(name).env(CHILD, "1");
            let alone = alone.output().unwrap();
            assert!(alone.status.success(), "{}", String::from_utf8_lossy(&alone.stdout));
            return;
        }
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let take_all = || std::iter::from_fn(|| file.try_clone().ok()).collect::<Vec<File>>();
        let mut all = take_all();
        for room in [1, 0] {
            send(&theirs, &[file.as_raw_fd(); 3]);
            all.truncate(all.len() - room);
            let mut received = receive_all(&ours);
            assert!(matches!(received.pop(), Some(Err(Errno::EMFILE))), "room for {room}");
            assert_eq!(received.iter().filter(|it| it.is_ok()).count(), room);
            drop(received);
            let freed = take_all();
            assert_eq!(freed.len(), room, "descriptors have leaked");
            all.extend(freed);
        }
    }
}
