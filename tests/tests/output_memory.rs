//! What the output of all processes takes in memory together: a bound of its own, whatever each may
//! keep. Those that take the most lose their oldest, or wait.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use papad_tests::exact::{Exact, Seen, make_writer, number_of, script, value_of};
use papad_tests::{Papad, eventually};

const MIB: u64 = 1 << 20;

/// A papad whose output may take so much, and a session.
fn start(memory: &str) -> (Papad, Exact) {
    let papad = Papad::builder().arg(format!("--output-memory={memory}")).start();
    let exact = Exact::tcp(&papad);
    (papad, exact)
}

/// Bytes of all output in memory, and how many it may take, as `status` has it.
fn memory(exact: &mut Exact) -> (u64, u64) {
    let limit = value_of(&exact.ask("status")[0], "limit.output-memory");
    let (used, allowed) = limit.split_once('/').unwrap();
    (used.parse().unwrap(), allowed.parse().unwrap())
}

fn of_status(exact: &mut Exact, key: &str) -> u64 {
    number_of(&exact.ask("status")[0], key)
}

/// A key of a process.
fn of(exact: &mut Exact, name: &str, key: &str) -> u64 {
    number_of(&exact.ask_line(format!("list processes {name}")), key)
}

/// Bytes of memory behind the output of all processes, by the system's count.
fn resident(papad: &Papad) -> u64 {
    let folder = format!("/proc/{}/fd", papad.server_pid());
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_ring = |path: &std::path::PathBuf| {
        fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:papad-ring"))
    };
    files.filter(is_ring).map(|path| fs::metadata(path).unwrap().blocks() * 512).sum()
}

/// Has a process write so many bytes, all of which papad has taken.
fn make_flood(exact: &mut Exact, name: &str, bytes: u64, options: &str) {
    let write = script(&format!("head -c {bytes} /dev/zero; exec sleep 1000"));
    exact.ask(format!("make process {name} {options} {write}"));
    eventually("it has written", || of(exact, name, "next") == bytes);
}

#[test]
fn all_output_together_takes_no_more_than_it_may() {
    let (papad, mut exact) = start("8m");
    assert_eq!(memory(&mut exact), (0, 8 * MIB));
    let names: Vec<String> = (0..10).map(|number| format!("p.{number}")).collect();
    for name in &names {
        make_flood(&mut exact, name, 2 * MIB, "");
        assert!(memory(&mut exact).0 <= 8 * MIB);
        assert!(resident(&papad) <= 8 * MIB, "{} bytes", resident(&papad));
    }
    // Each has lost about as much as the others, which is counted.
    let lost: Vec<u64> = names.iter().map(|name| of(&mut exact, name, "lost")).collect();
    assert!(lost.iter().all(|lost| (MIB..2 * MIB).contains(lost)), "{lost:?}");
    assert_eq!(of_status(&mut exact, "output_dropped"), lost.iter().sum::<u64>());
    papad.wait_for_log("the output of all processes may hold at most 8388608 bytes of memory");
    // What is kept is the newest, and a watcher is told what is not.
    exact.ask("watch p.0 mode=peek follow=no from=0");
    let first = exact.next_seen();
    assert!(matches!(first, Seen::Lost { position: 0, bytes, .. } if bytes == lost[0]));
}

#[test]
fn the_one_that_takes_the_most_loses_and_no_other() {
    let (papad, mut exact) = start("4m");
    for number in 0..5 {
        make_writer(&mut exact, &format!("small.{number}"), "output");
    }
    make_flood(&mut exact, "medium", MIB, "");
    // More than all may take together is taken for what a process may keep.
    make_flood(&mut exact, "large", 64 * MIB, "bufsize=1g");
    assert!(resident(&papad) <= 4 * MIB, "{} bytes", resident(&papad));
    for name in ["small.0", "small.1", "small.2", "small.3", "small.4", "medium"] {
        assert_eq!(of(&mut exact, name, "lost"), 0, "{name}");
    }
    let lost = of(&mut exact, "large", "lost");
    assert!((61 * MIB..63 * MIB).contains(&lost), "{lost}");
    assert_eq!(of_status(&mut exact, "output_dropped"), lost);
    // What is removed takes nothing.
    exact.ask("remove processes large medium");
    assert!(memory(&mut exact).0 < MIB);
}

