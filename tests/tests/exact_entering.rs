//! How a session becomes exact, and how its lines and answers run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::{Exact, number_of, value_of};
use papad_tests::{BANNER, Papad};

#[test]
fn the_line_is_answered_by_whom_one_is_speaking_with() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("protocol 2\n");
    session.expect("ok 1\n");
    let hello = String::from_utf8(session.read_line()).unwrap();
    let id = value_of(&hello, "id");
    assert_eq!(hello, format!("protocol=2 version=0.1.0 pid={} id={id}", papad.keeper_pid()));
    assert_eq!(id.len(), 16);
    assert!(id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
}

#[test]
fn the_id_stays_when_the_server_is_killed_and_not_when_papad_starts_anew() {
    let papad = Papad::start();
    let before = Exact::tcp(&papad).hello().to_owned();
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).hello(), before);
    let other = Papad::start();
    assert_ne!(value_of(Exact::tcp(&other).hello(), "id"), value_of(&before, "id"));
}

#[test]
fn the_line_may_be_sent_before_the_banner_was_read_with_requests_behind_it() {
    let papad = Papad::start();
    let mut session = papad.connect();
    session.send("protocol 2\nset a \"b c\"\nget a\n");
    session.expect(BANNER);
    session.expect("ok 1\n");
    session.read_line();
    session.expect("ok 0\nok 1\n\"b c\"\n");
}

#[test]
fn commands_of_papa_before_the_line_are_answered_as_papa_does() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("set a 1\nprotocol 2\nget a\n");
    session.expect("\n> ok 1\n");
    session.read_line();
    session.expect("ok 1\n1\n");
}

#[test]
fn telnets_line_end_is_as_good() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send("protocol 2\r\nset a b\r\nget a\r\n");
    session.expect("ok 1\n");
    session.read_line();
    session.expect("ok 0\nok 1\nb\n");
}

#[test]
fn another_version_is_refused_and_the_session_stays_papas() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("protocol 3", "Error: papad speaks protocol 1 and 2, not 3");
    session.ask_expecting("protocol two", "Error: papad speaks protocol 1 and 2, not two");
    session.ask_expecting("set a 1", "");
    session.ask_expecting("get a", "1");
}

#[test]
fn the_line_cannot_be_abbreviated_or_be_in_capitals() {
    let papad = Papad::start();
    let mut session = papad.session();
    for line in ["proto 2", "PROTOCOL 2", "protocol"] {
        let word = line.split(' ').next().unwrap().to_lowercase();
        session.ask_expecting(line, format!("Error: Unknown command \"{word}\""));
    }
}

#[test]
fn an_exact_session_has_no_way_back() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_for("usage", "protocol 1");
    exact.ask_for("usage", "protocol 2");
    exact.ask_expecting("set a 1", "ok 0\n");
}

#[test]
fn other_sessions_stay_as_they_are() {
    let papad = Papad::start();
    let mut plain = papad.session();
    let mut exact = Exact::tcp(&papad);
    exact.ask("set a 1");
    plain.ask_expecting("get a", "1");
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let requests = |number| format!("set v {number}\nget v\nget nothing\n");
    let why = "\"there is no value of the name nothing\"";
    let answers = |number| format!("ok 0\nok 1\n{number}\nerror not-found {why}\n");
    exact.send((0..5000).map(requests).collect::<Vec<_>>().concat());
    exact.expect((0..5000).map(answers).collect::<Vec<_>>().concat());
}

#[test]
fn an_empty_line_is_not_answered() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.send("\n\r\n   \nset a 1\n\n");
    exact.expect("ok 0\n");
    exact.ask_expecting("get a", "ok 1\n1\n");
}

#[test]
fn nothing_is_abbreviated_and_case_counts() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for line in [
        "l values",
        "list value",
        "list v",
        "LIST values",
        "Set a 1",
        "stat",
        "make sockets s",
        "remove process p",
        "exit",
        "q",
    ] {
        exact.ask_for("usage", line);
    }
    exact.ask_expecting("list values", "ok 0\n");
}

#[test]
fn a_request_that_comes_in_pieces_is_one() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for byte in b"set a \"b c\"\nget a\n" {
        exact.send([*byte]);
    }
    exact.expect("ok 0\nok 1\n\"b c\"\n");
}

#[test]
fn half_a_line_before_the_end_is_no_request() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.send("set a 1\nset a 2");
    exact.finish_sending();
    exact.expect("ok 0\n");
    exact.expect_closed();
    Exact::tcp(&papad).ask_expecting("get a", "ok 1\n1\n");
}

#[test]
fn quit_is_answered_and_closes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.send("quit\nset a 1\n");
    exact.expect("ok 0\n");
    exact.expect_closed();
    Exact::tcp(&papad).ask_expecting("list values", "ok 0\n");
}

#[test]
fn papad_ends_when_it_is_idle_and_not_before() {
    let mut papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for (make, remove) in [
        ("set a 1", "unset a"),
        ("set a 1 for=session", "unset a"),
        ("make socket s", "remove sockets s"),
    ] {
        exact.ask(make);
        exact.ask_for("busy", "exit-if-idle");
        exact.ask(remove);
    }
    exact.ask("make process p -- /bin/sleep 1000");
    exact.ask_for("busy", "exit-if-idle");
    let pid = number_of(&exact.ask_line("list processes"), "pid");
    exact.ask("remove processes p");
    exact.ask_for("busy", "exit-if-idle");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid as i32),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    papad_tests::eventually("the process has left the list", || {
        exact.ask("list processes").is_empty()
    });
    exact.ask_expecting("exit-if-idle", "ok 0\n");
    exact.expect_closed();
    assert!(papad.wait_for_exit().success());
}

#[test]
fn help_is_lines_of_one_word_each() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let lines = exact.ask("help");
    let lines: Vec<_> =
        lines.iter().map(|line| papad_tests::exact::words(line.as_bytes())).collect();
    assert!(lines.iter().all(|words| words.len() == 1), "{lines:?}");
    for request in ["make socket NAME", "make process NAME", "watch NAME", "exit-if-idle"] {
        let is_there = lines
            .iter()
            .any(|words| words[0].windows(request.len()).any(|w| w == request.as_bytes()));
        assert!(is_there, "{request}");
    }
    exact.ask_for("usage", "help me");
}
