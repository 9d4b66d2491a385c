//! Watching: frames, acknowledgement, and what becomes of output that nobody acknowledged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, number_of};
use papad_tests::{
    Fifo, Frame, Papad, Recording, ScratchDir, Session, Stream, Watched, eventually, pid_of, shell,
};

/// The words of a process that says `before`, waits for a line in `gate`, and says `after`.
fn before_and_after(gate: &Fifo) -> String {
    shell(&format!("echo before; read go < {}; echo after", gate.path()))
}

fn out(name: &str, text: &str, frame: &Frame) -> bool {
    matches!(frame, Frame::Output { stream: Stream::Out, name: by, data, .. }
        if by == name && data == text.as_bytes())
}

fn closed(name: &str, with: i32, frame: &Frame) -> bool {
    matches!(frame, Frame::Closed { name: by, code, .. } if by == name && *code == with)
}

/// Acknowledges and reads until `name` has closed, and leaves that batch unacknowledged.
fn read_until_closed(session: &mut Session, name: &str) -> Vec<Frame> {
    let mut frames = session.read_batch();
    while !frames.iter().any(|frame| matches!(frame, Frame::Closed { .. }) && frame.name() == name)
    {
        session.acknowledge();
        frames.extend(session.read_batch());
    }
    frames
}

/// What comes up to the end of a batch, byte for byte but for the times of its frames, which are
/// left out: `KIND:NAME::NUMBER`.
fn raw_batch(session: &mut Session) -> String {
    let mut raw = Vec::new();
    while !raw.ends_with(b"] ") {
        raw.extend(session.read_once());
    }
    let text = String::from_utf8(raw).unwrap();
    let without_time = |line: &str| match line.split(':').collect::<Vec<_>>().as_slice() {
        &[kind, name, time, last] => {
            assert!(time.contains('.') && time.parse::<f64>().unwrap() > 1.6e9, "{line}");
            format!("{kind}:{name}::{last}")
        }
        _ => line.to_owned(),
    };
    text.split('\n').map(without_time).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_batch_is_frames_and_then_a_bracket() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let mut session = papad.session();
    let gate_path = gate.path();
    let script = format!(
        "printf 'two\\nlines'; read go < {gate_path}; echo bad >&2; read go < {gate_path}; exit 3"
    );
    session.ask(format!("make process web.1 {}", shell(&script)));
    session.send("watch processes web.1\n");
    session.expect("Watching 1\n");
    assert_eq!(raw_batch(&mut session), "out:web.1::9\ntwo\nlines\n] ");
    gate.send_line();
    session.acknowledge();
    assert_eq!(raw_batch(&mut session), "err:web.1::4\nbad\n\n] ");
    gate.send_line();
    session.acknowledge();
    assert_eq!(raw_batch(&mut session), "closed:web.1::3\n] ");
    session.acknowledge();
    session.expect("Nothing left to watch\n> ");
}

#[test]
fn frames_of_a_process_come_in_the_order_of_their_times() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let mut session = papad.session();
    let path = gate.path();
    let script =
        format!("for i in 1 2 3; do read x < {path}; echo $i; read x < {path}; echo $i >&2; done");
    session.ask(format!("make process p {}", shell(&script)));
    let mut exact = Exact::tcp(&papad);
    for write in 1..=6 {
        gate.send_line();
        eventually("it has written", || {
            number_of(&exact.ask_line("list processes p"), "next") == 2 * write
        });
    }
    session.watch("p", 1);
    let frames = read_until_closed(&mut session, "p");
    assert_eq!(frames.len(), 7, "{frames:?}");
    for pair in frames.windows(2) {
        assert!(pair[0].time() <= pair[1].time(), "{frames:?}");
    }
    assert!(closed("p", 0, &frames[6]), "{frames:?}");
}

#[test]
fn an_acknowledged_end_leaves_the_list_and_the_session_takes_commands_again() {
    let papad = Papad::start();
    let mut session = papad.session();
    let ran = session.run(&shell("echo a; echo b >&2; exit 7"));
    assert_eq!(ran, Recording { out: b"a\n".into(), err: b"b\n".into(), code: Some(7) });
    session.ask_expecting("list processes", "");
    session.ask_expecting("get v", "");
}

