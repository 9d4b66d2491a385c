//! Every `unsafe` line of the tests.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{FcntlArg, fcntl};

/// The number of the first descriptor that is passed.
const FIRST_PASSED: RawFd = 3;

/// The most descriptors that a test passes.
const MAX_PASSED: usize = 1024;

/// Owns descriptors that have just come with a message.
pub(crate) fn own_received(raw: Vec<RawFd>) -> impl Iterator<Item = OwnedFd> {
    // SAFETY: the kernel has just installed them, and nobody else owns them.
    raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has a command start with these descriptors, as systemd passes them.
pub(crate) fn pass_descriptors(command: &mut Command, fds: Vec<OwnedFd>) {
    let place = move || {
        // Out of each other's way first.
        let beyond = FIRST_PASSED + fds.len() as RawFd;
        let mut number = FIRST_PASSED;
        let mut away = [0; MAX_PASSED];
        for (fd, away) in fds.iter().zip(&mut away) {
            *away = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(beyond))?;
        }
        for away in &away[..fds.len()] {
            // SAFETY: both are numbers; what had the second one is not used any more.
            if unsafe { libc::dup2(*away, number) } < 0 {
                return Err(io::Error::last_os_error());
            }
            number += 1;
        }
        Ok(())
    };
    // SAFETY: it makes system calls and nothing else.
    unsafe { command.pre_exec(place) };
}

/// Changes the credentials of the calling thread alone. That is what the system calls do; it is
/// the C library's functions of the same names that change every thread (nptl(7)).
pub(crate) fn become_user(uid: u32) {
    let no_groups = std::ptr::null::<libc::gid_t>();
    // SAFETY: setgroups reads no memory when the number of groups is 0.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0, no_groups) };
    assert_eq!(groups, 0, "setgroups");
    // SAFETY: setresgid takes three numbers and touches no memory.
    let group = unsafe { libc::syscall(libc::SYS_setresgid, uid, uid, uid) };
    assert_eq!(group, 0, "setresgid");
    // SAFETY: setresuid takes three numbers and touches no memory.
    let user = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    assert_eq!(user, 0, "setresuid");
}
