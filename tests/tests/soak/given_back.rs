//! What papad held once does not make it larger for years.

use papad_tests::continuity::Subject;
use papad_tests::eventually;

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
    eventually(&format!("most of {held} KiB is given back, before it was {before}"), || {
        own().saturating_sub(before) < (held - before) / 2
    });
}

#[test]
fn memory_of_processes_that_are_gone_is_given_back() {
    held_for_a_while("make process quiet.# -- /bin/true", "remove processes quiet.*");
}

#[test]
fn memory_of_values_that_are_gone_is_given_back() {
    let text = "text ".repeat(60);
    let make = format!("set value.# {}", papad_tests::exact::quoted(&text));
    held_for_a_while(&make, "remove values value.*");
}
