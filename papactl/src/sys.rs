//! Every unsafe line: what is known only before `main`, and what a child does before it is another
//! program.

use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU8, Ordering};

/// A bit for each of the descriptors 0, 1 and 2 that was closed when the program started.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Rust's runtime opens /dev/null in place of standard descriptors that are closed. What is written
/// there would be lost without an error, so the kernel is asked before that.
extern "C" fn note_closed_descriptors() {
    for number in 0..3 {
        // SAFETY: fcntl with F_GETFD takes two numbers and touches no memory.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags == -1 {
            CLOSED.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

// SAFETY: the loader calls each entry of this section once, before `main` and while there is one
// thread; the function needs nothing of Rust's runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_closed_descriptors;

/// Whether this standard descriptor, 0 to 2, was closed when the program started.
pub(crate) fn was_closed(number: u8) -> bool {
    CLOSED.load(Ordering::Relaxed) & (1 << number) != 0
}

/// Has the kernel send the command SIGTERM when papactl ends before it, by SIGKILL too. It is to be
/// started by the main thread: the kernel means the end of the thread that starts it.
pub(crate) fn end_with_papactl(command: &mut Command) {
    let papactl = process::id();
    let ask = move || {
        // SAFETY: prctl with PR_SET_PDEATHSIG takes a number and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before the kernel was asked.
        if parent_id() == papactl { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
    };
    // SAFETY: between fork and exec this makes two system calls, and allocates nothing.
    unsafe { command.pre_exec(ask) };
}