#[test]
fn closed_carries_the_exit_status_or_minus_the_signal() {
    let papad = Papad::start();
    let mut session = papad.session();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -TERM $$", -15),
        ("kill -KILL $$", -9),
        ("ulimit -c 0; kill -SEGV $$", -11),
    ] {
        assert_eq!(session.run(&shell(script)).code, Some(code), "{script}");
    }
    let pid = pid_of(&session.ask("make process p /bin/sleep 1000"));
    session.watch("p", 1);
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    assert_eq!(session.watch_on()["p"].code, Some(-1));
}

#[test]
fn watching_nothing_is_an_error() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("watch processes", "Error: Nothing to watch");
    session.ask_expecting("watch processes *", "Error: Nothing to watch");
    session.ask_expecting("watch processes p*", "Error: Nothing to watch");
    session.ask_expecting("watch processes p", "Error: p not found");
    let line = session.ask("make process p /bin/sleep 1000");
    session.ask_expecting("watch processes p q", "Error: q not found");
    session.ask_expecting("watch processes q*", "Error: Nothing to watch");
    session.ask_expecting("list processes", line);
}

#[test]
fn processes_are_watched_by_name_wildcard_and_pid() {
    let papad = Papad::start();
    let mut session = papad.session();
    let lines = ["web.1", "web.2", "other"]
        .map(|name| session.ask(format!("make process {name} {}", shell("read x; echo end"))));
    for (names, count) in [("", 3), ("*", 3), ("web.*", 2), ("other web.1", 2), ("web.1 web.*", 2)]
    {
        papad.session().watch(names, count);
    }
    papad.session().watch(&pid_of(&lines[2]).to_string(), 1);
    session.watch("", 3);
    let seen = session.watch_on();
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["other", "web.1", "web.2"]);
    assert!(seen.values().all(|recording| recording.text() == "end\n"), "{seen:?}");
}

#[test]
fn unacknowledged_output_comes_again_after_the_watcher_has_gone() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    papad.session().ask(format!("make process p {}", before_and_after(&gate)));

    let mut first = papad.session();
    first.watch("p", 1);
    let seen = first.read_batch();
    assert!(matches!(seen.as_slice(), [frame] if out("p", "before\n", frame)), "{seen:?}");
    // Else output would be kept for it, too.
    first.leave();

    let mut second = papad.session();
    second.watch("p", 1);
    assert_eq!(second.read_batch(), seen, "the same bytes with the same times");
    gate.send_line();
    second.acknowledge();
    let rest = read_until_closed(&mut second, "p");
    assert!(out("p", "after\n", &rest[0]), "{rest:?}");
    drop(second);

    // What was acknowledged is gone, its end is not.
    let mut third = papad.session();
    third.watch("p", 1);
    let last = third.read_batch();
    assert!(last.iter().all(|frame| !out("p", "before\n", frame)), "{last:?}");
    assert!(closed("p", 0, last.last().unwrap()), "{last:?}");
    third.acknowledge();
    third.expect("Nothing left to watch\n> ");
}

#[test]
fn q_acknowledges_and_ends_the_watch() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("make process p {}", before_and_after(&gate)));
    session.watch("p", 1);
    session.read_batch();
    session.send("q\n");
    session.expect("Stopped watching\n> ");
    assert!(session.ask("list processes").contains("running=True"));
    gate.send_line();
    session.watch("p", 1);
    assert_eq!(session.watch_on()["p"].text(), "after\n");
}

#[test]
fn q_with_the_last_end_leaves_nothing_to_watch() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask("make process p /bin/true");
    session.watch("p", 1);
    session.read_batch();
    session.send("q\n");
    session.expect("Nothing left to watch\n> ");
    session.ask_expecting("list processes", "");
}

#[test]
fn q_ends_a_watch_in_which_nothing_comes() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make process p /bin/sleep 1000");
    session.send("watch processes p\nq\n");
    session.expect("Watching 1\nStopped watching\n> ");
    session.ask_expecting("list processes", line);
}

#[test]
fn an_acknowledgement_may_be_sent_ahead() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("make process p {}", before_and_after(&gate)));
    let mut first = papad.session();
    first.watch("p", 1);
    let frames = first.read_batch();
    drop(first);
    // The output is there by now, and all three lines are sent before any of it is.
    session.send("watch processes p\nq\nget v\n");
    session.expect("Watching 1\n");
    assert_eq!(session.read_batch(), frames);
    session.expect("Stopped watching\n> \n> ");
}

