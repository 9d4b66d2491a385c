//! What the log says of those who are refused: who it was, at a bounded rate, and nothing that they
//! could write.

use std::time::Instant;

use papad_tests::{Papad, as_user, eventually, is_root};

use crate::{House, STRANGER};

/// So many refusals are told of within a period, which has so many seconds.
const MOST_TOLD: usize = 20;
const PERIOD: u64 = 10;

/// The count in a line that sums up.
fn sum(line: &str) -> Option<usize> {
    let (count, _) = line.strip_prefix("refused ")?.split_once(" more within 10 seconds")?;
    count.parse().ok()
}

/// How many refusals the log tells of, one by one and in sum.
fn told(papad: &Papad) -> (usize, usize) {
    let log = papad.log();
    let lines = log.lines().filter_map(|line| Some(line.split_once(" warn server: ")?.1));
    let is_one = |line: &str| line.starts_with("refused ") || line.starts_with("hung up on ");
    let one_by_one = lines.clone().filter(|line| is_one(line) && sum(line).is_none()).count();
    (one_by_one, lines.filter_map(sum).sum())
}

#[test]
fn refusals_beyond_a_bound_are_counted_and_the_count_is_told() {
    const USERS: usize = 150;
    const PAGES: usize = 50;
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let began = Instant::now();
    as_user(STRANGER, || {
        for _ in 0..USERS {
            house.papad.connect().read_to_end();
        }
    });
    for _ in 0..PAGES {
        let mut page = house.papad.connect();
        let _ = page.try_send("GET / HTTP/1.1\r\n\r\n");
        page.read_to_end();
    }
    // Nobody else has to come for the rest to be told.
    eventually("all refusals are told", || {
        let (one_by_one, in_sum) = told(&house.papad);
        one_by_one + in_sum == USERS + PAGES
    });
    // On a slow machine these may fall into several periods, the last of which may be of few.
    let (one_by_one, in_sum) = told(&house.papad);
    let periods = 1 + (began.elapsed().as_secs() / PERIOD) as usize;
    let may_be_told = MOST_TOLD..=periods * MOST_TOLD;
    assert!(may_be_told.contains(&one_by_one), "{one_by_one} one by one, {in_sum} in sum");
    house.is_untouched();
}

#[test]
fn whoever_is_refused_writes_nothing_into_the_log() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::with(&["-d"]);
    let forged = "\n2026-01-01T00:00:00.000Z info keeper: forged\r\n\x1b[2J\u{202e}forged\n";
    as_user(STRANGER, || {
        let mut guest = house.papad.connect();
        let _ = guest.try_send(forged);
        guest.read_to_end();
    });
    for page in [format!("GET /{} HTTP/1.1\n{forged}", "x".repeat(10_000)), format!("\x16{forged}")]
    {
        let mut guest = house.papad.connect();
        let _ = guest.try_send(page);
        guest.read_to_end();
    }
    eventually("all three are told", || told(&house.papad).0 == 3);
    assert!(!house.papad.log().contains("forged"), "{}", house.papad.log());
    assert!(!house.papad.log().contains("xxx"), "{}", house.papad.log());
    house.is_untouched();
}

#[test]
fn a_flood_of_the_refused_does_not_keep_others_out() {
    const SESSIONS: usize = 200;
    const STRANGERS: usize = 4;
    if !is_root("connecting as somebody else") {
        return;
    }
    let mut house = House::new();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let flood = || {
            as_user(STRANGER, || {
                let mut refused = 0;
                while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    house.papad.connect().read_to_end();
                    refused += 1;
                }
                refused
            })
        };
        let strangers: Vec<_> = (0..STRANGERS).map(|_| scope.spawn(flood)).collect();
        for _ in 0..SESSIONS {
            house.papad.session().ask_expecting("get bystander", "1");
            house.inside.ask_expecting("get bystander", "1");
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        strangers.into_iter().map(|stranger| stranger.join().unwrap()).sum::<usize>()
    });
    // Each of ours waited for no more than those who were in the queue before it.
    assert!(refused > 0);
    eprintln!("{refused} were refused while {SESSIONS} were served");
    house.is_untouched();
}
