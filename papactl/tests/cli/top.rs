//! top, and ps --watch: what goes on.

use std::io::{BufRead, BufReader};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, make_writer, number_of, script};
use papad_tests::{Papad, eventually, procfs};
use serde_json::{Value, json};

use crate::ctl::Ctl;
use crate::terminal::Terminal;

/// Whether the last thing that a terminal was sent puts it back as it was.
fn is_restored(terminal: &Terminal) -> bool {
    let sent = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let find = |what: &str| sent.rfind(what);
    // The other screen, and the cursor.
    find("\u{1b}[?1049h") < find("\u{1b}[?1049l") && find("\u{1b}[?25l") < find("\u{1b}[?25h")
}

/// The line of the screen that begins with this word.
fn line_of<'a>(screen: &'a str, word: &str) -> Option<&'a str> {
    screen.lines().find(|line| line.split_whitespace().next() == Some(word))
}

#[test]
fn top_shows_who_writes_most_and_ends_with_q() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "a.quiet", "hello");
    exact.ask_line(format!(
        "make process loud bufsize=4k {}",
        script("while :; do echo loud; done")
    ));
    let mut terminal = Terminal::start(&ctl, &["top", "-d", "100ms"], (12, 100));
    let screen = terminal.wait_for("the loud one is first", |screen| {
        screen.lines().nth(3).is_some_and(|line| line.starts_with("loud") && line.contains('█'))
    });
    assert!(
        screen.starts_with("papad 0.") && screen.contains("2 processes, 2 running"),
        "{screen}"
    );
    assert!(line_of(&screen, "a.quiet").is_some_and(|line| line.contains("/bin/sh")), "{screen}");
    // By rate, by what is unread, by name.
    terminal.send("s");
    terminal.wait_for_text("by unread");
    terminal.send("s");
    let is_by_name = |screen: &str| {
        screen.contains("by name") && screen.lines().nth(3).is_some_and(|it| it.starts_with("a."))
    };
    terminal.wait_for("by name", is_by_name);
    terminal.send("?");
    terminal.wait_for_text("this help");
    terminal.send("x");
    terminal.resize(9, 45);
    terminal.wait_for("it fits the window", |screen| {
        screen.contains("UNREAD") && !screen.contains("COMMAND")
    });
    terminal.send("q");
    assert_eq!(terminal.wait().0, 0);
    assert!(is_restored(&terminal));
}

#[test]
fn top_scrolls_through_what_has_no_room() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    for number in 0..9 {
        make_writer(&mut exact, &format!("p{number}"), "x");
    }
    let mut terminal = Terminal::start(&ctl, &["top", "-d", "100ms"], (8, 80));
    let first = |name: &'static str| {
        move |screen: &str| screen.lines().nth(3).is_some_and(|line| line.starts_with(name))
    };
    terminal.wait_for("the first", first("p0"));
    terminal.send("j");
    terminal.wait_for("one on", first("p1"));
    terminal.send("\u{1b}[6~");
    let screen = terminal.wait_for("a page on", first("p5"));
    assert!(line_of(&screen, "p8").is_some(), "{screen}");
    terminal.send("\u{1b}[5~\u{1b}[A");
    terminal.wait_for("back again", first("p0"));
    terminal.send("\u{3}");
    assert_eq!(terminal.wait().0, 130);
    assert!(is_restored(&terminal));
}

#[test]
fn top_goes_on_when_papad_does_not_answer() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web", "hello");
    let mut terminal = Terminal::start(&ctl, &["top", "-d", "100ms"], (12, 100));
    terminal.wait_for_text("1 process");
    let killed = papad.kill_server();
    terminal.wait_for("the next server", |screen| {
        screen.contains(" #2") && !screen.contains(&format!("server {killed} "))
    });
    let server = Pid::from_raw(papad.server_pid());
    kill(server, Signal::SIGSTOP).unwrap();
    let screen = terminal.wait_for_text("papad does not answer");
    assert!(line_of(&screen, "web").is_some(), "what was known is there still\n{screen}");
    kill(server, Signal::SIGCONT).unwrap();
    terminal.wait_for("it answers", |screen| screen.starts_with("papad 0."));
    terminal.send("q");
    assert_eq!(terminal.wait().0, 0);
}

#[test]
fn top_without_a_terminal_writes_json_or_says_why_not() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "web", "hello");
    assert_eq!(
        ctl.fails(&["top"]),
        (2, "papactl: top needs a terminal to draw on; with --json it needs none".to_owned())
    );
    let text = ctl.ok(&["top", "--json", "-d", "100ms", "-c", "2"]);
    let looks: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(looks.len(), 2);
    for look in &looks {
        let web = &look["processes"][0];
        assert_eq!((&web["name"], &web["rate"]), (&json!("web"), &json!(0)));
        assert_eq!((&web["written"], &web["unread"]), (&json!(5), &json!(5)));
        assert_eq!((&look["rate"], &look["papad"]["starts"]), (&json!(0), &json!(1)));
    }
    assert_eq!(ctl.run(&["top", "--json", "-d", "1ms"]).status, Some(2));
}

