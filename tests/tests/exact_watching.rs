//! Watching in protocol 2: frames, acknowledgements, positions and the end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, make_writer, number_of, read_data, script};
use papad_tests::{Papad, Stream, eventually};

#[test]
fn frames_are_written_as_the_protocol_says() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let command = script("echo out; /bin/sleep 0.1; printf 'err\\0' >&2; exit 3");
    let made = exact.ask_line(format!("make process p {command}"));
    let pid = number_of(&made, "pid");
    exact.ask_expecting("watch p", format!("ok 1\nname=p id=1 pid={pid} from=0\n"));
    let Seen::Data { name, stream: Stream::Out, position: 0, time, data } = exact.next_seen()
    else {
        panic!("no stdout");
    };
    assert_eq!((&name[..], &data[..]), (&b"p"[..], &b"out\n"[..]));
    assert!(time > number_of(&made, "started"));
    let Seen::Data { stream: Stream::Err, position: 4, time: later, data, .. } = exact.next_seen()
    else {
        panic!("no stderr");
    };
    assert_eq!(data, b"err\0");
    assert!(later > time);
    let Seen::Closed { position: 8, time: end, end: how, .. } = exact.next_seen() else {
        panic!("not closed");
    };
    assert!(end >= later && how == "exit 3");
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn a_name_in_a_frame_is_a_word() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process \"a\\\"\\xff\" -- /bin/echo x");
    let pid = number_of(&exact.ask_line("list processes"), "pid");
    exact.ask_expecting("watch a*", format!("ok 1\n\"name=a\\\"\\xff\" id=1 pid={pid} from=0\n"));
    exact.expect("data \"a\\\"\\xff\" out 0 ");
    assert!(exact.next_line().ends_with(b" 2"));
    exact.expect("x\nclosed \"a\\\"\\xff\" 2 ");
    exact.next_line();
    exact.ask_expecting("ack \"a\\x22\\xff\" closed\nstop", "end stopped\n");
}

#[test]
fn an_end_by_a_signal_is_told() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let made = exact.ask_line("make process p -- /bin/sleep 1000");
    exact.ask("watch p");
    kill(Pid::from_raw(number_of(&made, "pid") as i32), Signal::SIGKILL).unwrap();
    assert!(
        matches!(exact.next_seen(), Seen::Closed { position: 0, end, .. } if end == "signal 9")
    );
    exact.ask_expecting("stop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" signal=9 "));
}

#[test]
fn what_is_acknowledged_is_dropped_and_what_is_not_stays() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abcdefghij");
    exact.ask("watch p");
    assert_eq!(read_data(&mut exact, 10), b"abcdefghij");
    exact.ask_expecting("ack p 4\nstop", "end stopped\n");
    assert_eq!(number_of(&exact.ask_line("list processes"), "first"), 4);
    let line = exact.ask_line("watch p");
    assert_eq!(number_of(&line, "from"), 4);
    assert!(matches!(exact.next_seen(), Seen::Data { position: 4, data, .. } if data == b"efghij"));
    // An acknowledgement of less than before changes nothing.
    exact.ask_expecting("ack p 7\nack p 2\nack p 7\nstop", "end stopped\n");
    assert_eq!(number_of(&exact.ask_line("list processes"), "first"), 7);
}

#[test]
fn a_wrong_acknowledgement_is_an_error_and_the_watch_goes_on() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    exact.ask("watch p");
    read_data(&mut exact, 3);
    exact.ask_for("conflict", "ack p 4");
    exact.ask_for("conflict", "ack p 18446744073709551615");
    exact.ask_for("conflict", "ack p closed");
    exact.ask_for("not-found", "ack q 1");
    for line in [
        "ack",
        "ack p",
        "ack p -1",
        "ack p +1",
        "ack p 18446744073709551616",
        "ack p 1 2",
        "ack p CLOSED",
    ] {
        exact.ask_for("usage", line);
    }
    exact.ask_expecting("ack p 3\nstop", "end stopped\n");
    assert_eq!(number_of(&exact.ask_line("list processes"), "first"), 3);
}

