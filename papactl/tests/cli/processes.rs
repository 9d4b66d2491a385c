//! ps.

use papad_tests::exact::{Exact, make_writer};
use papad_tests::{Papad, wait_for_end};
use serde_json::{Value, json};

use crate::ctl::{Ctl, words};
use crate::terminal::Terminal;

#[test]
fn processes_are_shown_with_what_matters_of_them() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let pid = make_writer(&mut Exact::tcp(&papad), "web", "hello");
    papad.session().ask("make process end /bin/sh -c exit\\ 3");
    wait_for_end(&mut papad.session(), "end");

    let table = ctl.ok(&["ps"]);
    let table = words(&table);
    assert_eq!(
        table[0],
        [
            "NAME", "STATE", "PID", "AGE", "USER", "UNREAD", "LOST", "WATCHERS", "CPU", "MEM",
            "COMMAND"
        ]
    );
    assert_eq!(table[1][..3], ["end", "exit", "3"]);
    assert_eq!(table[2][..3], ["web", "running", &pid.to_string()]);
    assert_eq!(table[2][5..8], ["5", "0", "0"]);
    assert_eq!(words(&ctl.ok(&["ps", "w*"])).len(), 2);

    let json = ctl.json(&["ps"]);
    let key = |index: usize, key: &str| json[index][key].clone();
    assert_eq!((key(0, "state"), key(0, "exit_status")), (json!("exited"), json!(3)));
    assert_eq!((key(1, "pid"), key(1, "unread")), (json!(pid), json!(5)));
    assert_eq!((key(1, "exit_status"), key(1, "signal")), (Value::Null, Value::Null));
}

#[test]
fn a_name_that_is_not_there_is_an_error_and_a_wildcard_may_match_nothing() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(
        ctl.fails(&["ps", "web"]),
        (
            3,
            "papactl: there is no process of the name web; \"papactl ps\" shows those that there \
             are"
            .to_owned()
        )
    );
    assert_eq!(ctl.json(&["ps", "web*"]), json!([]));
}

#[test]
fn the_table_fits_the_terminal_and_is_coloured_only_there() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    papad.session().ask(format!("make process web /bin/sleep 1000{}", " 0".repeat(100)));
    for columns in [200, 80, 40, 20] {
        let (status, screen) = Terminal::start(&ctl, &["ps"], (10, columns)).wait();
        assert_eq!(status, 0);
        let lines: Vec<&str> = screen.lines().collect();
        assert_eq!(lines.len(), 2, "at {columns} no line is broken:\n{screen}");
        assert_eq!(lines[0].contains("USER"), columns >= 80, "{screen}");
        assert!(lines[1].starts_with("web"), "{screen}");
    }
    let is_coloured = |environment: &[(&str, &str)], words: &[&str]| {
        let mut terminal = Terminal::start_in(&ctl, words, (10, 80), environment);
        terminal.wait();
        terminal.bytes().contains(&0x1b)
    };
    assert!(is_coloured(&[], &["ps"]));
    assert!(!is_coloured(&[("NO_COLOR", "1")], &["ps"]));
    assert!(!is_coloured(&[], &["ps", "--color=never"]));
    assert!(!ctl.ok(&["ps"]).contains('\u{1b}'));
    assert!(ctl.ok(&["ps", "--color=always"]).contains('\u{1b}'));
}
