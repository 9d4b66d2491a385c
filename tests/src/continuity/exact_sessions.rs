//! Sessions that speak protocol 2.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use super::Subject;
use super::papa_sessions::{MANY, set_long};
use super::sessions::GoOn;
use crate::eventually;
use crate::exact::{Exact, Seen, number_of, wait_for_end};

/// Lines of more output than a connection takes unread.
const LINES: usize = 3_000_000;

/// The numbers from 1 on, as `seq` writes them.
fn numbers(last: usize) -> Vec<u8> {
    (1..=last).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

/// Watches on from this position to the end, acknowledging all; returns the output and how it
/// ended.
#[track_caller]
fn watch_on(exact: &mut Exact, name: &str, from: usize) -> (Vec<u8>, String) {
    let mut output = Vec::new();
    loop {
        match exact.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position as usize, from + output.len());
                output.extend(data);
                exact.send(format!("ack {name} {}\n", from + output.len()));
            }
            Seen::Closed { position, end, .. } => {
                assert_eq!(position as usize, from + output.len());
                exact.send(format!("ack {name} closed\n"));
                return (output, end);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Reads so many bytes of output from this position on, and acknowledges nothing.
#[track_caller]
fn read_more(exact: &mut Exact, from: usize, length: usize) -> Vec<u8> {
    let mut output = Vec::new();
    while output.len() < length {
        match exact.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position as usize, from + output.len());
                output.extend(data);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(output.len(), length);
    output
}

#[track_caller]
fn expect_data(exact: &mut Exact, at: usize, expected: &str) {
    match exact.next_seen() {
        Seen::Data { position, data, .. } => {
            assert_eq!((position as usize, data.as_slice()), (at, expected.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn pipelining(subject: &Subject) -> GoOn {
    let value = set_long(subject);
    let mut exact = subject.exact();
    // At once: papad stops reading when its replies are not read.
    let requests = (0..MANY).map(|number| format!("get long\nget none.{number}\n"));
    exact.send(requests.collect::<String>());
    Box::new(move |_| {
        for number in 0..MANY {
            assert_eq!(exact.reply().unwrap(), [value.as_str()]);
            let refusal = exact.reply().unwrap_err();
            assert!(refusal.what.ends_with(&format!(" none.{number}")), "{refusal:?}");
        }
        assert_eq!(exact.ask("list processes none"), [""; 0]);
    })
}

pub(super) fn within_a_word(subject: &Subject) -> GoOn {
    let mut exact = subject.exact();
    exact.send("set within.word \"a\\");
    Box::new(move |_| {
        exact.ask_expecting("\"b\\x0", "");
        exact.ask_expecting("a\"", "");
    })
}

pub(super) fn slow_to_read(subject: &Subject) -> GoOn {
    subject.make("slow", "bufsize=64m", &format!("seq 1 {LINES}; exit 6"));
    let mut exact = subject.exact();
    wait_for_end(&mut exact, "slow");
    exact.send("watch slow window=64m\n");
    Box::new(move |_| {
        let opening = exact.reply().unwrap();
        assert_eq!(number_of(&opening[0], "from"), 0);
        let (output, end) = watch_on(&mut exact, "slow", 0);
        assert!(output == numbers(LINES), "other bytes than were written");
        assert_eq!(end, "exit 6");
        assert_eq!(exact.next_seen(), Seen::End("finished".to_owned()));
        assert_eq!(exact.ask("list processes slow"), [""; 0]);
    })
}

pub(super) fn full_window(subject: &Subject) -> GoOn {
    const WINDOW: usize = 4096;
    subject.make("window", "", "seq 1 20000; exit 7");
    let mut exact = subject.exact();
    wait_for_end(&mut exact, "window");
    exact.ask("watch window window=4k");
    let mut output = read_more(&mut exact, 0, WINDOW);
    Box::new(move |_| {
        // The window is full still: no more was sent, and only what is acknowledged makes room.
        exact.ask_for("conflict", format!("ack window {}", WINDOW + 1));
        exact.send("ack window 96\n");
        output.extend(read_more(&mut exact, WINDOW, 96));
        exact.send(format!("ack window {}\n", output.len()));
        let (rest, end) = watch_on(&mut exact, "window", output.len());
        output.extend(rest);
        assert!(output == numbers(20000), "other bytes than were written");
        assert_eq!(end, "exit 7");
        assert_eq!(exact.next_seen(), Seen::End("finished".to_owned()));
    })
}

pub(super) fn peeking(subject: &Subject) -> GoOn {
    let fifo = subject.make_echo("peeked", 8);
    let mut exact = subject.exact();
    exact.ask("watch peeked mode=peek");
    fifo.send("one");
    expect_data(&mut exact, 0, "one\n");
    Box::new(move |subject| {
        fifo.send("two");
        expect_data(&mut exact, 4, "two\n");
        fifo.send("end");
        match exact.next_seen() {
            Seen::Closed { position: 8, end, .. } => assert_eq!(end, "exit 8"),
            other => panic!("{other:?}"),
        }
        assert_eq!(exact.next_seen(), Seen::End("finished".to_owned()));
        // Nothing was taken.
        let line = subject.exact().ask_line("list processes peeked");
        assert_eq!((number_of(&line, "first"), number_of(&line, "next")), (0, 8));
    })
}

pub(super) fn wildcard(subject: &Subject) -> GoOn {
    let mut exact = subject.exact();
    exact.ask("watch joined.*");
    let before = subject.make_echo("joined.before", 0);
    let joined = exact.next_seen();
    assert!(matches!(&joined, Seen::Joined { name, .. } if name == b"joined.before"), "{joined:?}");
    Box::new(move |subject| {
        let pid = subject.make("joined.after", "", "echo hello; exit 9");
        match exact.next_seen() {
            Seen::Joined { name, pid: joined, .. } => {
                assert_eq!((name.as_slice(), joined), (&b"joined.after"[..], pid));
            }
            other => panic!("{other:?}"),
        }
        let (output, end) = watch_on(&mut exact, "joined.after", 0);
        assert_eq!((output.as_slice(), end.as_str()), (&b"hello\n"[..], "exit 9"));
        // The one that has joined before does not join again.
        before.send("one");
        expect_data(&mut exact, 0, "one\n");
        exact.ask_expecting("stop", "end stopped\n");
    })
}

pub(super) fn ends_alone(subject: &Subject) -> GoOn {
    let fifo = subject.make_echo("ends", 10);
    let mut exact = subject.exact();
    exact.ask("watch ends data=no");
    Box::new(move |_| {
        fifo.send("one");
        fifo.send("end");
        match exact.next_seen() {
            Seen::Closed { position: 4, end, .. } => assert_eq!(end, "exit 10"),
            other => panic!("{other:?}"),
        }
        exact.ask_expecting("ack ends closed", "end finished\n");
    })
}

pub(super) fn not_following(subject: &Subject) -> GoOn {
    let fifo = subject.make_echo("now", 11);
    let mut exact = subject.exact();
    fifo.send("one");
    eventually("it has written", || exact.ask_line("list processes now").contains(" next=4 "));
    exact.ask("watch now follow=no");
    expect_data(&mut exact, 0, "one\n");
    Box::new(move |_| {
        fifo.send("two");
        exact.ask_expecting("ack now 4", "end finished\n");
    })
}

pub(super) fn keeping_a_value(subject: &Subject) -> GoOn {
    let mut exact = subject.exact();
    exact.ask("set mine 1 for=session");
    Box::new(move |subject| {
        let mut other = subject.exact();
        assert_eq!(other.ask("get mine"), ["1"]);
        assert_eq!(exact.ask("get mine"), ["1"]);
        drop(exact);
        eventually("a session's value ends with it", || {
            other.try_ask("get mine").unwrap().is_err()
        });
    })
}

pub(super) fn passing_a_descriptor(subject: &Subject) -> GoOn {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut exact = subject.exact();
    exact.send_with("adopt socket ado", &[listener.as_fd()]);
    Box::new(move |_| {
        let line = exact.ask_line("pted");
        // How many connections may wait is the version's choice.
        let (name, _) = line.split_once(" backlog=").unwrap();
        assert_eq!(name, "name=adopted family=inet type=stream");
        assert!(line.contains(&format!(" host=127.0.0.1 port={port} fileno=")), "{line}");
        drop(listener);
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    })
}

pub(super) fn fetching_a_descriptor(subject: &Subject) -> GoOn {
    let value = set_long(subject);
    let mut exact = subject.exact();
    let made = exact.ask_line("make socket fetched");
    exact.send("get long\n".repeat(MANY));
    exact.send("fetch socket fetched\nget long\n");
    Box::new(move |_| {
        for _ in 0..MANY {
            assert_eq!(exact.reply().unwrap(), [value.as_str()]);
        }
        assert_eq!(exact.reply().unwrap(), ["name=fetched"]);
        let listener = TcpListener::from(exact.take_descriptor().expect("it comes with its line"));
        let port = listener.local_addr().unwrap().port();
        assert_eq!(u64::from(port), number_of(&made, "port"));
        assert_eq!(exact.reply().unwrap(), [value.as_str()]);
    })
}
