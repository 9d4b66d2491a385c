//! The options of a watch in protocol 2: `from=`, `follow=`, `data=` and `window=`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, make_writer, number_of, read_data, script, wait_for_end};
use papad_tests::{Fifo, Papad, ScratchDir, eventually};

#[test]
fn a_watch_begins_where_it_was_asked_to() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abcdef");
    for (from, at, data) in [
        ("", 0, &b"abcdef"[..]),
        ("from=oldest", 0, b"abcdef"),
        ("from=0", 0, b"abcdef"),
        ("from=2", 2, b"cdef"),
        ("from=5", 5, b"f"),
    ] {
        let line = exact.ask_line(format!("watch p mode=peek {from}"));
        assert_eq!(number_of(&line, "from"), at, "{from}");
        assert!(
            matches!(exact.next_seen(), Seen::Data { position, data: got, .. } if position == at && got == data)
        );
        exact.ask_expecting("stop", "end stopped\n");
    }
    for from in ["from=6", "from=newest"] {
        let line = exact.ask_line(format!("watch p mode=peek {from}"));
        assert_eq!(number_of(&line, "from"), 6, "{from}");
        exact.ask_expecting("stop", "end stopped\n");
    }
    assert!(exact.ask_line("list processes").contains(" first=0 next=6 "));
    exact.ask_for("conflict", "watch p from=7");
    exact.ask_for("conflict", "watch p mode=peek from=7");
    assert!(exact.ask_line("list processes").contains(" first=0 next=6 lost=0 watchers=0 "));
}

#[test]
fn a_taker_that_begins_at_a_position_has_taken_all_before() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abcdef");
    exact.ask("watch p from=2");
    assert!(matches!(exact.next_seen(), Seen::Data { position: 2, data, .. } if data == b"cdef"));
    exact.ask_expecting("stop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=2 next=6 "));
    // Before what is kept: that much is lost to this watcher.
    exact.ask_expecting(
        "watch p from=1",
        format!(
            "ok 1\nname=p id=1 pid={} from=1\nlost p 1 1\n",
            number_of(&exact_line(&papad), "pid")
        ),
    );
    assert!(matches!(exact.next_seen(), Seen::Data { position: 2, .. }));
    exact.ask_expecting("stop", "end stopped\n");
    exact.ask("watch p from=6");
    exact.ask_expecting("stop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=6 next=6 lost=0 "));
}

fn exact_line(papad: &Papad) -> String {
    Exact::tcp(papad).ask_line("list processes")
}

#[test]
fn a_taker_that_begins_with_the_newest_keeps_what_was_before() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    let line = exact.ask_line("watch p from=newest");
    assert_eq!(number_of(&line, "from"), 3);
    exact.ask_expecting("stop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=0 next=3 "));
    exact.ask("watch p from=newest");
    exact.ask_expecting("ack p 3\nstop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=3 next=3 "));
}

#[test]
fn old_output_does_not_fill_the_window_of_one_who_begins_with_the_newest() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let command = script(&format!("head -c 10000 /dev/zero; read go < {}; echo new", go.path()));
    exact.ask(format!("make process p {command}"));
    eventually("it waits", || exact.ask_line("list processes").contains(" next=10000 "));
    exact.ask("watch p from=newest window=4k");
    go.send_line();
    assert!(
        matches!(exact.next_seen(), Seen::Data { position: 10000, data, .. } if data == b"new\n")
    );
}

#[test]
fn a_watch_that_does_not_follow_ends_with_what_is_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    make_writer(&mut exact, "q", "def");
    exact.ask("watch p q mode=peek follow=no");
    assert_eq!(read_data(&mut exact, 6), b"abcdef");
    assert_eq!(exact.next_seen(), Seen::End("finished".into()));
    // A taker is waited for.
    exact.ask("watch p q follow=no");
    assert_eq!(read_data(&mut exact, 6), b"abcdef");
    exact.send("ack p 3\nack q 2\n");
    exact.ask_for("conflict", "ack q 4");
    exact.ask_expecting("ack q 3", "end finished\n");
    exact.ask_expecting(
        "watch p follow=no",
        format!("ok 1\nname=p id=1 pid={} from=3\nend finished\n", {
            let line = Exact::tcp(&papad).ask_line("list processes p");
            number_of(&line, "pid")
        }),
    );
    exact.ask_expecting("watch x* follow=no", "ok 0\nend finished\n");
}

