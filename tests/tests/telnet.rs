//! Somebody at telnet: what it asks for is answered, what was not shown is not acknowledged, and
//! Ctrl-D ends the session.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::socket::{MsgFlags, send};
use papad_tests::exact::{Exact, make_writer, number_of, read_data};
use papad_tests::{BANNER, Papad, Session, eventually};

const IAC: u8 = 255;
const DONT: u8 = 254;
const DO: u8 = 253;
const WONT: u8 = 252;
const WILL: u8 = 251;
const INTERRUPT: u8 = 244;
const DATA_MARK: u8 = 242;
const SUSPEND: u8 = 237;
const ABORT: u8 = 238;
const END_OF_FILE: u8 = 236;
const TIMING_MARK: u8 = 6;

/// What telnet sends when somebody types Ctrl-C, but for the urgent data.
const CTRL_C: [u8; 5] = [IAC, INTERRUPT, IAC, DO, TIMING_MARK];
const CTRL_D: [u8; 1] = [4];
const MARKED: [u8; 3] = [IAC, WILL, TIMING_MARK];

#[test]
fn every_do_and_will_is_answered() {
    let papad = Papad::start();
    let mut session = papad.session();
    for option in [0, 1, 3, 31, 34, 255] {
        session.send([IAC, DO, option]);
        session.expect([IAC, WONT, option]);
        session.send([IAC, WILL, option]);
        session.expect([IAC, DONT, option]);
        session.send([IAC, WONT, option, IAC, DONT, option]);
    }
    session.ask_expecting("get a", "");
}

#[test]
fn each_signal_is_answered_and_breaks_no_command() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("set a 1", "");
    for signal in [INTERRUPT, SUSPEND, ABORT] {
        session.send([IAC, signal, IAC, DO, TIMING_MARK]);
        session.expect(MARKED);
        session.ask_expecting("get a", "1");
    }
    // In the midst of a line, too.
    session.send([b"get", &CTRL_C[..], b" a\n"].concat());
    session.expect([&MARKED[..], b"1\n> "].concat());
}

#[test]
fn what_was_asked_before_is_answered_before() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.send([b"set a 1\nget a\n", &CTRL_C[..], b"get a\n"].concat());
    session.expect("\n> 1\n> ");
    session.expect([&MARKED[..], b"1\n> "].concat());
}

