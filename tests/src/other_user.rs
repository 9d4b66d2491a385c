//! Acting as another user within this process.

use std::panic::resume_unwind;
use std::thread;

use nix::unistd::Uid;

/// The user, and group, that owns nothing.
pub const NOBODY: u32 = 65534;

/// Whether this process may become somebody else. A test that needs that says why it is skipped.
#[must_use]
pub fn is_root(needed_for: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        eprintln!("skipped, because only root can do this: {needed_for}");
    }
    root
}

/// Runs `act` on a thread whose user and group are `uid`, and returns what it returned.
///
/// # Panics
/// When `act` does, or when this process may not become `uid`.
pub fn as_user<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_user(uid);
            act()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Changes the credentials of the calling thread alone. That is what the system calls do; it is
/// the C library's functions of the same names that change every thread (nptl(7)).
fn become_user(uid: u32) {
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
