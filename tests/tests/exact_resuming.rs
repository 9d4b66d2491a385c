//! Going on where one was: a watcher that remembers its position gets every byte exactly once,
//! however often the server is killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use papad_tests::exact::{Exact, Seen, number_of, read_data, script, wait_for_end};
use papad_tests::kills::Random;
use papad_tests::{Fifo, Papad, ScratchDir, eventually};

/// How often the server is killed.
const KILLS: usize = 60;

/// A watcher that keeps what it has seen, as a client would in a file.
struct Log {
    bytes: Vec<u8>,
    end: Option<String>,
    /// It has said that it knows of the end.
    may_be_gone: bool,
}

impl Log {
    /// Watches `p` until its end is known, or the connection is lost.
    fn watch(&mut self, papad: &Papad, random: &mut Random) -> io::Result<()> {
        let mut exact = Exact::try_tcp(papad)?;
        let window = random.pick(&["4k", "64k", "1m"]);
        let request = format!("watch p window={window} from={}", self.bytes.len());
        let lines = match exact.try_ask(request)? {
            Ok(lines) => lines,
            Err(refusal) => {
                assert!(self.may_be_gone && refusal.code == "not-found", "{refusal:?}");
                return Ok(());
            }
        };
        assert_eq!(number_of(&lines[0], "from"), self.bytes.len() as u64);
        loop {
            match exact.try_next_seen()? {
                Seen::Data { position, data, .. } => {
                    assert_eq!(position, self.bytes.len() as u64);
                    self.bytes.extend(data);
                    // Sometimes in two steps, so that a kill may come between them.
                    if random.one_in(2) {
                        exact.try_send(format!("ack p {}\n", position + 1))?;
                    }
                    exact.try_send(format!("ack p {}\n", self.bytes.len()))?;
                }
                Seen::Closed { position, end, .. } => {
                    assert_eq!(position, self.bytes.len() as u64);
                    self.end = Some(end);
                    self.may_be_gone = true;
                    exact.try_send("ack p closed\n")?;
                }
                Seen::End(why) => {
                    assert_eq!(why, "finished");
                    assert!(self.end.is_some());
                    return Ok(());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn every_byte_comes_exactly_once_through_any_number_of_kills() {
    let papad = Papad::start();
    let mut random = Random::from_environment();
    let flood = script("while :; do /usr/bin/seq 1 20000; done");
    let made =
        Exact::tcp(&papad).ask_line(format!("make process p overflow=block bufsize=256k {flood}"));
    let is_over = AtomicBool::new(false);
    let mut log = Log { bytes: Vec::new(), end: None, may_be_gone: false };
    thread::scope(|scope| {
        let mut killers_random = random.branch();
        let (papad, is_over) = (&papad, &is_over);
        scope.spawn(move || {
            for _ in 0..KILLS {
                // It is to be in the middle of something, which is a matter of time.
                thread::sleep(std::time::Duration::from_millis(killers_random.below(60)));
                papad.kill_server();
            }
            is_over.store(true, Ordering::SeqCst);
            let pid = number_of(&made, "pid") as i32;
            nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGTERM,
            )
            .unwrap();
        });
        loop {
            match log.watch(papad, &mut random) {
                Ok(()) => break,
                // papad's server is gone, and another takes its place.
                Err(_) => assert!(log.end.is_none() || !is_over.load(Ordering::SeqCst)),
            }
        }
    });
    assert_eq!(log.end.as_deref(), Some("signal 15"));
    let round: Vec<u8> = (1..=20_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    assert!(log.bytes.len() > round.len());
    for (at, part) in log.bytes.chunks(round.len()).enumerate() {
        assert!(round.starts_with(part), "round {at}");
    }
    eventually("it has left the list", || Exact::tcp(&papad).ask("list processes").is_empty());
}

#[test]
fn positions_ids_and_times_are_the_same_after_a_kill() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let command = script(&format!("echo one; read go < {}; echo two; exit 3", go.path()));
    exact.ask(format!("make process p {command}"));
    eventually("one line has come", || exact.ask_line("list processes").contains(" next=4 "));
    // It has been sent, so what comes next is no more of the same piece.
    exact.ask("watch p mode=peek");
    read_data(&mut exact, 4);
    exact.ask_expecting("stop", "end stopped\n");
    go.send_line();
    wait_for_end(&mut exact, "p");
    let watch = |exact: &mut Exact| {
        let head = exact.ask("watch p mode=peek");
        let mut frames = Vec::new();
        loop {
            match exact.next_seen() {
                Seen::End(_) => return (head, frames),
                frame => frames.push(frame),
            }
        }
    };
    let before = watch(&mut exact);
    assert_eq!(before.1.len(), 3);
    papad.kill_server();
    assert_eq!(watch(&mut Exact::tcp(&papad)), before);
}

#[test]
fn a_writer_goes_on_when_a_taker_comes_back_and_has_seen_all_that_is_kept() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p overflow=block bufsize=16k -- /usr/bin/seq 1 100000");
    eventually("the buffer is full", || exact.ask_line("list processes").contains(" next=16384 "));
    // It was sent all of it, remembers that, and was cut off before it could acknowledge any.
    exact.ask("watch p from=16384");
    assert!(matches!(exact.next_seen(), Seen::Data { position: 16384, .. }));
}

#[test]
fn what_one_had_seen_and_not_acknowledged_can_be_passed_over() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("printf abcdef; exec /bin/sleep 1000")));
    eventually("it has written", || exact.ask_line("list processes").contains(" next=6 "));
    exact.ask("watch p");
    assert!(matches!(exact.next_seen(), Seen::Data { position: 0, .. }));
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    exact.ask("watch p from=6");
    exact.ask_expecting("stop", "end stopped\n");
    assert!(exact.ask_line("list processes").contains(" first=6 next=6 "));
}
