//! Processes that write as fast as they are read, checked byte for byte.

use papa_client::{Endpoint, Event, Overflow, Papa};
use papad_tests::DEADLINE;
use papad_tests::exact::{Exact, Seen};
use papad_tests::kills::Random;

use crate::Arena;
use crate::ends::{self, Made};

/// What the lines count from, so that all are of one length, and bytes of a line.
const FIRST: usize = 1_000_000_000;
const LINE: usize = 11;

/// The most lines of a flood.
const MOST_LINES: u64 = 400_000;

/// Sees that these bytes come at this position.
#[track_caller]
fn check(position: usize, data: &[u8]) {
    let first = position / LINE;
    let last = (position + data.len()).div_ceil(LINE);
    let line = |line: usize| format!("{}\n", FIRST + line).into_bytes();
    let expected: Vec<u8> = (first..last).flat_map(line).collect();
    let at = position - first * LINE;
    assert!(&expected[at..at + data.len()] == data, "other bytes at {position}");
}

/// The script of a flood of so many lines that ends with `code`.
fn script(lines: usize, code: u64) -> String {
    format!("seq {FIRST} {}; exit {code}", FIRST + lines - 1)
}

/// Follows a flood in protocol 2. A session that ends with its server is followed by another, which
/// goes on where that was.
pub(crate) fn exact(arena: &Arena, random: &mut Random, name: &str) {
    let lines = 1 + random.below(MOST_LINES) as usize;
    let code = random.below(256);
    let line = script(lines, code);
    let made = ends::make(arena, name, "bufsize=64k overflow=block", &line);
    let mut position = 0;
    let is_over = |position: &mut usize, mut session: Exact| -> std::io::Result<bool> {
        match session.try_ask(format!("watch {name} from={position} window=64k"))? {
            // An acknowledgement of the end was heard, and its answer was not.
            Err(refusal) if refusal.code == "not-found" && *position == lines * LINE => {
                return Ok(true);
            }
            opening => assert_eq!(opening.unwrap().len(), 1),
        }
        loop {
            match session.try_next_seen()? {
                Seen::Data { position: at, data, .. } => {
                    assert_eq!(at as usize, *position, "{name}");
                    check(*position, &data);
                    *position += data.len();
                    session.try_send(format!("ack {name} {position}\n"))?;
                }
                Seen::Closed { position: at, end, .. } => {
                    assert_eq!((at as usize, *position), (*position, lines * LINE), "{name}");
                    made.expect_end(arena, &end, &format!("exit {code}"));
                    session.try_send(format!("ack {name} closed\n"))?;
                }
                Seen::End(why) => {
                    assert_eq!(why, "finished");
                    return Ok(true);
                }
                other => panic!("{other:?}"),
            }
        }
    };
    while !ends::in_session(arena, |session| is_over(&mut position, session)).unwrap_or(false) {}
    Arena::count(&arena.bytes, position);
    Arena::count(&arena.ends, 1);
}

/// Follows a flood with papa-client, which goes on by itself.
pub(crate) fn by_papa_client(arena: &Arena, random: &mut Random, name: &str) {
    let lines = 1 + random.below(MOST_LINES) as usize;
    let code = random.below(256);
    let papa = Papa::connect(&Endpoint::unix(arena.subject.papad.unix_path())).unwrap();
    let line = script(lines, code);
    let made = Made::now(arena);
    loop {
        let process = papa.process(name, "/bin/sh").args(["-c", &line]);
        match process.bufsize(64 << 10).overflow(Overflow::Block).make() {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), papa_client::ErrorKind::Disconnected),
        }
    }
    let mut watcher = papa.watch([name]).start().unwrap();
    let mut position = 0;
    let mut is_closed = false;
    while !is_closed {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("a batch comes in time");
        for event in &batch {
            match event {
                Event::Joined { .. } => {}
                Event::Output { position: at, bytes: data, .. } => {
                    assert_eq!(at as usize, position, "{name}");
                    check(position, data);
                    position += data.len();
                }
                Event::Closed { end, .. } => {
                    assert_eq!(position, lines * LINE);
                    let end = match end {
                        papa_client::End::Exited(code) => format!("exit {code}"),
                        papa_client::End::Unknown => ends::UNKNOWN.to_owned(),
                        other => panic!("{other:?}"),
                    };
                    made.expect_end(arena, &end, &format!("exit {code}"));
                    is_closed = true;
                }
                other => panic!("{other:?}"),
            }
        }
        batch.acknowledge();
    }
    while watcher.next().is_some() {}
    Arena::count(&arena.bytes, position);
    Arena::count(&arena.ends, 1);
}
