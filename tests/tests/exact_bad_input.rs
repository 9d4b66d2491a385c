//! Bad input in protocol 2: one error line, and the session goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::Papad;
use papad_tests::exact::Exact;
use papad_tests::kills::Random;

/// The longest line, in bytes.
const MAX_LINE: usize = 2 << 20;

const TOO_LONG: &str = "error limit \"a line may have at most 2097152 bytes\"\n";

#[test]
fn a_line_without_an_end_is_refused_and_the_connection_closes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    // The rest may find the connection closed.
    let _ = exact.try_send(vec![b'a'; 3_000_000]);
    exact.expect(TOO_LONG);
    exact.expect_closed();
    Exact::tcp(&papad).ask_expecting("set a 1", "ok 0\n");
}

#[test]
fn a_line_without_an_end_in_a_watch_is_refused_likewise() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("watch *", "ok 0\n");
    let _ = exact.try_send(vec![b'a'; 3_000_000]);
    exact.expect(TOO_LONG);
    exact.expect_closed();
}

#[test]
fn what_came_before_a_line_without_an_end_is_answered() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.send("set a 1\n");
    let _ = exact.try_send(vec![b' '; 3_000_000]);
    exact.expect(format!("ok 0\n{TOO_LONG}"));
    exact.expect_closed();
}

#[test]
fn a_line_of_the_greatest_length_is_taken() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let value = "x".repeat(MAX_LINE - "set a \n".len());
    exact.ask_expecting(format!("set a {value}"), "ok 0\n");
    exact.ask_expecting("get a", format!("ok 1\n{value}\n"));
    papad.kill_server();
    Exact::tcp(&papad).ask_expecting("get a", format!("ok 1\n{value}\n"));
}

#[test]
fn a_long_line_of_nothing_but_words_is_one_error() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for line in ["a ".repeat(500_000), "\"".repeat(500_001), "\\".repeat(1_000_000)] {
        let why = exact.ask_for("usage", &line);
        assert!(why.len() < 500, "{} bytes", why.len());
    }
    exact.ask_for("usage", format!("make process p {} -- /bin/true", "a=b ".repeat(200_000)));
    exact.ask_for("usage", format!("make socket s {}", "x".repeat(1_000_000)));
    exact.ask_for("not-found", format!("watch {}", "n ".repeat(500_000)));
    assert!(exact.ask(format!("list values {}", "n* ".repeat(500_000))).is_empty());
}

#[test]
fn a_command_longer_than_exec_takes_is_told() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    // One argument may have at most 128 KiB (execve(2)).
    exact.ask_for("spawn", format!("make process p -- /bin/true {}", "x".repeat(200_000)));
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn random_lines_are_each_answered_once() {
    const FRAGMENTS: &[&str] = &[
        "set",
        "get",
        "list",
        "make",
        "remove",
        "values",
        "processes",
        "process",
        "sockets",
        "socket",
        "watch",
        "ack",
        "stop",
        "show",
        "unset",
        "adopt",
        "fetch",
        "pidfd",
        "a",
        "b",
        "a*",
        "*",
        "a=b",
        "--",
        "if=absent",
        "for=session",
        "mode=peek",
        "follow=no",
        "\"\"",
        "\"a b\"",
        "\"\\x00\"",
        "\"",
        "\\",
        "\t",
        "\x01",
        "port=0",
        "env.A=1",
        "bufsize=0",
        "/bin/true",
        "0",
        "1",
        "18446744073709551616",
        "from=0",
        "\u{e9}",
    ];
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut random = Random::from_environment();
    for _ in 0..3000 {
        let count = 1 + random.below(6);
        let line = (0..count).map(|_| *random.pick(FRAGMENTS)).collect::<Vec<_>>().join(" ");
        if line.trim().is_empty() || line.trim().starts_with("watch") {
            continue;
        }
        exact.send(format!("{line}\nget \"no such value\"\n"));
        // Whether it is understood is not the question here.
        let _ = exact.reply();
        exact.expect("error not-found \"there is no value of the name no such value\"\n");
    }
    // In a watch, what is no request of a watch is an error.
    exact.ask("watch x*");
    for _ in 0..1000 {
        let count = 1 + random.below(4);
        let line = (0..count).map(|_| *random.pick(FRAGMENTS)).collect::<Vec<_>>().join(" ");
        let is_for_a_watch =
            ["watch", "ack", "stop"].iter().any(|verb| line.trim().starts_with(verb));
        if line.trim().is_empty() || is_for_a_watch {
            continue;
        }
        exact.ask_for("usage", line);
    }
    exact.ask_expecting("stop", "end stopped\n");
}

#[test]
fn random_bytes_do_no_harm() {
    let papad = Papad::start();
    let mut random = Random::from_environment();
    for _ in 0..100 {
        let mut exact = Exact::tcp(&papad);
        let mut bytes: Vec<u8> = (0..2000).map(|_| random.below(256) as u8).collect();
        // What telnet sends by itself, the end of a session included, is no part of a line.
        bytes.retain(|byte| !b"\t\r\x0c\x04\xff".contains(byte));
        bytes.push(b'\n');
        // None of these is a request, so each line that has a word gets an error.
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let lines = lines.count();
        exact.send(&bytes);
        for _ in 0..lines {
            assert_eq!(exact.reply().unwrap_err().code, "usage");
        }
        exact.ask_expecting("list processes", "ok 0\n");
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let papad = Papad::start();
    let mut lazy = Exact::tcp(&papad);
    lazy.ask(format!("set a {}", "x".repeat(1_000_000)));
    lazy.send("get a\n".repeat(100));
    let mut other = Exact::tcp(&papad);
    other.ask_expecting("set b 1", "ok 0\n");
    other.ask_expecting("get b", "ok 1\n1\n");
    drop(lazy);
    other.ask_expecting("get b", "ok 1\n1\n");
}
