//! What papad held once does not make it larger for years.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::continuity::Subject;
use papad_tests::eventually;
use papad_tests::exact::{number_of, quoted};

use super::measure::Measure;

/// Processes, and values, that papad holds for a while.
const MANY: usize = 2000;

/// Has papad hold many by `make`, in which `#` is the number of each, and forget them by `remove`:
/// it gives back most of what they took of its own memory.
fn held_for_a_while(make: &str, remove: &str) {
    let subject = Subject::start();
    let mut session = subject.exact();
    let own = || Measure::take(&subject).own();
    let before = own();
    for number in 0..MANY {
        session.ask(make.replace('#', &number.to_string()));
    }
    let held = own();
    session.ask(remove);
    expect_given_back(&subject, before, held);
}

/// Waits until most of what papad held, in KiB, is given back.
#[track_caller]
fn expect_given_back(subject: &Subject, before: u64, held: u64) {
    eventually(&format!("most of {held} KiB is given back, before it was {before}"), || {
        Measure::take(subject).own().saturating_sub(before) < (held - before) / 2
    });
}

#[test]
fn memory_of_processes_that_are_gone_is_given_back() {
    held_for_a_while("make process quiet.# -- /bin/true", "remove processes quiet.*");
}

#[test]
fn memory_of_values_that_are_gone_is_given_back() {
    let text = "text ".repeat(60);
    let make = format!("set value.# {}", quoted(&text));
    held_for_a_while(&make, "remove values value.*");
}

#[test]
fn memory_is_given_back_while_nobody_is_connected() {
    let subject = Subject::start();
    let mut session = subject.exact();
    let before = Measure::take(&subject).own();
    let pids: Vec<Pid> = (0..MANY)
        .map(|number| session.ask_line(format!("make process quiet.{number} -- /bin/sleep 1000")))
        .map(|line| Pid::from_raw(number_of(&line, "pid") as i32))
        .collect();
    // They run on, and go when they end.
    session.ask("remove processes quiet.*");
    session.leave();
    let held = Measure::take(&subject).own();
    for pid in pids {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    expect_given_back(&subject, before, held);
}
