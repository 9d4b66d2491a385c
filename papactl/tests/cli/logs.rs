//! logs.

use std::io::Read;
use std::process::{Child, ChildStdout};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, make_writer, number_of, read_data, script, wait_until_closed};
use papad_tests::{Fifo, Papad, ScratchDir, eventually, wait_readable};
use serde_json::{Value, json};

use crate::ctl::{Ctl, Ran};
use crate::terminal::Terminal;

/// Makes a process that runs a script.
#[track_caller]
fn make(exact: &mut Exact, name: &str, what: &str) {
    exact.ask_line(format!("make process {name} {}", script(what)));
}

/// Makes one and waits until it has ended, and papad has all of its output.
#[track_caller]
fn make_ended(papad: &Papad, name: &str, what: &str) {
    make(&mut Exact::tcp(papad), name, what);
    wait_until_closed(papad, name);
}

/// Waits until papad has so much of a process's output.
#[track_caller]
fn wait_for_output(exact: &mut Exact, name: &str, bytes: u64) {
    eventually("it has written", || {
        number_of(&exact.ask_line(format!("list processes {name}")), "next") >= bytes
    });
}

/// A papactl that goes on, whose output is read line by line.
struct Following {
    child: Child,
    stdout: ChildStdout,
}

impl Following {
    fn start(ctl: &Ctl, words: &[&str]) -> Self {
        let mut child = ctl.start(words);
        let stdout = child.stdout.take().expect("stdout is a pipe");
        Self { child, stdout }
    }

    /// The next line, with its end.
    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            assert!(wait_readable(&self.stdout), "no line after {}", line.escape_ascii());
            let mut byte = [0];
            self.stdout.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        String::from_utf8(line).unwrap()
    }

    fn interrupt(&self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
    }

    /// What else it writes, and how it ends.
    fn end(mut self) -> (String, Ran) {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        (rest, Ran::of(self.child))
    }
}

/// Every line of JSON that was written.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn one_process_is_shown_byte_by_byte_and_nothing_is_taken() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "job", r"printf 'a\0\377b\r\n\n.'; printf 'oops\n' >&2; exit 3");
    for _ in 0..2 {
        let ran = ctl.run(&["logs", "job"]);
        assert_eq!((ran.status, &ran.stdout[..]), (Some(0), &b"a\0\xffb\r\n\n."[..]));
        assert_eq!(ran.error(), "oops\n");
    }
    assert_eq!(ctl.run(&["logs", "job", "--stdout"]).error(), "");
    assert_eq!(ctl.run(&["logs", "job", "--stderr"]).text(), "");
}

#[test]
fn megabytes_come_exactly_through_kills_of_the_server() {
    const SIZE: usize = 3_000_000;
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    // Nothing repeats: bytes that came twice or never would be seen.
    let bytes: Vec<u8> =
        (0..SIZE as u32 / 4).flat_map(|at| at.wrapping_mul(0x9e37_79b9).to_be_bytes()).collect();
    let file = scratch.program("bytes", "");
    std::fs::write(&file, &bytes).unwrap();
    let go = Fifo::new(&scratch, "go");
    Exact::tcp(&papad).ask_line(format!(
        "make process job overflow=block bufsize=64k {}",
        script(&format!(
            "for i in 0 1 2 3 4 5; do read l < {}; tail -c +$((i*500000+1)) {file} | head -c 500000; done",
            go.path()
        ))
    ));
    let mut following = ctl.start(&["logs", "-f", "--take", "job"]);
    let mut stdout = following.stdout.take().unwrap();
    let mut seen = vec![0; SIZE];
    for part in seen.chunks_mut(500_000) {
        go.send_line();
        let (half, rest) = part.split_at_mut(100_000);
        stdout.read_exact(half).unwrap();
        papad.kill_server();
        stdout.read_exact(rest).unwrap();
    }
    stdout.read_to_end(&mut seen).unwrap();
    assert!(seen == bytes, "{} bytes, and not those that were written", seen.len());
    let ran = Ran::of(following);
    assert_eq!((ran.status, ran.error().as_str()), (Some(0), "--- job: exit status 0 ---\n"));
    // Its end was taken, too.
    assert_eq!(ctl.json(&["ps"]), json!([]));
}

