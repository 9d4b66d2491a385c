//! Hosted processes that a test looks at from outside.

use crate::{Session, argument, eventually, exact, field, procfs};

/// The pid in a process's line.
#[must_use]
#[track_caller]
pub fn pid_of(line: &str) -> i32 {
    field(line, "pid").parse().unwrap()
}

/// Makes a process that stops itself, and returns its pid once it has: `/proc` shows it at rest.
/// `options` are those of `make process`; `words` become its last arguments.
#[track_caller]
pub fn make_stopped(session: &mut Session, name: &str, options: &str, words: &str) -> i32 {
    let script = argument("kill -STOP $$");
    let command = format!("make process {name} {options} /bin/sh -c {script} {words}");
    let pid = pid_of(&session.ask(command));
    eventually("the process has stopped itself", || {
        procfs::stat(pid).is_some_and(|process| process.state == 'T')
    });
    pid
}

/// Waits until `name` has ended and all that it wrote was taken, without acknowledging any of that;
/// see [`exact::wait_for_end`].
#[track_caller]
pub fn wait_for_end(session: &mut Session, name: &str) {
    let mut other = session.another();
    exact::wait_for_end(&mut other, name);
    other.leave();
}
