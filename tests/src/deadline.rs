//! How long a test waits for what must come.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The longest wait for anything that must come. It is reached only when it does not come, so it is
/// long enough for a busy machine and no measure of speed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `file` can be read or has ended. False when [`DEADLINE`] passed first.
pub fn wait_readable(file: &impl AsFd) -> bool {
    let until = Instant::now() + DEADLINE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).expect("the deadline fits a poll timeout");
        let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut waiting, timeout) {
            Ok(ready) => return ready > 0,
            Err(Errno::EINTR) => {}
            Err(error) => panic!("poll: {error}"),
        }
    }
}

/// Waits until `seen` holds, for states that the kernel shows in `/proc` and announces to nobody.
///
/// # Panics
/// When `what` has not come about within [`DEADLINE`].
pub fn eventually(what: &str, mut seen: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    loop {
        // Read before the look, so that a machine that stood still in between fails nothing.
        let is_last = Instant::now() >= until;
        if seen() {
            return;
        }
        assert!(!is_last, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
