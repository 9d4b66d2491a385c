//! Kills while a process loses its oldest output, since all output takes more memory than it may.

use papad_tests::ScratchDir;
use papad_tests::exact::{Exact, Seen, number_of, script};

use crate::armed::Armed;

/// Lines of seven bytes that all differ.
const FIRST: u64 = 100_000;
const LAST: u64 = 899_999;

#[test]
fn killed_between_losing_output_and_giving_back_its_memory() {
    let armed = Armed::start_with(ScratchDir::new(), &["--output-memory=1m"]);
    let write = script(&format!("seq {FIRST} {LAST}"));
    let command = format!("make process p bufsize=64m {write}");
    for times in 0..3 {
        // At the first time that room is made, and at some later ones.
        let mut exact = Exact::tcp(&armed.papad);
        drop(armed.kill_at("shrinking", || {
            if times == 0 {
                exact.ask(&command);
            }
        }));
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
