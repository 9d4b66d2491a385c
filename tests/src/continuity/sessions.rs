//! Sessions of every kind, each in the middle of something, through a change.

use super::{Subject, Unchanged, exact_sessions, papa_sessions};

/// What is to be seen of a session after the change.
pub(super) type GoOn = Box<dyn FnOnce(&Subject)>;

/// Begins a session.
type Begin = fn(&Subject) -> GoOn;

const EVERY_KIND: [(&str, Begin); 20] = [
    ("nothing said yet", papa_sessions::not_begun),
    ("idle", papa_sessions::idle),
    ("within a line", papa_sessions::within_a_line),
    ("within telnet's commands", papa_sessions::within_telnets_commands),
    ("pipelining", papa_sessions::pipelining),
    ("watching, with a batch to acknowledge", papa_sessions::to_acknowledge),
    ("watching, with a batch to acknowledge that says the end", papa_sessions::to_acknowledge_end),
    ("watching, with nothing to see", papa_sessions::waiting),
    ("leaving, with much to read", papa_sessions::leaving),
    ("pipelining in protocol 2", exact_sessions::pipelining),
    ("within a word in quotes", exact_sessions::within_a_word),
    ("watching, and slow to read", exact_sessions::slow_to_read),
    ("watching, with a full window", exact_sessions::full_window),
    ("peeking", exact_sessions::peeking),
    ("watching a wildcard", exact_sessions::wildcard),
    ("watching ends alone", exact_sessions::ends_alone),
    ("watching what is there now", exact_sessions::not_following),
    ("keeping a value", exact_sessions::keeping_a_value),
    ("passing a descriptor", exact_sessions::passing_a_descriptor),
    ("fetching a descriptor, and slow to read", exact_sessions::fetching_a_descriptor),
];

/// Begins sessions of all kinds, does `change`, and sees that all go on as if nothing had been.
#[track_caller]
pub fn sessions_go_on(subject: &Subject, change: impl FnOnce()) {
    let begun: Vec<_> = EVERY_KIND.iter().map(|(kind, begin)| (*kind, begin(subject))).collect();
    let mut unchanged = Unchanged::look(subject);
    change();
    unchanged.check(subject);
    for (kind, go_on) in begun {
        // Shown if it fails.
        eprintln!("a session goes on: {kind}");
        go_on(subject);
    }
}

/// Sees that two sessions which wait, one in each dialect, go on after `change`.
#[track_caller]
pub fn go_on(subject: &Subject, change: impl FnOnce()) {
    let begun = [papa_sessions::within_a_line(subject), exact_sessions::full_window(subject)];
    change();
    for go_on in begun {
        go_on(subject);
    }
}