#[test]
fn several_are_put_in_the_order_of_time() {
    const ROUNDS: usize = 20;
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let mut exact = Exact::tcp(&papad);
    let names = ["a", "long"];
    let gates = names.map(|name| Fifo::new(&scratch, name));
    for (name, gate) in names.iter().zip(&gates) {
        make(&mut exact, name, &format!("while read line; do echo $line; done < {}", gate.path()));
    }
    // What a watcher was sent up to its end is a frame with a time of its own.
    let mut watching = Exact::tcp(&papad);
    watching.ask("watch a long mode=peek");
    for round in 0..ROUNDS {
        for gate in &gates {
            gate.send(&format!("{round:03}"));
            assert_eq!(read_data(&mut watching, 4), format!("{round:03}\n").as_bytes());
        }
    }
    let expected: Vec<String> =
        (0..ROUNDS).flat_map(|it| [format!("a    | {it:03}"), format!("long | {it:03}")]).collect();
    let seen = ctl.ok(&["logs", "long", "a"]);
    assert_eq!(seen.lines().collect::<Vec<_>>(), expected);
    assert_eq!(ctl.ok(&["logs", "*"]), seen);

    // With -f it goes on from there, each line once, and who comes later joins.
    let mut following = Following::start(&ctl, &["logs", "-f", "*"]);
    for line in &expected {
        assert_eq!(following.line().trim_end(), line);
    }
    gates[0].send("more");
    assert_eq!(following.line(), "a    | more\n");
    make_writer(&mut exact, "new", "words\n");
    assert_eq!(following.line(), "new  | words\n");
    gates[1].send("at last");
    assert_eq!(following.line(), "long | at last\n");
    following.interrupt();
    let (rest, ran) = following.end();
    assert_eq!((rest.as_str(), ran.status, ran.error().as_str()), ("", Some(130), ""));
}

#[test]
fn half_a_line_at_the_end_of_what_is_there_becomes_a_whole_one() {
    for words in [&["logs", "-f", "a", "b"][..], &["logs", "-f", "--take", "a", "b"]] {
        let papad = Papad::start();
        let ctl = Ctl::of(&papad);
        let scratch = ScratchDir::new();
        let go = Fifo::new(&scratch, "go");
        let mut exact = Exact::tcp(&papad);
        let what = "printf 'one\ntw'; echo err >&2; read line < ";
        make(&mut exact, "a", &format!("{what}{}; echo o; printf three", go.path()));
        make_ended(&papad, "b", "echo b");
        wait_for_output(&mut exact, "a", 10);
        let mut following = Following::start(&ctl, words);
        let mut seen: Vec<String> = (0..3).map(|_| following.line()).collect();
        seen.sort_unstable();
        assert_eq!(seen, ["a ! err\n", "a | one\n", "b | b\n"]);
        papad.kill_server();
        go.send_line();
        let (rest, ran) = following.end();
        assert_eq!(rest, "a | two\na | three\n", "{words:?} {ran:?}");
        let mut ends: Vec<String> = ran.error().lines().map(str::to_owned).collect();
        ends.sort_unstable();
        assert_eq!(ends, ["--- a: exit status 0 ---", "--- b: exit status 0 ---"]);
        assert_eq!(
            ctl.json(&["ps"]).as_array().map(Vec::len),
            Some(if words.len() == 4 { 2 } else { 0 })
        );
    }
}

#[test]
fn the_last_lines_are_those_that_began_last() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    // More than is looked at first.
    make_ended(&papad, "many", "seq 100000; printf end");
    let expected: String =
        (80_002..=100_000).map(|it| format!("{it}\n")).chain(["end".to_owned()]).collect();
    assert_eq!(ctl.ok(&["logs", "-n", "20000", "many"]), expected);
    assert_eq!(ctl.ok(&["logs", "--tail", "2", "many"]), "100000\nend");
    assert_eq!(ctl.ok(&["logs", "--tail", "0", "many"]), "");

    make_ended(&papad, "both", "echo a; echo x >&2; echo b");
    assert_eq!(ctl.ok(&["logs", "*", "-n1", "--stdout"]), "many | end\nboth | b\n");
    assert_eq!(ctl.ok(&["logs", "*", "-n1", "--stderr"]), "both ! x\n");
    let all = ctl.run(&["logs", "both", "-n9"]);
    assert_eq!((all.text().as_str(), all.error().as_str()), ("a\nb\n", "x\n"));
}

#[test]
fn the_last_lines_are_counted_among_those_that_are_chosen() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "many", "seq 100000");
    assert_eq!(ctl.ok(&["logs", "many", "-n", "2", "--grep", "77"]), "99877\n99977\n");
    assert_eq!(ctl.ok(&["logs", "many", "-n", "1", "--grep", "12345"]), "12345\n");
}