#[test]
fn what_was_read_makes_room_before_anything_is_lost() {
    let (papad, mut exact) = start("4m");
    make_flood(&mut exact, "read", 3 * MIB, "bufsize=4m");
    // All but the end is read: the memory behind it is not needed.
    exact.ask(format!("watch read from={} follow=no", 3 * MIB - 5));
    assert!(matches!(exact.next_seen(), Seen::Data { .. }));
    exact.ask_expecting("stop", "end stopped\n");
    make_flood(&mut exact, "other", 3 * MIB, "bufsize=4m");
    assert_eq!((of(&mut exact, "read", "lost"), of(&mut exact, "other", "lost")), (0, 0));
    assert_eq!(of(&mut exact, "read", "first"), 3 * MIB - 5);
    assert!(resident(&papad) <= 4 * MIB, "{} bytes", resident(&papad));
}

/// A process that must not lose what it writes, which is more than it may.
fn make_blocking(exact: &mut Exact, name: &str, bytes: u64) {
    let write = script(&format!("head -c {bytes} /dev/zero; exec sleep 1000"));
    exact.ask(format!("make process {name} bufsize=1g overflow=block {write}"));
}

/// Takes so many bytes of a process; none of them are lost.
fn take_all(exact: &mut Exact, name: &str, bytes: u64) {
    exact.ask(format!("watch {name}"));
    let mut read = 0;
    while read < bytes {
        let seen = exact.next_seen();
        let Seen::Data { position, data, .. } = seen else { panic!("{seen:?} at {read}") };
        assert_eq!(position, read);
        read += data.len() as u64;
        exact.send(format!("ack {name} {read}\n"));
    }
    exact.ask_expecting("stop", "end stopped\n");
}

#[test]
fn who_must_not_lose_output_waits_and_goes_on_when_it_is_read() {
    let (papad, mut exact) = start("4m");
    make_blocking(&mut exact, "p", 16 * MIB);
    eventually("it waits", || of_status(&mut exact, "output_waiting") == 1);
    papad.wait_for_log("p has to wait until output is read, as overflow=block wants it");
    assert!(memory(&mut exact).0 <= 4 * MIB);
    // The rest is there for others.
    make_flood(&mut exact, "other", MIB / 2, "");
    assert_eq!(of(&mut exact, "other", "lost"), 0);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    eventually("it waits again", || of_status(&mut exact, "output_waiting") == 1);
    take_all(&mut exact, "p", 16 * MIB);
    assert_eq!(of(&mut exact, "p", "lost"), 0);
    assert_eq!(of_status(&mut exact, "output_waiting"), 0);
}

#[test]
fn who_waits_goes_on_when_others_are_read_or_removed() {
    let (_papad, mut exact) = start("4m");
    for name in ["one", "other"] {
        make_blocking(&mut exact, name, 4 * MIB);
    }
    eventually("both wait", || of_status(&mut exact, "output_waiting") == 2);
    exact.ask("remove processes one");
    // What is left is still more than it may take.
    eventually("the other has gone on, and waits", || {
        of(&mut exact, "other", "next") > 2 * MIB && of_status(&mut exact, "output_waiting") == 1
    });
    take_all(&mut exact, "other", 4 * MIB);
}

#[test]
fn who_may_lose_output_makes_room_for_who_must_not() {
    let (_papad, mut exact) = start("8m");
    make_flood(&mut exact, "dropping", 8 * MIB, "bufsize=1g");
    make_blocking(&mut exact, "blocking", 2 * MIB);
    eventually("it has written", || of(&mut exact, "blocking", "next") == 2 * MIB);
    assert_eq!(of_status(&mut exact, "output_waiting"), 0);
    assert!(of(&mut exact, "dropping", "lost") > 2 * MIB);
}

#[test]
fn a_recovered_server_counts_what_there_is() {
    let (papad, mut exact) = start("8m");
    for number in 0..10 {
        make_flood(&mut exact, &format!("p.{number}"), 2 * MIB, "");
    }
    let list = exact.ask("list processes");
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    let (used, _) = memory(&mut exact);
    assert!((6 * MIB..=8 * MIB).contains(&used), "{used}");
    assert!(used >= resident(&papad), "{used}, and not {}", resident(&papad));
    // Nothing else was lost, and nothing comes again.
    assert_eq!(exact.ask("list processes"), list);
    make_flood(&mut exact, "more", 2 * MIB, "");
    assert!(resident(&papad) <= 8 * MIB, "{} bytes", resident(&papad));
}

#[test]
fn there_need_be_no_bound_and_percents_are_of_what_there_is() {
    let (_papad, mut exact) = start("none");
    make_flood(&mut exact, "p", 4 * MIB, "bufsize=8m");
    assert_eq!(of(&mut exact, "p", "lost"), 0);
    let (_papad, mut quarter) = start("25%");
    let (_papad, mut half) = start("50%");
    let (quarter, half) = (memory(&mut quarter).1, memory(&mut half).1);
    assert!(quarter > MIB && half.abs_diff(2 * quarter) < 100, "{quarter} and {half}");
}
