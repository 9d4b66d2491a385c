//! Clients that do not read, or do not finish what they say: each costs itself alone, and is not
//! waited for beyond `--client-timeout`. Time is the subject here.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::thread;
use std::time::{Duration, Instant};

use papad_tests::exact::{Exact, Seen, make_writer, number_of, read_data, script, value_of};
use papad_tests::{BANNER, Papad, ScratchDir, Session, eventually, shell};

/// For how many seconds papad waits for a client in most of these tests.
const TIMEOUT: u64 = 2;

/// For how many seconds in those where it is not to end: longer than any of them takes.
const LONG: u64 = 600;

/// Bytes of output that no connection takes unread, with all buffers of the system.
const FLOOD: usize = 32 << 20;

/// A papad that listens on both kinds of sockets.
fn start(timeout: u64) -> (ScratchDir, Papad) {
    let scratch = ScratchDir::new();
    let papad = Papad::builder()
        .unix_path(scratch.join("papad.sock"))
        .arg(format!("--client-timeout={timeout}"))
        .start();
    (scratch, papad)
}

/// A session in papa 1.0 over each transport.
fn plain_sessions(papad: &Papad) -> [Session; 2] {
    let mut sessions = [papad.connect(), papad.connect_unix()];
    for session in &mut sessions {
        session.expect(BANNER);
    }
    sessions
}

/// A session in protocol 2 over each transport.
fn exact_sessions(papad: &Papad) -> [Exact; 2] {
    [Exact::tcp(papad), Exact::unix(papad)]
}

fn sessions(exact: &mut Exact) -> u64 {
    number_of(&exact.ask("status")[0], "sessions")
}

/// Stores what takes many answers to fill a connection, and few lines to ask for.
fn store_large_value(exact: &mut Exact) {
    exact.ask(format!("set large {}", "x".repeat(1 << 20)));
}

/// A process that has written [`FLOOD`] bytes, all of which are kept.
fn make_flood(exact: &mut Exact, name: &str) {
    let write = script(&format!("head -c {FLOOD} /dev/zero; exec sleep 1000"));
    exact.ask(format!("make process {name} bufsize={FLOOD} {write}"));
    eventually("it has written", || {
        number_of(&exact.ask_line(format!("list processes {name}")), "next") == FLOOD as u64
    });
}

#[test]
fn half_a_line_is_waited_for_so_long() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut bystander = Exact::tcp(&papad);
    for mut session in plain_sessions(&papad) {
        session.send("get none\nset a");
        session.expect("\n> Error: A line must be finished within 2 seconds\n> ");
        session.expect_closed();
    }
    for mut exact in exact_sessions(&papad) {
        exact.send("get none\nset a");
        exact.expect("error not-found \"there is no value of the name none\"\n");
        exact.expect("error limit \"a line must be finished within 2 seconds\"\n");
        exact.expect_closed();
    }
    bystander.ask_for("not-found", "get a");
    eventually("nobody else is there", || sessions(&mut bystander) == 1);
}

#[test]
fn half_a_line_in_a_watch_is_waited_for_so_long_whatever_is_written_meanwhile() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut exact = Exact::tcp(&papad);
    let words = script("while :; do echo on; sleep 0.01; done");
    exact.ask(format!("make process p {words}"));
    for mut session in plain_sessions(&papad) {
        session.watch("p", 1);
        // A batch waits for its line.
        session.read_batch();
        session.send("half");
        session.expect("Error: A line must be finished within 2 seconds\n> ");
        session.expect_closed();
    }
    for mut watcher in exact_sessions(&papad) {
        watcher.ask("watch p mode=peek");
        watcher.send("ack p");
        loop {
            match watcher.next_seen() {
                Seen::Data { .. } => {}
                Seen::Reply(Err(refusal)) => {
                    assert_eq!(refusal.code, "limit");
                    assert_eq!(refusal.what, "a line must be finished within 2 seconds");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        watcher.expect_closed();
    }
}

#[test]
fn the_time_is_for_a_line_as_a_whole() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut session = papad.session();
    // It ends when papad has closed the connection.
    while session.try_send("x").is_ok() {
        thread::sleep(Duration::from_millis(100));
    }
    session.expect("Error: A line must be finished within 2 seconds\n> ");
}

#[test]
fn who_has_nothing_to_say_is_waited_for_without_an_end() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "output");
    let mut idle = plain_sessions(&papad);
    let mut exact_idle = exact_sessions(&papad);
    // What telnet says of itself is not the beginning of a line.
    let mut telnet = papad.session();
    telnet.send(b"\xff\xfd\x03\xff\xfb\x18\xff\xfa\x18");
    telnet.expect(b"\xff\xfc\x03\xff\xfe\x18");
    let mut watchers = plain_sessions(&papad);
    for watcher in &mut watchers {
        watcher.watch("p", 1);
        watcher.read_batch();
    }
    let mut exact_watchers = exact_sessions(&papad);
    for watcher in &mut exact_watchers {
        watcher.ask("watch p");
        assert_eq!(read_data(watcher, 6), b"output");
    }

    // Long after those who are not waited for are gone.
    for _ in 0..3 {
        let mut half = papad.session();
        half.send("half");
        half.read_to_end();
    }
    for session in idle.iter_mut().chain([&mut telnet]) {
        session.send(b"\xff\xf0");
        session.ask_expecting("get a", "");
    }
    for session in &mut exact_idle {
        session.ask("list values");
    }
    for watcher in &mut watchers {
        watcher.send("q\n");
        watcher.expect("Stopped watching\n> ");
    }
    for watcher in &mut exact_watchers {
        watcher.ask_expecting("ack p 6\nstop", "end stopped\n");
    }
}

