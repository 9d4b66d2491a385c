//! Acting as another user within this process.

use std::panic::resume_unwind;
use std::thread;

use nix::unistd::Uid;

use crate::skip;
use crate::sys;

/// The user, and group, that owns nothing.
pub const NOBODY: u32 = 65534;

/// Whether this process may become somebody else. A test that needs it is said to be skipped.
#[must_use]
pub fn is_root(needed_for: &str) -> bool {
    let root = Uid::effective().is_root();
    if !root {
        skip("root", needed_for);
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
            sys::become_user(uid);
            act()
        });
        thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}