#[test]
fn a_watch_that_does_not_follow_tells_an_end_that_is_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("printf abc; exit 1")));
    wait_for_end(&mut exact, "p");
    exact.ask("watch p mode=peek follow=no");
    read_data(&mut exact, 3);
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    assert_eq!(exact.next_seen(), Seen::End("finished".into()));
    exact.ask("watch p follow=no");
    read_data(&mut exact, 3);
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    exact.send("ack p closed\n");
    assert_eq!(exact.next_seen(), Seen::End("finished".into()));
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn a_watch_that_does_not_follow_is_sent_all_of_all_processes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for (name, length) in [("a", 700_000), ("b", 100_000), ("c", 3)] {
        let command = script(&format!("head -c {length} /dev/zero; exec /bin/sleep 1000"));
        exact.ask(format!("make process {name} {command}"));
        let next = format!(" next={length} ");
        eventually("it has written", || {
            exact.ask_line(format!("list processes {name}")).contains(&next)
        });
    }
    for options in ["mode=peek", "mode=peek window=4k", "mode=take"] {
        exact.ask(format!("watch * follow=no {options}"));
        let mut lengths = std::collections::BTreeMap::<Vec<u8>, u64>::new();
        loop {
            match exact.next_seen() {
                Seen::Data { name, position, data, .. } => {
                    let length = lengths.entry(name.clone()).or_default();
                    assert_eq!(position, *length);
                    *length += data.len() as u64;
                    let name = String::from_utf8(name).unwrap();
                    exact.send(format!("ack {name} {length}\n"));
                }
                Seen::End(why) => {
                    assert_eq!(why, "finished");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        let lengths: Vec<u64> = lengths.into_values().collect();
        assert_eq!(lengths, [700_000, 100_000, 3], "{options}");
    }
}

#[test]
fn without_data_only_ends_are_told() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let pid = make_writer(&mut exact, "p", "abc");
    exact.ask("watch p data=no");
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert!(
        matches!(exact.next_seen(), Seen::Closed { position: 3, end, .. } if end == "signal 15")
    );
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
    // Its output is nobody's yet, so it stays.
    let line = exact.ask_line("list processes");
    assert!(line.contains(" first=0 next=3 "), "{line}");
    exact.ask("watch p");
    read_data(&mut exact, 3);
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn without_data_a_process_without_output_leaves_the_list() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p -- /bin/true");
    exact.ask("watch p data=no");
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn without_data_a_watcher_neither_keeps_nor_drops_output() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    let mut ends = Exact::tcp(&papad);
    ends.ask("watch p data=no");
    exact.ask("watch p");
    read_data(&mut exact, 3);
    exact.ask_expecting("ack p 3\nstop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=3 next=3 lost=0 watchers=1 "));
}

#[test]
fn no_more_than_the_window_is_sent_and_not_acknowledged() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process a overflow=block bufsize=1m -- /usr/bin/seq 1 200000");
    exact.ask("make process b overflow=block bufsize=1m -- /usr/bin/seq 1 200000");
    for window in [4096_u64, 10_000, 65536] {
        exact.ask(format!("watch a b window={window}"));
        let mut sent = std::collections::BTreeMap::from([(b"a".to_vec(), 0), (b"b".to_vec(), 0)]);
        let mut unacknowledged = 0;
        // When the window is full, what comes next is the answer to a request.
        while unacknowledged < window {
            let Seen::Data { name, position, data, .. } = exact.next_seen() else {
                panic!("no data")
            };
            sent.insert(name, position + data.len() as u64);
            unacknowledged += data.len() as u64;
            assert!(unacknowledged <= window, "{unacknowledged} of {window}");
        }
        exact.ask_for("usage", "get a");
        exact.ask_expecting("stop", "end stopped\n");
    }
}

#[test]
fn an_acknowledgement_makes_room_in_the_window() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("head -c 100000 /dev/zero")));
    exact.ask("watch p window=4096");
    let mut sent = 0;
    loop {
        match exact.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position, sent);
                sent += data.len() as u64;
                // In two steps, so that it is partial.
                exact.send(format!("ack p {}\nack p {sent}\n", sent - 1));
            }
            Seen::Closed { position, .. } => {
                assert_eq!((position, sent), (100_000, 100_000));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}