#[test]
fn lines_are_as_old_as_their_first_byte() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let mut exact = Exact::tcp(&papad);
    make(
        &mut exact,
        "job",
        &format!("printf 'old\nha'; read l < {}; printf 'lf\nnew\n'", go.path()),
    );
    wait_for_output(&mut exact, "job", 6);
    // Times are told in milliseconds: the rest is to have a later one.
    thread::sleep(Duration::from_millis(2));
    go.send_line();
    wait_until_closed(&papad, "job");
    let lines = objects(&ctl.ok(&["logs", "job", "--json"]));
    let texts: Vec<_> = lines.iter().map(|line| line["text"].as_str().unwrap_or("-")).collect();
    assert_eq!(texts, ["old", "half", "new", "-"]);
    assert_eq!((&lines[0]["time"], &lines[1]["position"]), (&lines[1]["time"], &json!(4)));
    let since = lines[2]["time"].as_str().unwrap();
    assert_eq!(ctl.ok(&["logs", "job", "--since", since]), "new\n");
    assert_eq!(ctl.ok(&["logs", "job", "--since", "1h"]), "old\nhalf\nnew\n");
    assert_eq!(ctl.run(&["logs", "job", "--since", "soon"]).status, Some(2));
    // A time before each line is one that --since takes.
    let stamped = ctl.ok(&["logs", "job", "--timestamps"]);
    let (time, text) = stamped.lines().last().unwrap().split_once(' ').unwrap();
    assert_eq!(text, "new");
    assert_eq!(ctl.ok(&["logs", "job", "--since", time]), "new\n");
}

#[test]
fn json_has_one_shape() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "job", r"printf 'a\nb\377\n.'; kill -9 $$");
    let mut objects = objects(&ctl.ok(&["logs", "job", "--json"]));
    let id = objects[0]["id"].clone();
    for object in &mut objects {
        assert!(object["time"].take().as_str().unwrap().ends_with('Z'));
    }
    let line = |position: u64, text: Value, base64: Value, partial: bool| {
        json!({"kind": "line", "name": "job", "id": id, "stream": "stdout", "time": null,
               "position": position, "text": text, "base64": base64, "partial": partial})
    };
    let null = || Value::Null;
    assert_eq!(
        objects,
        [
            line(0, json!("a"), null(), false),
            line(2, null(), json!("Yv8="), false),
            line(5, json!("."), null(), true),
            json!({"kind": "end", "name": "job", "id": id, "time": null, "exit_status": null, "signal": "KILL"}),
        ]
    );
}

#[test]
fn what_is_lost_is_said() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    Exact::tcp(&papad)
        .ask_line(format!("make process job bufsize=4k {}", script("seq 10000; echo end")));
    wait_until_closed(&papad, "job");
    let info = ctl.json(&["ps"])[0].clone();
    let (lost, written) = (info["lost"].as_u64().unwrap(), info["written"].as_u64().unwrap());
    let ran = ctl.run(&["logs", "job"]);
    assert_eq!(ran.error(), format!("--- job: {lost} bytes lost ---\n"));
    assert_eq!(ran.stdout.len() as u64 + lost, written);
    assert!(lost > 0 && ran.text().ends_with("end\n"));
    let first = &objects(&ctl.ok(&["logs", "job", "--json"]))[0];
    assert_eq!(
        (&first["kind"], &first["bytes"], &first["position"]),
        (&json!("lost"), &json!(lost), &json!(lost))
    );
    // Who has asked for the last lines alone does not miss the first ones.
    assert_eq!(ctl.run(&["logs", "job", "-n1"]).error(), "");
}

#[test]
fn what_is_taken_is_what_was_written() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    make_ended(&papad, "a", "echo a; echo a; printf a");
    make_writer(&mut exact, "b", "b\nbb");
    let mut seen: Vec<String> =
        ctl.ok(&["logs", "--take", "*"]).lines().map(str::to_owned).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["a | a", "a | a", "a | a", "b | b", "b | bb"]);
    // The one that has ended has left the list, and of the other nothing is kept.
    let left = ctl.json(&["ps"]);
    assert_eq!(
        (&left[0]["name"], &left[0]["unread"], &left[1]),
        (&json!("b"), &json!(0), &Value::Null)
    );
    for option in ["--since=1m", "--tail=1", "--stdout", "--stderr"] {
        assert_eq!(ctl.run(&["logs", "--take", option, "b"]).status, Some(2), "{option}");
    }
}

#[test]
fn what_nobody_has_read_is_not_taken() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "job", "seq 200000");
    let written = ctl.json(&["ps"])[0]["written"].as_u64().unwrap();
    let mut child = ctl.start(&["logs", "--take", "job"]);
    let mut stdout = child.stdout.take().unwrap();
    let mut read = vec![0; 1000];
    stdout.read_exact(&mut read).unwrap();
    drop(stdout);
    let ran = Ran::of(child);
    assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""));
    // At most what a pipe holds was written and not read; all the rest is there.
    let rest = ctl.run(&["logs", "--take", "job"]).stdout;
    assert!(rest.ends_with(b"\n200000\n"));
    let missing = written - rest.len() as u64;
    assert!(missing <= 1000 + (64 << 10), "{missing} bytes are gone");
}

