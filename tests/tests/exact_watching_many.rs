//! Watching many processes, and many watchers of one, in protocol 2.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, number_of, script};
use papad_tests::{Fifo, Papad, ScratchDir, eventually};

fn end(pid: u64) {
    kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
}

#[test]
fn a_new_process_joins_the_watch_of_a_wildcard() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut watcher = Exact::tcp(&papad);
    watcher.ask_expecting("watch web.*", "ok 0\n");
    exact.ask("make process other -- /bin/echo x");
    let made = exact.ask_line("make process web.1 -- /bin/echo hello");
    let pid = number_of(&made, "pid");
    watcher.expect(format!("joined web.1 2 {pid}\ndata web.1 out 0 "));
    assert!(watcher.next_line().ends_with(b" 6"));
    watcher.expect("hello\n");
    assert!(matches!(watcher.next_seen(), Seen::Closed { position: 6, .. }));
    // The next of that name joins when the first has left the list.
    watcher.send("ack web.1 closed\n");
    eventually("it has left the list", || exact.ask("list processes web.1").is_empty());
    let made = exact.ask_line("make process web.1 -- /bin/sleep 1000");
    watcher.expect(format!("joined web.1 3 {}\n", number_of(&made, "pid")));
    watcher.ask_expecting("stop", "end stopped\n");
}

#[test]
fn whoever_joins_is_watched_as_the_watch_was_asked_for() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut peeker = Exact::tcp(&papad);
    let mut ends = Exact::tcp(&papad);
    peeker.ask("watch * mode=peek from=newest");
    ends.ask("watch * data=no");
    exact.ask("make process p -- /bin/echo hello");
    assert!(matches!(peeker.next_seen(), Seen::Joined { .. }));
    // What is new is all of it.
    assert!(matches!(peeker.next_seen(), Seen::Data { position: 0, .. }));
    assert!(matches!(peeker.next_seen(), Seen::Closed { .. }));
    assert!(matches!(ends.next_seen(), Seen::Joined { .. }));
    assert!(matches!(ends.next_seen(), Seen::Closed { .. }));
    ends.ask_expecting("ack p closed\nstop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=0 next=6 "));
}

#[test]
fn nobody_joins_a_watch_that_does_not_follow_or_names_exactly() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process a -- /bin/sleep 1000");
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch a");
    exact.ask("make process b -- /bin/echo hello");
    exact.ask("remove processes a");
    watcher.expect("removed a\nend finished\n");
}

#[test]
fn every_one_of_many_new_processes_joins_once() {
    let papad = Papad::start();
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch *");
    thread::scope(|scope| {
        for maker in 0..4 {
            let papad = &papad;
            scope.spawn(move || {
                let mut exact = Exact::tcp(papad);
                for number in 0..50 {
                    exact.ask(format!("make process p{maker}.{number} -- /bin/echo {number}"));
                }
            });
        }
    });
    let mut joined = std::collections::BTreeSet::new();
    let mut closed = std::collections::BTreeSet::new();
    while closed.len() < 200 {
        match watcher.next_seen() {
            Seen::Joined { name, .. } => assert!(joined.insert(name.clone()), "{name:?}"),
            Seen::Data { name, .. } => assert!(joined.contains(&name), "{name:?}"),
            Seen::Closed { name, .. } => {
                assert!(joined.contains(&name) && closed.insert(name.clone()), "{name:?}");
                let name = String::from_utf8(name).unwrap();
                watcher.send(format!("ack {name} closed\n"));
            }
            other => panic!("{other:?}"),
        }
    }
    watcher.ask_expecting("stop", "end stopped\n");
    watcher.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn a_removed_process_is_told_and_leaves_the_watch() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let running = number_of(&exact.ask_line("make process a -- /bin/sleep 1000"), "pid");
    exact.ask("make process b -- /bin/true");
    let mut watchers: Vec<Exact> = ["", "mode=peek", "data=no"]
        .map(|options| {
            let mut watcher = Exact::tcp(&papad);
            watcher.ask(format!("watch a {options}"));
            watcher
        })
        .into();
    exact.ask("remove processes a");
    for watcher in &mut watchers {
        watcher.expect("removed a\nend finished\n");
    }
    end(running);
    let mut all = Exact::tcp(&papad);
    all.ask("watch *");
    assert!(
        matches!(all.next_seen(), Seen::Closed { name, .. } | Seen::Removed { name } if name == b"b" || name == b"a")
    );
    exact.ask("remove processes b");
    // An acknowledgement that crosses it is passed over; one to a stranger is not.
    loop {
        if let Seen::Removed { name } = all.next_seen()
            && name == b"b"
        {
            break;
        }
    }
    all.send("ack b closed\n");
    all.ask_for("not-found", "ack c closed");
    all.ask_expecting("stop", "end stopped\n");
}

#[test]
fn more_processes_are_watched_by_a_watch_within_the_watch() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let a = exact.ask_line("make process a -- /bin/sleep 1000");
    let b = exact.ask_line(format!("make process b {}", script("echo b; exec /bin/sleep 1000")));
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch a");
    watcher.ask_expecting(
        "watch b",
        format!("ok 1\nname=b id=2 pid={} from=0\n", number_of(&b, "pid")),
    );
    assert!(matches!(watcher.next_seen(), Seen::Data { name, .. } if name == b"b"));
    // Those that are watched already are passed over.
    watcher.ask_expecting("watch a b", "ok 0\n");
    watcher.ask_expecting("watch c*", "ok 0\n");
    watcher.ask_for("not-found", "watch a nothing");
    watcher.ask_for("usage", "watch a colour=red");
    watcher.ask_for("usage", "watch");
    let c = exact.ask_line("make process c -- /bin/sleep 1000");
    watcher.expect(format!("joined c 3 {}\n", number_of(&c, "pid")));
    end(number_of(&a, "pid"));
    assert!(matches!(watcher.next_seen(), Seen::Closed { name, .. } if name == b"a"));
    watcher.ask_expecting("ack a closed\nack b 2\nstop", "end stopped\n");
    assert!(exact.ask_line("list processes b").contains(" first=2 next=2 lost=0 watchers=0 "));
}

