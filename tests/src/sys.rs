//! Every `unsafe` line of the tests.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

/// The number of the first descriptor that is passed.
const FIRST_PASSED: RawFd = 3;

/// Owns descriptors that have just come with a message.
pub(crate) fn own_received(raw: Vec<RawFd>) -> impl Iterator<Item = OwnedFd> {
    // SAFETY: the kernel has just installed them, and nobody else owns them.
    raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has a command start with this soft limit on descriptors and with these descriptors, as systemd
/// passes them: it sets the limit first.
pub(crate) fn pass_descriptors(command: &mut Command, soft_limit: u64, fds: Vec<OwnedFd>) {
    let mut away = vec![0; fds.len()];
    let place = move || {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, soft_limit.min(hard), hard)?;
        // Out of each other's way first.
        let beyond = FIRST_PASSED + fds.len() as RawFd;
        let mut number = FIRST_PASSED;
        for (fd, away) in fds.iter().zip(&mut away) {
            *away = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(beyond))?;
        }
        for away in &away {
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

/// Has looks at a socket's queue begin with the oldest message, and go on behind what was seen.
pub(crate) fn peek_from_the_beginning(socket: BorrowedFd) {
    let offset: c_int = 0;
    let length = size_of_val(&offset) as libc::socklen_t;
    let (level, option) = (libc::SOL_SOCKET, libc::SO_PEEK_OFF);
    let value = (&raw const offset).cast();
    // SAFETY: the option's value is one int, which lives through the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    Errno::result(set).unwrap();
}

/// Has a command start with none of the signals ignored that end programs: the tests may run where
/// some are, as under nohup(1), and a program that finds one ignored leaves it at that.
pub fn heed_signals(command: &mut Command) {
    let heed = || {
        for number in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
            // SAFETY: there is no handler, only what the kernel does by itself.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
        Ok(())
    };
    // SAFETY: it makes system calls and nothing else.
    unsafe { command.pre_exec(heed) };
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

/// The key that [`join_keyring_with_a_key`] adds.
const KEY: &CStr = c"papad-test-key";

/// The calling process's own session keyring, of keyctl(2).
const SESSION_KEYRING: c_int = -3;

/// Joins a new session keyring that has a key for a child to look for with [`find_key`]. False
/// where there are no keyrings.
pub fn join_keyring_with_a_key() -> bool {
    const JOIN_SESSION_KEYRING: c_int = 1;
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: without a name, keyctl(KEYCTL_JOIN_SESSION_KEYRING) reads no memory.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, none) };
    let (kind, secret) = (c"user".as_ptr(), c"secret".as_ptr());
    let name = KEY.as_ptr();
    // SAFETY: add_key reads two strings and 6 bytes.
    let added =
        unsafe { libc::syscall(libc::SYS_add_key, kind, name, secret, 6_usize, SESSION_KEYRING) };
    joined >= 0 && added >= 0
}

/// Looks for that key in the session keyring.
///
/// # Errors
/// What the kernel says if it is not there.
pub fn find_key() -> Result<(), Errno> {
    const SEARCH: c_int = 10;
    let kind = c"user".as_ptr();
    // SAFETY: keyctl(KEYCTL_SEARCH) reads two strings, and links the key nowhere for the last 0.
    let found =
        unsafe { libc::syscall(libc::SYS_keyctl, SEARCH, SESSION_KEYRING, kind, KEY.as_ptr(), 0) };
    Errno::result(found).map(drop)
}

/// What prctl(2) tells of the calling process.
#[derive(Debug, Clone, Copy)]
pub enum Attribute {
    /// The signal it gets when its parent ends.
    DeathSignal,
    /// capabilities(7)
    Securebits,
    /// Whether its user may trace it.
    Dumpable,
}

/// An attribute of the calling process.
pub fn attribute(which: Attribute) -> c_int {
    let mut out: c_int = -1;
    let option = match which {
        Attribute::DeathSignal => libc::PR_GET_PDEATHSIG,
        Attribute::Securebits => libc::PR_GET_SECUREBITS,
        Attribute::Dumpable => libc::PR_GET_DUMPABLE,
    };
    // SAFETY: the first of these options writes an int to where the second argument points, and
    // the others take no argument.
    let returned = unsafe { libc::prctl(option, std::ptr::from_mut(&mut out), 0, 0, 0) };
    if matches!(which, Attribute::DeathSignal) { out } else { returned }
}
