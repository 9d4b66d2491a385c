//! A terminal is not sent what it would obey, and everything else is.

use papad_tests::Papad;

use crate::ctl::Ctl;
use crate::terminal::Terminal;

/// Sets the terminal's title, clears it, and makes something red.
const SCRIPT: &str = r"printf 'one\033]0;title\007\033[2J\n\033[31mred\033[0m\n'";
const WRITTEN: &str = "one\u{1b}]0;title\u{7}\u{1b}[2J\n\u{1b}[31mred\u{1b}[0m\n";
const ESCAPED: &str = "one\\x1b]0;title\\x07\\x1b[2J\r\n\u{1b}[31mred\u{1b}[0m\r\n";

/// What a terminal is sent. It makes CR LF of each LF.
fn on_terminal(ctl: &Ctl, words: &[&str]) -> String {
    let mut terminal = Terminal::start(ctl, words, (24, 80));
    terminal.wait();
    String::from_utf8(terminal.bytes()).unwrap()
}

#[test]
fn output_is_escaped_on_a_terminal_and_nowhere_else() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["run", "web", "--", "/bin/sh", "-c", SCRIPT]);
    ctl.ok(&["wait", "web"]);
    let raw = WRITTEN.replace('\n', "\r\n");
    assert_eq!(on_terminal(&ctl, &["logs", "web"]), ESCAPED);
    assert_eq!(on_terminal(&ctl, &["logs", "--raw", "web"]), raw);
    assert_eq!(ctl.ok(&["logs", "web"]), WRITTEN);
    let lines = on_terminal(&ctl, &["logs", "-t", "web"]);
    assert!(lines.contains(r"one\x1b]0;title\x07\x1b[2J") && !lines.contains('\u{7}'), "{lines}");

    let attached = ["run", "--attach", "--rm", "a", "--", "/bin/sh", "-c", SCRIPT];
    assert_eq!(on_terminal(&ctl, &attached), ESCAPED);
    let attached = ["run", "--attach", "--raw", "--rm", "a", "--", "/bin/sh", "-c", SCRIPT];
    assert_eq!(on_terminal(&ctl, &attached), raw);
}

#[test]
fn a_value_is_escaped_on_a_terminal_and_nowhere_else() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["set", "title", WRITTEN]);
    assert_eq!(on_terminal(&ctl, &["get", "-n", "title"]), ESCAPED);
    assert_eq!(on_terminal(&ctl, &["get", "-n", "--raw", "title"]), WRITTEN.replace('\n', "\r\n"));
    assert_eq!(ctl.ok(&["get", "-n", "title"]), WRITTEN);
}
