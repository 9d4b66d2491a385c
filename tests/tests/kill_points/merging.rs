//! Kills around the merging of chunks, which is what happens when a ring's index is full of small
//! ones.

use std::{env, fs};

use papad_tests::kills::{Client, Expected, Patient, Random, watch_to_end};
use papad_tests::{Frame, Recording, Watched, argument, eventually, wait_for_end};

use crate::armed::Armed;

/// Bytes that the ring keeps. An index for so few has 1024 entries.
const BUFSIZE: usize = 8 * 1024;

/// Writes to both streams in turn, and waits each time until papad has taken it, so that each
/// write is a chunk. `COUNTxSIZE`: so many writes to each, of so many bytes. What is written tells
/// its place: 000000, 000001, 000002, ...
const WRITER: &str = r#"import fcntl, os, sys, termios
text = b"".join(b"%06d" % number for number in range(10000))
at = 0
for count, size in (map(int, word.split("x")) for word in sys.argv[1:]):
    for _ in range(count):
        for fd in 1, 2:
            os.write(fd, text[at:at + size])
            while any(fcntl.ioctl(fd, termios.FIONREAD, bytes(4))):
                os.sched_yield()
        at += size
"#;

/// The first bytes of each stream.
fn text(length: usize) -> Vec<u8> {
    let mut text: Vec<u8> =
        (0..10_000).flat_map(|number| format!("{number:06}").into_bytes()).collect();
    text.truncate(length);
    text
}

/// Makes the process `p`, which writes so.
fn make_writer(armed: &Armed, writes: &str) {
    let script = armed.scratch.join("writer.py");
    fs::write(&script, WRITER).unwrap();
    let path = argument(&env::var("PATH").unwrap());
    let command = format!("/usr/bin/env python3 {script} {writes}");
    let line = format!("make process p bufsize={BUFSIZE} env.PATH={path} {command}");
    let line = armed.papad.session().ask(line);
    assert!(line.starts_with("p pid="), "{line}");
}

/// Everything that is kept of a process that has ended, none of which is acknowledged.
fn look(armed: &Armed) -> Recording {
    let mut seen = Recording::default();
    // Its end is told a moment after it has ended, or after a server has found its pipes closed.
    eventually("its end is told", || {
        let mut client = Client::connect(&armed.papad).unwrap();
        assert!(client.watch("p").unwrap());
        let Ok(Watched::Batch(frames)) = client.next_watched() else {
            panic!("the watch has ended");
        };
        client.leave();
        seen = Recording::default();
        for frame in &frames {
            seen.add(frame);
        }
        matches!(frames.last(), Some(Frame::Closed { .. }))
    });
    seen
}

#[test]
fn killed_between_planning_a_merge_and_doing_it() {
    const WRITES: usize = 700;
    let armed = Armed::start();
    drop(armed.kill_at("merge-planned", || make_writer(&armed, &format!("{WRITES}x3"))));
    let text = text(WRITES * 3);
    let mut patient = Patient::new(&armed.papad);
    let expected = Expected { out: &text, err: &text, code: 0 };
    watch_to_end(&mut patient, &mut Random::from_environment(), "p", expected);
}

#[test]
fn killed_after_merges_in_an_index_that_has_gone_round() {
    let armed = Armed::start();
    // More writes than the index has entries, of more than the ring keeps, and then so small ones
    // that the index is full before the ring is. The last one comes a while after a merge.
    for small in [100, 700] {
        drop(armed.kill_at("merge-planned", || make_writer(&armed, &format!("600x9 {small}x1"))));
        wait_for_end(&mut armed.papad.session(), "p");
        for _ in 0..3 {
            let seen = look(&armed);
            let (kept, all) = (seen.out.len() + seen.err.len(), text(600 * 9 + small));
            // What is pushed out is whole chunks, of at most 4096 bytes.
            assert!((BUFSIZE - 4096..=BUFSIZE).contains(&kept), "{kept} bytes are kept");
            assert!(all.ends_with(&seen.out), "out: {}", seen.out.escape_ascii());
            assert!(all.ends_with(&seen.err), "err: {}", seen.err.escape_ascii());
            armed.papad.kill_server();
            assert_eq!(look(&armed), seen);
        }
        let seen = look(&armed);
        let expected = Expected { out: &seen.out, err: &seen.err, code: 0 };
        let mut patient = Patient::new(&armed.papad);
        watch_to_end(&mut patient, &mut Random::from_environment(), "p", expected);
    }
}