#[test]
fn urgent_data_breaks_no_command() {
    let papad = Papad::start();
    let stream = TcpStream::connect(("127.0.0.1", papad.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut session = Session::over(stream.try_clone().unwrap().into());
    session.expect(BANNER);
    for value in ["1", "2", "3"] {
        session.send([IAC, INTERRUPT, IAC, DO, TIMING_MARK, IAC]);
        send(stream.as_raw_fd(), &[DATA_MARK], MsgFlags::MSG_OOB).unwrap();
        session.send(format!("set a {value}\n"));
        session.expect([&MARKED[..], b"\n> "].concat());
        session.ask_expecting("get a", value);
    }
}

/// A process that has written, and a session that was sent what, and has not acknowledged it.
fn watched(papad: &Papad) -> (Exact, Session, Vec<u8>) {
    let mut exact = Exact::tcp(papad);
    make_writer(&mut exact, "p", "output");
    let mut session = papad.session();
    session.watch("p", 1);
    let mut batch = Vec::new();
    while !batch.ends_with(b"] ") {
        batch.extend(session.read_once());
    }
    (exact, session, batch)
}

/// How much of it was acknowledged.
fn acknowledged(exact: &mut Exact) -> u64 {
    number_of(&exact.ask_line("list processes p"), "first")
}

#[test]
fn a_batch_that_may_not_have_been_shown_is_sent_again() {
    let papad = Papad::start();
    let (mut exact, mut session, batch) = watched(&papad);
    for _ in 0..2 {
        session.send(CTRL_C);
        session.expect([&MARKED[..], &batch].concat());
        // A line that was sent before the batch can have been seen again acknowledges nothing.
        session.send([&CTRL_C[..], b"\n\n"].concat());
        session.expect([&MARKED[..], &batch].concat());
        assert_eq!(acknowledged(&mut exact), 0);
    }
    // One that is sent when it was seen does.
    session.send("\n");
    eventually("it is acknowledged", || acknowledged(&mut exact) == 6);
    session.send(CTRL_C);
    session.expect(MARKED);
    session.send("q\n");
    session.expect("Stopped watching\n> ");
}

#[test]
fn a_watch_that_is_left_with_a_signal_before_acknowledges_nothing() {
    let papad = Papad::start();
    let (mut exact, mut session, _) = watched(&papad);
    session.send([&CTRL_C[..], b"q\n"].concat());
    session.expect([&MARKED[..], b"Stopped watching\n> "].concat());
    assert_eq!(acknowledged(&mut exact), 0);
    let (_, mut session, _) = watched(&papad);
    session.send(CTRL_D);
    session.expect_closed();
    assert_eq!(acknowledged(&mut exact), 0);
}

#[test]
fn what_is_sent_again_goes_on_after_an_upgrade() {
    let papad = Papad::start();
    let (mut exact, mut session, batch) = watched(&papad);
    session.send(&CTRL_C[..3]);
    exact.ask("upgrade");
    session.send(&CTRL_C[3..]);
    session.expect([&MARKED[..], &batch].concat());
    let mut exact = Exact::tcp(&papad);
    assert_eq!(acknowledged(&mut exact), 0);
    session.send("q\n");
    session.expect("Stopped watching\n> ");
}

#[test]
fn ctrl_d_ends_a_session_where_a_line_begins() {
    let papad = Papad::start();
    for end in [&CTRL_D[..], &[IAC, END_OF_FILE]] {
        let mut session = papad.session();
        session.send([b"set a 1\nget a\n", end, b"set a 2\n"].concat());
        session.expect("\n> 1\n> ");
        session.expect_closed();
        let mut exact = Exact::tcp(&papad);
        exact.ask_expecting("get a", "ok 1\n1\n");
        exact.send(end);
        exact.expect_closed();
    }
    // Elsewhere it is a byte.
    let mut session = papad.session();
    session.ask_expecting(b"set a \x04", "");
    session.ask_expecting("get a", b"\x04");
}

#[test]
fn protocol_2_answers_between_lines() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "output");
    exact.send([&CTRL_C[..], &[IAC, DATA_MARK]].concat());
    exact.expect(MARKED);
    exact.ask("set a 1");
    exact.send([IAC, DO, 1, IAC, WILL, 31]);
    exact.expect([IAC, WONT, 1, IAC, DONT, 31]);
    exact.ask("watch p");
    assert_eq!(read_data(&mut exact, 6), b"output");
    exact.send(CTRL_C);
    exact.expect(MARKED);
    assert_eq!(acknowledged(&mut Exact::tcp(&papad)), 0);
    // Within a line, they are no words.
    exact.send([b"ack p ", &CTRL_C[..], b"\n"].concat());
    assert_eq!(exact.reply().unwrap_err().code, "usage");
    exact.send(CTRL_D);
    exact.expect_closed();
    assert_eq!(acknowledged(&mut Exact::tcp(&papad)), 0);
}

/// The real telnet, at a terminal.
struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn telnet(papad: &Papad) -> Option<Self> {
        if !["/usr/bin/telnet", "/usr/bin/script"].iter().all(|path| Path::new(path).exists()) {
            eprintln!("SKIPPED: telnet(1) or script(1) is not installed");
            return None;
        }
        let command = format!("exec telnet 127.0.0.1 {}", papad.port());
        let mut script = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keyboard, mut shown) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Some(Self { script, keyboard, screen })
    }

    /// Types this, and waits until this is shown after all that was before.
    #[track_caller]
    fn types(&mut self, keys: &[u8], shown: &str) {
        self.keyboard.write_all(keys).unwrap();
        self.shows(shown);
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        eventually(&format!("it shows {text:?}"), || {
            let mut screen = self.screen.lock().unwrap();
            let end = screen.find(text).map(|at| at + text.len());
            end.map(|end| screen.drain(..end)).is_some()
        });
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn at_a_real_telnet_signals_are_survived_and_lose_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    make_writer(&mut exact, "p", "output");
    let Some(mut terminal) = Terminal::telnet(&papad) else { return };
    terminal.shows("Papa is home. Type \"help\" for commands.\r\n> ");
    for (at, signal) in [b"\x03", b"\x1a", b"\x1c"].into_iter().enumerate() {
        terminal.types(signal, ["^C", "^Z", "^\\"][at]);
        terminal.types(format!("set a {at}\r").as_bytes(), "\r\n> ");
        terminal.types(b"get a\r", &format!("\r\n{at}\r\n> "));
    }
    terminal.types(b"watch processes\r", "output\r\n] ");
    terminal.types(b"\x03", "output\r\n] ");
    assert_eq!(acknowledged(&mut exact), 0);
    terminal.types(b"\x04", "Connection closed by foreign host.");
    assert_eq!(acknowledged(&mut exact), 0);
    assert!(terminal.script.wait().is_ok());
}
