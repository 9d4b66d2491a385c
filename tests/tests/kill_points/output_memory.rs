//! Kills while a process loses its oldest output, since all output takes more memory than it may.

use papad_tests::exact::{Exact, Seen, number_of, script};
use papad_tests::{Fifo, ScratchDir};

use crate::armed::Armed;

/// Lines of seven bytes that all differ.
const FIRST: u64 = 100_000;
const LAST: u64 = 999_999;

/// A third of them.
const PART: usize = 300_000;

#[test]
fn killed_between_losing_output_and_giving_back_its_memory() {
    let armed = Armed::start_with(ScratchDir::new(), &["--output-memory=1m"]);
    let scratch = ScratchDir::new();
    let parts = Fifo::new(&scratch, "parts");
    let write = "for part in 1 2 3; do read first last; seq $first $last; done";
    let write = script(&format!("exec <{}; {write}", parts.path()));
    Exact::tcp(&armed.papad).ask(format!("make process p bufsize=64m {write}"));
    // Each part alone is more than there is room for, and is written when the kill is armed.
    for first in (FIRST..LAST).step_by(PART) {
        let last = first + PART as u64 - 1;
        drop(armed.kill_at("shrinking", || parts.send(&format!("{first} {last}"))));
    }
    let all: Vec<u8> = (FIRST..=LAST).flat_map(|it| format!("{it}\n").into_bytes()).collect();
    let mut exact = Exact::tcp(&armed.papad);
    papad_tests::exact::wait_until_closed(&armed.papad, "p");
    let line = exact.ask_line("list processes p");
    let (first, next, lost) =
        (number_of(&line, "first"), number_of(&line, "next"), number_of(&line, "lost"));
    assert_eq!((next, lost), (all.len() as u64, first), "{line}");
    exact.ask("watch p mode=peek follow=no");
    let mut kept = Vec::new();
    while let Seen::Data { data, .. } = exact.next_seen() {
        kept.extend(data);
    }
    assert!(kept == all[first as usize..], "{} bytes are kept from {first} on", kept.len());
    assert!(kept.len() > 1 << 19, "{} bytes", kept.len());
}