#[test]
fn other_requests_have_to_wait_until_the_watch_is_over() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    exact.ask("watch p mode=peek");
    read_data(&mut exact, 3);
    for line in [
        "get a",
        "set a 1",
        "list processes",
        "quit",
        "help",
        "nonsense",
        "stop now",
        "\"a",
        "STOP",
    ] {
        exact.ask_for("usage", line);
    }
    exact.send("\n\n");
    exact.ask_expecting("stop", "end stopped\n");
    exact.ask_expecting("list values", "ok 0\n");
}

#[test]
fn what_was_said_to_a_watch_that_had_ended_already_is_passed_over() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p -- /bin/true");
    exact.ask("watch p");
    assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
    exact.ask_expecting("stop\nack p closed\nack p 7\nset a 1\nget a", "ok 0\nok 1\n1\n");
    // From the first request on, they are wrong again.
    exact.ask_for("usage", "stop");
    exact.ask_for("usage", "ack p 1");
}

#[test]
fn stop_crosses_the_end_without_harm() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for _ in 0..100 {
        exact.ask("make process p -- /bin/true");
        exact.send("watch p mode=peek\nstop\n");
        assert!(exact.reply().is_ok());
        loop {
            match exact.next_seen() {
                Seen::Closed { .. } => {}
                Seen::End(_) => break,
                other => panic!("{other:?}"),
            }
        }
        exact.ask_expecting("set a 1", "ok 0\n");
        exact.ask("remove processes p");
        eventually("it has left the list", || exact.ask("list processes").is_empty());
    }
}

#[test]
fn a_peeker_never_consumes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("printf abc; exit 1")));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=1"));
    for _ in 0..3 {
        exact.ask("watch p mode=peek");
        assert!(
            matches!(exact.next_seen(), Seen::Data { position: 0, data, .. } if data == b"abc")
        );
        assert!(matches!(exact.next_seen(), Seen::Closed { .. }));
        assert_eq!(exact.next_seen(), Seen::End("finished".into()));
        exact.send("ack p 3\nack p closed\n");
    }
    let line = exact.ask_line("list processes");
    assert!(line.contains(" first=0 next=3 lost=0 watchers=0 "), "{line}");
}

#[test]
fn a_peekers_acknowledgements_are_passed_over() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    exact.ask("watch p mode=peek");
    read_data(&mut exact, 3);
    exact.ask_expecting("ack p 3\nack p 99\nack p closed\nstop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=0 next=3 "));
}

#[test]
fn requests_to_watch_that_are_not_understood_watch_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    make_writer(&mut exact, "q", "abc");
    for line in [
        "watch",
        "watch mode=peek",
        "watch p mode=look",
        "watch p from=1 from=1",
        "watch p from=-1",
        "watch p from=first",
        "watch p q from=1",
        "watch p* from=1",
        "watch p follow=maybe",
        "watch p data=0",
        "watch p window=4095",
        "watch p window=65m",
        "watch p window=0",
        "watch p colour=red",
        "watch --",
    ] {
        exact.ask_for("usage", line);
    }
    exact.ask_for("not-found", "watch p nothing");
    exact.ask_for("not-found", "watch nothing follow=no");
    let lines = exact.ask("list processes");
    assert!(lines.iter().all(|line| line.contains(" watchers=0 ")), "{lines:?}");
}

#[test]
fn names_that_look_like_options_come_after_two_dashes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["mode=peek", "--", "x=1"] {
        exact.ask(format!("make process {name} -- /bin/sleep 1000"));
    }
    assert_eq!(exact.ask("watch mode=peek -- mode=peek x=1").len(), 2);
    exact.ask_expecting("stop", "end stopped\n");
    assert_eq!(exact.ask("watch -- --").len(), 1);
    exact.ask_expecting("stop", "end stopped\n");
    assert_eq!(exact.ask("list processes mode=peek --").len(), 2);
}

#[test]
fn a_client_that_leaves_while_watching_is_watching_no_more() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "abc");
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch p");
    read_data(&mut watcher, 3);
    watcher.send("ack p 2\n");
    watcher.finish_sending();
    watcher.expect_closed();
    eventually("it is let go", || {
        exact.ask_line("list processes").contains(" first=2 next=3 lost=0 watchers=0 ")
    });
}