#[test]
fn a_reader_that_leaves_ends_it_though_nothing_more_is_written() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "web", "hello\n");
    let mut following = Following::start(&ctl, &["logs", "-f", "web"]);
    assert_eq!(following.line(), "hello\n");
    let Following { child, stdout } = following;
    drop(stdout);
    let ran = Ran::of(child);
    assert_eq!((ran.status, ran.error().as_str()), (Some(0), ""));
}

#[test]
fn a_long_line_is_broken_and_nothing_of_it_is_missing() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "job", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo end");
    let lines = objects(&ctl.ok(&["logs", "job", "--json"]));
    let sizes: Vec<usize> =
        lines.iter().filter_map(|line| Some(line["text"].as_str()?.len())).collect();
    assert_eq!(sizes, [65536, 65536, 65536, 200_000 - 3 * 65536, 3]);
    let partial: Vec<&Value> = lines.iter().map(|line| &line["partial"]).take(5).collect();
    assert_eq!(partial, [&json!(true), &json!(true), &json!(true), &json!(false), &json!(false)]);
}

#[test]
fn names_have_colours_on_a_terminal_alone() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_ended(&papad, "a", "echo one");
    make_ended(&papad, "b", "echo two");
    let mut terminal = Terminal::start(&ctl, &["logs", "a", "b"], (10, 80));
    let (status, screen) = terminal.wait();
    assert_eq!((status, screen.trim_end()), (0, "a | one\nb | two"));
    let sent = String::from_utf8(terminal.bytes()).unwrap();
    let (a, b) = sent.split_once('\n').unwrap();
    let colour = |line: &str| line.split_once(&['a', 'b'][..]).unwrap().0.to_owned();
    assert!(a.contains("\u{1b}[") && colour(a) != colour(b), "{sent:?}");
    assert!(!ctl.ok(&["logs", "a", "b"]).contains('\u{1b}'));
    let mut plain = Terminal::start_in(&ctl, &["logs", "a", "b"], (10, 80), &[("NO_COLOR", "1")]);
    plain.wait();
    assert!(!plain.bytes().contains(&0x1b));
}

#[test]
fn wide_names_have_their_bar_below_that_of_others() {
    let papad = Papad::start();
    make_ended(&papad, "app", "echo one");
    make_ended(&papad, "日本", "echo two");
    assert_eq!(Ctl::of(&papad).ok(&["logs", "*"]), "app  | one\n日本 | two\n");
}

#[test]
fn more_processes_than_are_put_in_order_are_shown_all_the_same() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let mut exact = Exact::tcp(&papad);
    for number in 0..65 {
        make_writer(&mut exact, &format!("p{number:02}"), "x\n");
    }
    let ran = ctl.run(&["logs", "p*"]);
    let mut lines: Vec<String> = ran.text().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..65).map(|it| format!("p{it:02} | x")).collect::<Vec<_>>());
    assert_eq!(
        ran.error(),
        "--- 65 processes: of more than 64, what is there comes by process ---\n"
    );
}

#[test]
fn names_that_are_not_there_are_told() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert_eq!(ctl.fails(&["logs", "web"]).0, 3);
    assert_eq!(ctl.ok(&["logs", "web*"]), "");
}

#[test]
fn lines_are_chosen_by_what_is_in_them_and_until_when() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    ctl.ok(&["run", "job", "--", "/bin/sh", "-c", "echo one; echo two >&2; echo three"]);
    assert_eq!(ctl.run(&["wait", "job"]).status, Some(0));
    assert_eq!(ctl.ok(&["logs", "job", "--grep", "o"]), "one\ntwo\n");
    assert_eq!(ctl.ok(&["logs", "job", "--grep", "o", "--stdout"]), "one\n");
    assert_eq!(ctl.ok(&["logs", "job", "--grep", "."]), "");
    assert_eq!(ctl.ok(&["logs", "job", "--until", "1h"]), "");
    assert_eq!(ctl.ok(&["logs", "job", "--until", "0s", "--since", "1h"]).lines().count(), 3);
    assert_eq!(ctl.run(&["logs", "job", "--until", "1h", "-f"]).status, Some(2));
    assert_eq!(ctl.run(&["logs", "job", "--grep", "o", "--take"]).status, Some(2));
}
