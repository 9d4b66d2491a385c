//! What a test leaves out because this machine, or this user, cannot do it.

use std::env;
use std::io::{self, Write};
use std::thread;

/// What may be left out, by the words of [`skip`] and commas. If it is set, leaving out anything else
/// is a failure.
const MAY_SKIP: &str = "PAPAD_MAY_SKIP";

/// Says that the test that runs leaves something out, for want of `what`, one word, and why. The line
/// is seen though the test passes.
///
/// # Panics
/// When the environment's `PAPAD_MAY_SKIP` names what may be left out, and not this.
#[track_caller]
pub fn skip(what: &str, why: &str) {
    // Not by eprintln!, which is heard of tests that fail alone.
    let test = thread::current();
    let test = test.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "SKIPPED for want of {what}: {test}: {why}");
    if let Some(may_skip) = env::var_os(MAY_SKIP) {
        let may_skip = may_skip.to_string_lossy();
        let is_allowed = may_skip.split(',').any(|allowed| allowed.trim() == what);
        assert!(is_allowed, "{MAY_SKIP} does not name {what}");
    }
}