#[test]
fn output_is_kept_until_all_takers_have_acknowledged_it() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("printf abcdef; exit 1")));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=1"));
    let mut takers: Vec<Exact> = (0..3)
        .map(|_| {
            let mut taker = Exact::tcp(&papad);
            taker.ask("watch p");
            assert!(
                matches!(taker.next_seen(), Seen::Data { position: 0, data, .. } if data == b"abcdef")
            );
            assert!(matches!(taker.next_seen(), Seen::Closed { .. }));
            taker
        })
        .collect();
    // An error is answered after the acknowledgement was taken.
    let mut acknowledge = |at: usize, what: &str| {
        takers[at].ask_for("usage", format!("ack p {what}\nhelp"));
        let line = exact.ask_line("list processes");
        number_of(&line, "first")
    };
    assert_eq!(acknowledge(0, "4"), 0);
    assert_eq!(acknowledge(1, "6"), 0);
    assert_eq!(acknowledge(2, "3"), 3);
    assert_eq!(acknowledge(0, "6"), 3);
    assert_eq!(acknowledge(2, "6"), 6);
    takers[0].ask_expecting("ack p closed", "end finished\n");
    takers[1].ask_expecting("ack p closed", "end finished\n");
    assert_eq!(exact.ask("list processes").len(), 1);
    takers[2].ask_expecting("ack p closed", "end finished\n");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn a_taker_that_leaves_is_not_waited_for() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("printf abcdef; exit 1")));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=1"));
    let mut slow = Exact::tcp(&papad);
    slow.ask("watch p");
    let mut quick = Exact::tcp(&papad);
    quick.ask("watch p");
    while !matches!(quick.next_seen(), Seen::Closed { .. }) {}
    quick.ask_expecting("ack p closed", "end finished\n");
    assert!(exact.ask_line("list processes").contains(" first=0 next=6 "));
    drop(slow);
    eventually("it has left the list", || exact.ask("list processes").is_empty());
}

#[test]
fn a_slow_watcher_holds_up_nobody_with_drop() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let flood = script(&format!("read go < {}; /usr/bin/seq 1 500000", go.path()));
    exact.ask(format!("make process p bufsize=64k {flood}"));
    let mut slow = Exact::tcp(&papad);
    slow.ask("watch p");
    let mut ends = Exact::tcp(&papad);
    ends.ask("watch p data=no");
    go.send_line();
    assert!(matches!(ends.next_seen(), Seen::Closed { end, .. } if end == "exit 0"));
    let mut position = 0;
    loop {
        match slow.next_seen() {
            Seen::Data { position: at, data, .. } => {
                assert_eq!(at, position);
                position += data.len() as u64;
            }
            Seen::Lost { position: at, bytes, .. } => {
                assert_eq!(at, position);
                position += bytes;
            }
            Seen::Closed { position: at, .. } => {
                assert_eq!(at, position);
                break;
            }
            other => panic!("{other:?}"),
        }
        slow.send(format!("ack p {position}\n"));
    }
}

#[test]
fn ten_watchers_of_one_flooding_process_are_each_complete() {
    let papad = Papad::start();
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let mut exact = Exact::tcp(&papad);
    let flood = script(&format!("read go < {}; /usr/bin/seq 1 300000; exit 5", go.path()));
    exact.ask(format!("make process p overflow=block bufsize=256k {flood}"));
    let expected: Vec<u8> =
        (1..=300_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    thread::scope(|scope| {
        for number in 0..10 {
            let mut watcher = Exact::tcp(&papad);
            watcher.ask(format!("watch p window={}k", 4 << number));
            let expected = &expected;
            scope.spawn(move || {
                let mut position = 0;
                loop {
                    match watcher.next_seen() {
                        Seen::Data { position: at, data, .. } => {
                            assert_eq!(at, position as u64);
                            assert!(expected[position..].starts_with(&data), "at {at}");
                            position += data.len();
                            watcher.send(format!("ack p {position}\n"));
                        }
                        Seen::Closed { position: at, end, .. } => {
                            assert_eq!((at as usize, position), (position, expected.len()));
                            assert_eq!(end, "exit 5");
                            watcher.send("ack p closed\n");
                        }
                        Seen::End(why) => {
                            assert_eq!(why, "finished");
                            return;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        go.send_line();
    });
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn papas_watchers_and_exact_ones_each_have_their_place() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("echo one; exit 1")));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=1"));
    let mut plain = papad.session();
    plain.watch("p", 1);
    exact.ask("watch p");
    assert!(matches!(exact.next_seen(), Seen::Data { data, .. } if data == b"one\n"));
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    exact.ask_expecting("ack p closed", "end finished\n");
    let seen = plain.watch_on();
    assert_eq!((seen["p"].text(), seen["p"].code), ("one\n", Some(1)));
    exact.ask_expecting("list processes", "ok 0\n");
}
