//! Processes that end when they are told to, with codes that are known.

use std::io;

use papad_tests::exact::{Exact, Seen, script};
use papad_tests::kills::{Client, Gone, Random};
use papad_tests::{Fifo, Frame, Watched, shell};

use crate::Arena;
use crate::trouble::Since;

/// How an end is told that nobody knows, in protocol 2 and in papa 1.0.
pub(crate) const UNKNOWN: &str = "unknown 0";
const UNKNOWN_CODE: i32 = 511;

/// From when on a process may have ended.
pub(crate) struct Made(Since);

impl Made {
    pub(crate) fn now(arena: &Arena) -> Self {
        Self(arena.trouble.since_now())
    }

    /// Sees that a process has ended as it should. It may be unknown how, but only if there was a
    /// moment without a keeper in which it may have ended.
    #[track_caller]
    pub(crate) fn expect_end(&self, arena: &Arena, end: &str, expected: &str) {
        if end == UNKNOWN && arena.trouble.was_without_keeper(&self.0) {
            Arena::count(&arena.unknown, 1);
        } else {
            assert_eq!(end, expected);
        }
    }
}

/// Does something in a session of protocol 2 of its own. `None` if that ended meanwhile: only
/// because a server was killed.
#[track_caller]
pub(crate) fn in_session<T>(arena: &Arena, act: impl FnOnce(Exact) -> io::Result<T>) -> Option<T> {
    let papad = &arena.subject.papad;
    let kills = papad.kills_over();
    match Exact::try_tcp(papad).and_then(act) {
        Ok(done) => Some(done),
        Err(error) => {
            assert!(papad.has_killed_since(kills), "a session ended by itself: {error}");
            None
        }
    }
}

/// Makes a process, however often that is asked for.
pub(crate) fn make(arena: &Arena, name: &str, options: &str, line: &str) -> Made {
    let made = Made::now(arena);
    let request = format!("make process {name} {options} {}", script(line));
    let ask = |mut session: Exact| session.try_ask(&request);
    loop {
        if let Some(reply) = in_session(arena, ask) {
            assert_eq!(reply.unwrap().len(), 1);
            return made;
        }
    }
}

/// The script of a process that ends with this code when it is told to.
fn waiting(fifo: &Fifo, code: u64) -> String {
    format!("echo begun; read line <{}; echo ended; exit {code}", fifo.path())
}

/// Ends it and sees that its end comes, in protocol 2.
pub(crate) fn in_protocol_2(arena: &Arena, random: &mut Random, name: &str) {
    let code = random.below(256);
    let fifo = Fifo::new(&arena.subject.scratch, name);
    make(arena, name, "", &waiting(&fifo, code));
    let may_end = Made::now(arena);
    fifo.send_line();
    let mut was_told = false;
    let watch = |was_told: &mut bool, mut session: Exact| -> io::Result<bool> {
        match session.try_ask(format!("watch {name}"))? {
            Err(refusal) if refusal.code == "not-found" && *was_told => return Ok(true),
            opening => assert_eq!(opening.unwrap().len(), 1),
        }
        loop {
            match session.try_next_seen()? {
                Seen::Data { .. } => {}
                Seen::Closed { position, end, .. } => {
                    assert_eq!(position, 12, "{name}");
                    may_end.expect_end(arena, &end, &format!("exit {code}"));
                    *was_told = true;
                    session.try_send(format!("ack {name} closed\n"))?;
                }
                Seen::End(_) => return Ok(true),
                other => panic!("{other:?}"),
            }
        }
    };
    while !in_session(arena, |session| watch(&mut was_told, session)).unwrap_or(false) {}
    Arena::count(&arena.ends, 1);
}

/// Ends it and sees that its end comes, in papa 1.0.
pub(crate) fn in_papa_1_0(arena: &Arena, random: &mut Random, name: &str) {
    let code = random.below(256);
    let fifo = Fifo::new(&arena.subject.scratch, name);
    let make = format!("make process {name} {}", shell(&waiting(&fifo, code)));
    while !telnet(arena, |client| client.ask(&make)).is_some_and(|line| line.contains(" pid=")) {}
    let may_end = Made::now(arena);
    fifo.send_line();
    let mut was_told = false;
    let mut watch = |client: &mut Client| -> Result<bool, Gone> {
        if !client.watch(name)? {
            assert!(was_told, "{name} is lost");
            return Ok(true);
        }
        loop {
            match client.next_watched()? {
                Watched::Batch(frames) => {
                    for frame in &frames {
                        if let Frame::Closed { code: told, .. } = frame {
                            let end = match *told {
                                UNKNOWN_CODE => UNKNOWN.to_owned(),
                                told => format!("exit {told}"),
                            };
                            may_end.expect_end(arena, &end, &format!("exit {code}"));
                            was_told = true;
                        }
                    }
                    client.send("")?;
                }
                Watched::Ended(_) => return Ok(true),
            }
        }
    };
    while !telnet(arena, &mut watch).unwrap_or(false) {}
    Arena::count(&arena.ends, 1);
}

/// As [`in_session`], in papa 1.0.
#[track_caller]
fn telnet<T>(arena: &Arena, act: impl FnOnce(&mut Client) -> Result<T, Gone>) -> Option<T> {
    let papad = &arena.subject.papad;
    let kills = papad.kills_over();
    let done = Client::connect(papad).and_then(|mut client| act(&mut client));
    assert!(done.is_ok() || papad.has_killed_since(kills), "a session ended by itself");
    done.ok()
}