#[test]
fn ps_goes_on_in_place_as_things_happen() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "a", "hello");
    let mut terminal = Terminal::start(&ctl, &["ps", "--watch"], (5, 90));
    let screen = terminal.wait_for_text("running");
    assert!(
        line_of(&screen, "a").is_some_and(|line| line.contains(" 5     0         0  ")),
        "{screen}"
    );
    let pid = make_writer(&mut exact, "b", "");
    terminal.wait_for("the new one", |screen| line_of(screen, "b").is_some());
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    terminal.wait_for("its end", |screen| {
        line_of(screen, "b").is_some_and(|line| line.contains("KILL"))
    });
    exact.ask("remove processes b");
    terminal.wait_for("it has gone", |screen| line_of(screen, "b").is_none());
    for number in 0..9 {
        make_writer(&mut exact, &format!("p{number}"), "");
    }
    terminal.wait_for("as many as there is room for", |screen| {
        screen.lines().count() == 5 && screen.ends_with("... and 7 more")
    });
    terminal.resize(20, 30);
    let screen = terminal.wait_for("all, and fewer columns", |screen| {
        line_of(screen, "p8").is_some() && !screen.contains("USER")
    });
    assert!(!screen.contains("more"), "{screen}");
    terminal.send("q");
    assert_eq!(terminal.wait().0, 0);
    assert!(is_restored(&terminal));
}

#[test]
fn nothing_is_drawn_on_a_terminal_that_cannot_do_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web", "hello");
    let dumb = [("TERM", "dumb")];
    let mut top = Terminal::start_in(&ctl, &["top"], (12, 100), &dumb);
    let (status, screen) = top.wait();
    assert_eq!(status, 2);
    assert!(screen.starts_with("papactl: top needs a terminal to draw on; "), "{screen}");
    let mut ps = Terminal::start_in(&ctl, &["ps", "--watch"], (12, 100), &dumb);
    ps.wait_for_text("running");
    ps.send("\u{3}");
    assert_eq!(ps.wait().0, 130);
    assert!(![top.bytes(), ps.bytes()].concat().contains(&0x1b));
}

#[test]
fn ps_puts_the_terminal_back_when_it_is_terminated() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "a", "hello");
    let mut terminal = Terminal::start(&ctl, &["ps", "--watch"], (5, 90));
    terminal.wait_for_text("running");
    kill(Pid::from_raw(terminal.pid()), Signal::SIGTERM).unwrap();
    assert_ne!(terminal.wait().0, 0);
    assert!(is_restored(&terminal));
}

#[test]
fn elsewhere_ps_writes_the_table_again_when_it_has_changed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "a", "hello");
    let mut child = ctl.start(&["ps", "--watch", "--json"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&next()), ["a"]);
    let made = exact.ask_line(format!("make process b {}", script("exec sleep 1000")));
    assert_eq!(names(&next()), ["a", "b"]);
    kill(Pid::from_raw(number_of(&made, "pid") as i32), Signal::SIGKILL).unwrap();
    let ended = next();
    assert_eq!((&ended[1]["state"], &ended[1]["signal"]), (&json!("exited"), &json!("KILL")));
    exact.ask("remove processes b");
    assert_eq!(names(&next()), ["a"]);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn ctrl_z_gives_the_terminal_back_until_it_goes_on() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web", "hello");
    for words in [&["top", "-d", "100ms"][..], &["ps", "--watch"]] {
        let mut terminal = Terminal::start(&ctl, words, (12, 100));
        terminal.wait_for("web is shown", |screen| line_of(screen, "web").is_some());
        let pid = terminal.pid();
        let is_stopped = || procfs::stat(pid).is_some_and(|it| it.state == 'T');
        terminal.send("\u{1a}");
        eventually("papactl stands still", is_stopped);
        eventually("the terminal is as it was", || is_restored(&terminal));
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        terminal.wait_for("it is drawn again", |screen| line_of(screen, "web").is_some());
        kill(Pid::from_raw(pid), Signal::SIGTSTP).unwrap();
        eventually("it stands still again", is_stopped);
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        eventually("it goes on", || !is_stopped());
        terminal.send("q");
        assert_eq!(terminal.wait().0, 0);
        assert!(is_restored(&terminal));
    }
}

#[test]
fn a_terminal_that_does_not_know_its_size_is_drawn_on() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web", "hello");
    for words in [&["top", "-d", "100ms"][..], &["ps", "--watch"]] {
        let mut terminal = Terminal::start_without_size(&ctl, words);
        terminal.wait_for("web is shown", |screen| line_of(screen, "web").is_some());
        terminal.send("q");
        assert_eq!(terminal.wait().0, 0);
    }
}