/// Sessions that ask for more than a connection takes, and read nothing.
fn ask_for_much(papad: &Papad) -> ([Session; 2], [Exact; 2]) {
    let (mut plain, mut deaf) = (plain_sessions(papad), exact_sessions(papad));
    let lines = "get large\n".repeat(100);
    for session in &mut plain {
        session.send(&lines);
    }
    for session in &mut deaf {
        session.send(["set mine 1 for=session\n", &lines].concat());
    }
    (plain, deaf)
}

#[test]
fn who_does_not_read_answers_costs_nobody_else_anything() {
    let (_scratch, papad) = start(LONG);
    let mut exact = Exact::tcp(&papad);
    store_large_value(&mut exact);
    let before = number_of(&exact.ask("status")[0], "memory");
    let _deaf = ask_for_much(&papad);
    // Everybody else is served meanwhile.
    let mut other = papad.session();
    other.ask_expecting("set v 1", "");
    let status = exact.ask("status").remove(0);
    assert_eq!(number_of(&status, "sessions"), 6, "{status}");
    // What papad keeps for each is what it has answered last, not all that was asked for.
    let grown = number_of(&status, "memory").saturating_sub(before);
    assert!(grown < 4 * (8 << 20), "{grown} bytes");
}

#[test]
fn who_does_not_read_answers_is_hung_up_on() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut exact = Exact::tcp(&papad);
    store_large_value(&mut exact);
    let _deaf = ask_for_much(&papad);
    eventually("they are gone", || sessions(&mut exact) == 1);
    eventually("the log says of each whom papad hung up on, and why", || {
        let log = papad.log();
        let lines = log.lines().filter(|line| line.ends_with(": it read nothing for 2 s"));
        let peers = |of: &str| lines.clone().filter(|line| line.contains(of)).count();
        peers("hung up on 127.0.0.1:") == 2 && peers("hung up on uid ") == 2
    });
    assert_eq!(value_of(&exact.ask("status")[0], "limit.client-timeout"), "2/2");
    exact.ask_for("not-found", "get mine");
}

/// Sessions that watch more than a connection takes, and read nothing.
fn watch_much(papad: &Papad) -> (Session, Vec<Exact>) {
    // Of a batch, some waits in papad: a Unix socket does not take it all.
    let mut plain = papad.connect_unix();
    plain.expect(BANNER);
    plain.watch("p", 1);
    let mut deaf: Vec<Exact> = exact_sessions(papad).into();
    deaf.extend(exact_sessions(papad));
    for (at, watcher) in deaf.iter_mut().enumerate() {
        let mode = if at < 2 { "mode=peek" } else { "window=64m" };
        watcher.send(format!("watch p {mode}\n"));
    }
    (plain, deaf)
}

#[test]
fn while_some_do_not_read_frames_others_read_everything() {
    let (_scratch, papad) = start(LONG);
    let mut exact = Exact::tcp(&papad);
    make_flood(&mut exact, "p");
    let _deaf = watch_much(&papad);
    exact.ask("watch p mode=peek");
    assert_eq!(read_data(&mut exact, FLOOD).len(), FLOOD);
}

#[test]
fn who_does_not_read_frames_is_hung_up_on_and_loses_nothing() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut exact = Exact::tcp(&papad);
    make_flood(&mut exact, "p");
    let _deaf = watch_much(&papad);
    eventually("those who do not read are gone", || sessions(&mut exact) == 1);
    let line = exact.ask_line("list processes p");
    assert_eq!((number_of(&line, "watchers"), number_of(&line, "lost")), (0, 0), "{line}");
    // What they did not acknowledge is all there. It is read in pieces that a connection takes: so
    // papad never waits for this reader, however slow that is.
    exact.ask("watch p window=32k");
    let mut read = 0;
    while read < FLOOD {
        let Seen::Data { position, data, .. } = exact.next_seen() else { panic!("at {read}") };
        assert_eq!(position, read as u64);
        read += data.len();
        exact.send(format!("ack p {read}\n"));
    }
}

#[test]
fn who_reads_on_is_waited_for_however_long_it_takes() {
    // Many times as long as a pause between two answers that are read.
    const TIMEOUT: u64 = 10;
    let (_scratch, papad) = start(TIMEOUT);
    let mut exact = Exact::tcp(&papad);
    store_large_value(&mut exact);
    let answer = ["x".repeat(1 << 20), "\n> ".to_owned()].concat();
    let mut slow = plain_sessions(&papad);
    for session in &mut slow {
        session.send("get large\n".repeat(60));
    }
    let began = Instant::now();
    for _ in 0..60 {
        for session in &mut slow {
            session.expect(&answer);
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert!(began.elapsed() > Duration::from_secs(TIMEOUT));
    for session in &mut slow {
        session.ask_expecting("set v 1", "");
    }
}

#[test]
fn time_begins_anew_with_the_next_server_and_then_runs_out() {
    let (_scratch, papad) = start(TIMEOUT);
    let mut half = papad.session();
    half.send("set a");
    papad.session().ask_expecting("upgrade", "Upgraded to papad 0.1.0");
    half.expect("Error: A line must be finished within 2 seconds\n> ");
    half.expect_closed();
}

#[test]
fn a_slow_client_keeps_no_process_from_being_read() {
    let (_scratch, papad) = start(LONG);
    let mut session = papad.session();
    let mut deaf = papad.connect_unix();
    deaf.expect(BANNER);
    let flood = format!("head -c {FLOOD} /dev/zero; echo done >&2");
    session.ask(format!("make process p {}", shell(&flood)));
    deaf.watch("p", 1);
    // Its pipe is read to the end, though a watcher takes nothing.
    papad_tests::wait_for_end(&mut session, "p");
}
