//! A thousand processes and two hundred sessions that change all the time, while servers are killed
//! and upgraded: papad ends with the memory, descriptors and threads that it had in the beginning.
//!
//! `PAPAD_SOAK_SEED` asks for the choices of an earlier run, `PAPAD_SOAK_SECONDS` for a run of that
//! length, in place of a number of rounds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crew;
mod given_back;
mod measure;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use papad_tests::continuity::{Subject, open_files};
use papad_tests::eventually;
use papad_tests::exact::Exact;
use papad_tests::kills::Random;

use crew::{Crew, PROCESSES, SESSIONS};
use measure::Measure;

/// Those who work at the same time, each with its own processes and sessions.
const CREWS: usize = 8;

/// Pieces of work that each of them does in a round.
const STEPS: u64 = 15;

/// Rounds after which papad has what it needs at work, and rounds after that if nobody wants
/// another length.
const WARM_UP: usize = 2;
const ROUNDS: usize = 3;

/// Memory that papad may have beyond the most that it had in the warm-up, in KiB: what the allocator
/// keeps of what 200 threads have used.
const GROWTH: u64 = 8 * 1024;

/// Memory of a journal of nothing that is not compacted yet, in KiB: four times the smallest that is.
const LONGEST_JOURNAL: u64 = 1024;

/// What happens to papad in the middle of a round.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    None,
    Upgrade,
    Kill,
}

/// What a round brings. Most bring nothing, for a server to become old in a long run.
fn trouble_of(round: usize) -> Trouble {
    match round % 32 {
        0 => Trouble::Kill,
        3 => Trouble::Upgrade,
        _ => Trouble::None,
    }
}

fn make_trouble(subject: &Subject, trouble: Trouble) {
    match trouble {
        Trouble::None => {}
        Trouble::Upgrade => {
            subject.upgrade();
            subject.wait_for_keeper_to_change();
        }
        Trouble::Kill => {
            subject.papad.kill_server();
        }
    }
}

/// All crews work, and trouble comes when they have done half of it.
fn round(subject: &Subject, crews: &mut [Crew], trouble: Trouble) {
    let done = AtomicU64::new(0);
    let half = crews.len() as u64 * STEPS / 2;
    thread::scope(|scope| {
        let working: Vec<_> = crews
            .iter_mut()
            .map(|crew| {
                let done = &done;
                scope.spawn(move || {
                    for _ in 0..STEPS {
                        crew.step();
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        eventually("half of the work is done", || {
            done.load(Ordering::SeqCst) >= half || working.iter().any(ScopedJoinHandle::is_finished)
        });
        make_trouble(subject, trouble);
    });
}

/// Waits until the keeper has heard all that it was told, and sessions that were left are over.
fn rest(subject: &Subject, threads: u64) {
    subject.wait_for_keeper();
    eventually("papad has a thread for each session", || Measure::take(subject).threads == threads);
}

#[test]
fn memory_descriptors_and_threads_end_where_they_began() {
    let mut random = Random::from_variable("PAPAD_SOAK_SEED");
    let seconds = env::var("PAPAD_SOAK_SECONDS");
    let until = seconds.ok().map(|text| {
        let seconds = text.parse().expect("PAPAD_SOAK_SECONDS is a number");
        Instant::now() + Duration::from_secs(seconds)
    });
    let subject = Subject::start();
    // What a papad needs that has been at work before: its first server is none that recovered.
    subject.papad.kill_server();
    subject.papad.wait_for_logs(2, "keeper: ready");
    let (files, empty) = (open_files(&subject), Measure::take(&subject));
    let mut crews: Vec<Crew> =
        (0..CREWS).map(|number| Crew::new(&subject, random.branch(), number)).collect();
    thread::scope(|scope| {
        for crew in &mut crews {
            scope.spawn(|| crew.fill());
        }
    });

    let mut most = Measure::default();
    let mut rounds = 0;
    while until
        .map_or(rounds < WARM_UP + ROUNDS, |until| rounds <= WARM_UP || Instant::now() < until)
    {
        round(&subject, &mut crews, trouble_of(rounds));
        crews.iter_mut().for_each(Crew::settle);
        rest(&subject, empty.threads + (CREWS * SESSIONS) as u64);
        if rounds >= WARM_UP {
            eventually(&format!("papad has the descriptors of {most} in round {rounds}"), || {
                Measure::take(&subject).descriptors == most.descriptors
            });
        }
        let held = Measure::take(&subject);
        if rounds < WARM_UP {
            most = most.max(&held);
        } else {
            let grown = held.memory().saturating_sub(most.memory());
            assert!(grown <= GROWTH, "round {rounds}: {held} where it had at most {most}");
        }
        rounds += 1;
        if until.is_none() || rounds.is_multiple_of(10) {
            eprintln!("round {rounds}: {held}");
        }
    }

    let steps: u64 = crews.iter().map(|crew| crew.steps).sum();
    eprintln!(
        "{rounds} rounds, {steps} pieces of work with {} processes and {} sessions",
        CREWS * PROCESSES,
        CREWS * SESSIONS
    );
    crews.into_iter().for_each(Crew::leave);
    eventually(&format!("papad has open what it had: {files:?}"), || open_files(&subject) == files);
    eventually("papad has the threads that it had", || {
        Measure::take(&subject).threads == empty.threads
    });
    let after = Measure::take(&subject);
    eprintln!("before: {empty}\nafter:  {after}");
    // The journal may be as long as it may become before it is compacted.
    assert!(after.files <= empty.files + LONGEST_JOURNAL, "{after} where there was {empty}");
    let grown = after.memory().saturating_sub(most.memory());
    assert!(grown <= GROWTH, "{after} where it had at most {most} at work");
    // What the allocator of that server keeps is nobody's.
    subject.papad.kill_server();
    assert!(Exact::tcp(&subject.papad).ask("list processes").is_empty());
    eventually("another server has the memory of the first", || {
        Measure::take(&subject).memory() <= empty.memory() + LONGEST_JOURNAL + GROWTH / 8
    });
}
