//! Everything that papad does, while everything happens to it: kills of the server and of the
//! keeper, upgrades and failed upgrades, one upon the other.
//!
//! `PAPAD_TORTURE_SEED` asks for the choices of an earlier run, `PAPAD_TORTURE_SECONDS` for a run
//! of that length, in place of a number of steps.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ends;
mod floods;
mod trouble;
mod values;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use papad_tests::continuity::{Subject, Unchanged, open_files};
use papad_tests::exact::wait_until_closed;
use papad_tests::kills::{Patient, Random, socket_round};
use papad_tests::{eventually, procfs};

use trouble::Trouble;

/// What all who take part share.
struct Arena {
    subject: Subject,
    trouble: Trouble,
    is_over: AtomicBool,
    /// What was seen: bytes of floods, ends of processes, those among them that are unknown,
    /// changes of values, and sockets.
    bytes: AtomicU64,
    ends: AtomicU64,
    unknown: AtomicU64,
    values: AtomicU64,
    sockets: AtomicU64,
}

impl Arena {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }

    fn count(what: &AtomicU64, more: usize) {
        what.fetch_add(more as u64, Ordering::SeqCst);
    }
}

/// Ends the run when a part of it ends, because it is over or has failed.
struct EndWhenDropped<'a>(&'a Arena);

impl Drop for EndWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// One who does something again and again, with a number for names of its own.
type Worker = fn(&Arena, &mut Random, &str);

const WORKERS: [(&str, Worker); 6] = [
    ("flood.a", floods::exact),
    ("flood.b", floods::exact),
    ("flood.c", floods::by_papa_client),
    ("ends", ends::in_protocol_2),
    ("telnet", ends::in_papa_1_0),
    ("socket", sockets),
];

fn sockets(arena: &Arena, random: &mut Random, name: &str) {
    let mut patient = Patient::new(&arena.subject.papad);
    socket_round(&mut patient, random, &arena.subject.scratch, name);
    Arena::count(&arena.sockets, 1);
}

/// What nobody touches.
fn make_residents(subject: &Subject) {
    let mut session = subject.exact();
    for line in [
        "make process resident.running -- /bin/sleep 100000",
        "make process resident.ended -- /bin/echo unread",
        "make socket resident.inet",
        "set resident.value 1",
    ] {
        session.ask(line);
    }
    session.ask(format!("make socket resident.unix path={}", subject.scratch.join("resident")));
    session.leave();
    wait_until_closed(&subject.papad, "resident.ended");
}

#[test]
fn every_byte_end_pid_value_and_descriptor_is_right_whatever_happens_to_papad() {
    let mut random = Random::from_variable("PAPAD_TORTURE_SEED");
    let arena = Arena {
        subject: Subject::start(),
        trouble: Trouble::default(),
        is_over: AtomicBool::new(false),
        bytes: AtomicU64::new(0),
        ends: AtomicU64::new(0),
        unknown: AtomicU64::new(0),
        values: AtomicU64::new(0),
        sockets: AtomicU64::new(0),
    };
    let subject = &arena.subject;
    make_residents(subject);
    // Orphans need a descriptor more than children, each its pidfd: these are orphans from here on.
    subject.papad.kill_keeper();
    let mut residents = Unchanged::look(subject);
    let files = open_files(subject);
    thread::scope(|scope| {
        for (worker, act) in WORKERS {
            let (mut random, arena) = (random.branch(), &arena);
            scope.spawn(move || {
                let _end = EndWhenDropped(arena);
                let mut number = 0;
                while arena.goes_on() {
                    number += 1;
                    act(arena, &mut random, &format!("{worker}.{number}"));
                }
            });
        }
        let counter = random.branch();
        scope.spawn(|| {
            let _end = EndWhenDropped(&arena);
            values::count_up(&arena, counter);
        });
        let _end = EndWhenDropped(&arena);
        arena.trouble.make(&arena, &mut random);
    });
    residents.check_held(subject);
    eventually("the keeper's children are the server and nobody else", || {
        procfs::children(subject.papad.keeper_pid()).len() == 1
    });
    // A trial may have to end first.
    eventually(&format!("keeper and server have open what they had: {files:?}"), || {
        open_files(subject) == files
    });
    let seen = |what: &AtomicU64| what.load(Ordering::SeqCst);
    println!(
        "torture: {}; {} bytes of floods, {} ends of processes ({} unknown), {} changes of values, \
         {} sockets",
        arena.trouble,
        seen(&arena.bytes),
        seen(&arena.ends),
        seen(&arena.unknown),
        seen(&arena.values),
        seen(&arena.sockets)
    );
}