#[test]
fn watch_1_makes_and_watches_in_one_command() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send(format!("make process p watch=1 {}", shell("echo a; exit 2\n")));
    let line = String::from_utf8(session.read_line()).unwrap();
    assert!(line.starts_with("p pid="), "{line}");
    assert!(line.ends_with(" args=/bin/sh -c echo a; exit 2"), "{line}");
    let seen = session.watch_on();
    assert_eq!((seen["p"].text(), seen["p"].code), ("a\n", Some(2)));
    session.ask_expecting("list processes", "");
    session.ask_for_error("make process p watch=1 /no/such/program");
}

#[test]
fn every_watcher_gets_everything() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    papad.session().ask(format!("make process p {}", before_and_after(&gate)));
    let (mut quick, mut slow) = (papad.session(), papad.session());
    quick.watch("p", 1);
    slow.watch("p", 1);
    // The slow one has its first batch, and keeps it while the quick one sees all there is.
    let first = slow.read_batch();
    assert_eq!(quick.read_batch(), first);
    quick.acknowledge();
    gate.send_line();
    assert_eq!(quick.watch_on()["p"].text(), "after\n");

    assert!(out("p", "before\n", &first[0]), "{first:?}");
    slow.acknowledge();
    let rest = slow.watch_on();
    assert_eq!((rest["p"].text(), rest["p"].code), ("after\n", Some(0)));
}

#[test]
fn output_is_kept_for_a_watcher_that_has_not_acknowledged_it() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    papad.session().ask(format!("make process p {}", before_and_after(&gate)));
    let (mut first, mut second) = (papad.session(), papad.session());
    first.watch("p", 1);
    second.watch("p", 1);
    let batch = first.read_batch();
    first.send("q\n");
    first.expect("Stopped watching\n> ");
    // The second one has acknowledged nothing yet, so a third sees the same.
    let mut third = papad.session();
    third.watch("p", 1);
    assert_eq!(third.read_batch(), batch);
    assert_eq!(second.read_batch(), batch);
}

#[test]
fn a_removed_process_takes_its_output_along() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("make process p {}", before_and_after(&gate)));
    let mut first = papad.session();
    first.watch("p", 1);
    assert!(out("p", "before\n", &first.read_batch()[0]));
    drop(first);
    session.ask_expecting("remove processes p", "");
    gate.send_line();
    eventually("the process has left the list", || session.ask("list processes").is_empty());
    session.ask_expecting("watch processes p", "Error: p not found");
}

#[test]
fn the_watcher_of_a_removed_process_is_not_left_waiting() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make process p /bin/sleep 1000");
    let mut watcher = papad.session();
    watcher.watch("p", 1);
    session.ask_expecting("remove processes p", "");
    kill(Pid::from_raw(pid_of(&line)), Signal::SIGKILL).unwrap();
    // Whether it is still told of the end or not, the watch is over.
    while let Watched::Batch(_) = watcher.next_watched() {
        watcher.acknowledge();
    }
    watcher.ask_expecting("get v", "");
}

#[test]
fn closed_does_not_wait_for_descendants_that_hold_the_output() {
    let scratch = ScratchDir::new();
    let (gate, done) = (Fifo::new(&scratch, "gate"), Fifo::new(&scratch, "done"));
    let papad = Papad::start();
    let mut session = papad.session();
    // More than a pipe holds is written after `closed`: it must neither be held up nor killed.
    let script = format!(
        "(read go < {}; seq 100000; echo $? > {}) & echo early; exit 5",
        gate.path(),
        done.path()
    );
    session.ask(format!("make process p env.PATH=/bin:/usr/bin {}", shell(&script)));
    session.watch("p", 1);
    let frames = read_until_closed(&mut session, "p");
    assert!(out("p", "early\n", &frames[0]), "{frames:?}");
    assert!(closed("p", 5, &frames[1]), "{frames:?}");
    gate.send_line();
    assert_eq!(done.read_line(), "0");
    session.acknowledge();
    session.expect("Nothing left to watch\n> ");
    session.ask_expecting("list processes", "");
}

#[test]
fn descendants_may_write_on_after_the_end_was_acknowledged() {
    let scratch = ScratchDir::new();
    let (gate, done) = (Fifo::new(&scratch, "gate"), Fifo::new(&scratch, "done"));
    let papad = Papad::start();
    let mut session = papad.session();
    let script = format!("(read go < {}; seq 100000; echo $? > {}) &", gate.path(), done.path());
    let ran = session.run(&format!("env.PATH=/bin:/usr/bin {}", shell(&script)));
    assert_eq!(ran.code, Some(0));
    gate.send_line();
    assert_eq!(done.read_line(), "0");
}
