//! Values in protocol 2: compare and set, and values that end with their session.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::Exact;
use papad_tests::{Papad, eventually};

#[test]
fn a_value_is_set_got_listed_and_unset() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("set a 1", "ok 0\n");
    exact.ask_expecting("set a \"\"", "ok 0\n");
    exact.ask_expecting("get a", "ok 1\n\"\"\n");
    exact.ask_expecting("list values", "ok 1\nname=a value=\n");
    exact.ask_expecting("unset a", "ok 0\n");
    exact.ask_expecting("get a", "error not-found \"there is no value of the name a\"\n");
    exact.ask_for("not-found", "unset a");
}

#[test]
fn lists_are_in_order_of_names_and_pass_over_what_is_not_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["b.2", "a", "b.1", "B", "\"\\xff\\xfe\""] {
        exact.ask(format!("set {name} 1"));
    }
    let line = |name: &str| format!("name={name} value=1\n");
    let of_ff = "\"name=\\xff\\xfe\" value=1\n";
    let all = ["B", "a", "b.1", "b.2"].map(line).concat() + of_ff;
    exact.ask_expecting("list values", format!("ok 5\n{all}"));
    exact.ask_expecting("list values nothing *", format!("ok 5\n{all}"));
    exact.ask_expecting(
        "list values b.* nothing x*",
        format!("ok 2\n{}", line("b.1") + &line("b.2")),
    );
    exact.ask_expecting(
        "list values b.2 a b.2 b*",
        format!("ok 3\n{}", ["a", "b.1", "b.2"].map(line).concat()),
    );
    exact.ask_expecting("list values nothing", "ok 0\n");
}

#[test]
fn a_value_is_removed_by_names_all_of_which_are_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["a", "b.1", "b.2", "c"] {
        exact.ask(format!("set {name} 1"));
    }
    exact.ask_for("usage", "remove values");
    exact.ask_for("not-found", "remove values a nothing");
    exact.ask_expecting("remove values a b.* x*", "ok 3\nname=a\nname=b.1\nname=b.2\n");
    exact.ask_expecting("remove values *", "ok 1\nname=c\n");
    exact.ask_expecting("remove values *", "ok 0\n");
}

#[test]
fn a_condition_that_does_not_hold_changes_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("set a 1 if=0", "error conflict \"there is no such value\"\n");
    exact.ask_expecting("set a 1 if=", "error conflict \"there is no such value\"\n");
    exact.ask_expecting("set a 1 if=absent", "ok 0\n");
    for condition in ["if=absent", "absent", "if=2", "old=2", "old=absent", "if=", "\"if=1 \""] {
        exact.ask_expecting(
            format!("set a 2 {condition}"),
            "error conflict \"there is another value\"\n",
        );
    }
    exact.ask_expecting("get a", "ok 1\n1\n");
    exact.ask_expecting("set a 2 if=1", "ok 0\n");
    exact.ask_expecting("set a absent old=2", "ok 0\n");
    exact.ask_for("conflict", "set a 3 if=absent");
    exact.ask_expecting("set a \"x \\n=\" old=absent", "ok 0\n");
    exact.ask_expecting("set a 4 \"if=x \\n=\"", "ok 0\n");
    exact.ask_expecting("unset a if=5", "error conflict \"there is another value\"\n");
    exact.ask_expecting("unset a old=4", "ok 0\n");
    exact.ask_for("not-found", "unset a if=4");
    exact.ask_expecting("set a 1 absent", "ok 0\n");
    exact.ask_expecting("set a absent", "ok 0\n");
    exact.ask_expecting("get a", "ok 1\nabsent\n");
}

#[test]
fn one_of_many_sets_a_value_that_was_absent() {
    let papad = Papad::start();
    let mut sessions: Vec<Exact> = (0..8).map(|_| Exact::tcp(&papad)).collect();
    for round in 0..50 {
        for (number, exact) in sessions.iter_mut().enumerate() {
            exact.send(format!("set lock{round} {number} if=absent\n"));
        }
        let answers: Vec<_> = sessions.iter_mut().map(Exact::reply).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        let winner = answers.iter().position(Result::is_ok).unwrap();
        assert_eq!(sessions[0].ask(format!("get lock{round}")), [winner.to_string()]);
    }
}

#[test]
fn requests_that_are_not_understood_change_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for line in [
        "set",
        "set a",
        "set a 1 2",
        "set a 1 if=absent old=2",
        "set a 1 for=ever",
        "set a 1 for=session for=session",
        "set a 1 when=2",
        "set \"\" 1",
        "set \"a b\" 1",
        "set \"a\\n\" 1",
        "set a* 1",
        "set * 1",
        "get",
        "get a b",
        "unset",
        "unset a if=absent",
        "unset a 1",
        "unset a if=1 old=1",
    ] {
        exact.ask_for("usage", line);
    }
    exact.ask_for("usage", format!("set {} 1", "n".repeat(256)));
    exact.ask_expecting("list values", "ok 0\n");
    exact.ask_expecting(format!("set {} 1", "n".repeat(255)), "ok 0\n");
}

#[test]
fn a_value_for_the_session_ends_with_it_however_it_ends() {
    let papad = Papad::start();
    let mut other = Exact::tcp(&papad);
    let gone = |other: &mut Exact| {
        eventually("the value has ended with its session", || other.ask("list values").is_empty());
    };
    let begin = || {
        let mut exact = Exact::tcp(&papad);
        exact.ask_expecting("set lock \"me \" if=absent for=session", "ok 0\n");
        exact.ask_expecting("list values", "ok 1\nname=lock \"value=me \" for=session\n");
        exact
    };
    drop(begin());
    gone(&mut other);
    begin().ask("quit");
    gone(&mut other);
    let mut sender = begin();
    sender.finish_sending();
    gone(&mut other);
    // In the middle of a watch, too.
    let mut watcher = begin();
    watcher.ask("watch *");
    other.ask_for("conflict", "set lock other if=absent");
    drop(watcher);
    gone(&mut other);
}

#[test]
fn a_value_for_the_session_ends_with_the_server() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("set lock 1 for=session");
    exact.ask("set kept 1 for=session");
    exact.ask("set kept 2");
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting("list values", "ok 1\nname=kept value=2\n");
    exact.ask_expecting("set lock 2 if=absent for=session", "ok 0\n");
    // What belonged to a session of the killed server is no longer that of any session.
    papad.kill_server();
    Exact::tcp(&papad).ask_expecting("list values", "ok 1\nname=kept value=2\n");
}

#[test]
fn whoever_sets_a_value_says_how_long_it_lasts() {
    let papad = Papad::start();
    let mut first = Exact::tcp(&papad);
    let mut second = Exact::tcp(&papad);
    first.ask("set a 1 for=session");
    second.ask("set a 2 for=session");
    first.ask("set b 1 for=session");
    second.ask("set b 2");
    first.ask("set c 1");
    first.ask("set c 2 for=session");
    first.ask("set end 1 for=session");
    drop(first);
    eventually("the first session has ended", || second.ask("list values end").is_empty());
    second.ask_expecting("list values", "ok 2\nname=a value=2 for=session\nname=b value=2\n");
}

#[test]
fn values_are_those_of_papas_sessions() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut plain = papad.session();
    plain.ask_expecting(r"set a C:\dir with\ \ spaces", "");
    exact.ask_expecting("get a", "ok 1\n\"C:\\\\dir with  spaces\"\n");
    exact.ask("set a 1 for=session");
    plain.ask_expecting("get a", "1");
    plain.ask_expecting("set a", "");
    exact.ask_for("not-found", "get a");
}
