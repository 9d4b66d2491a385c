//! Processes that write as much as they can, in lines that each tell their place.

use super::{Expected, Patient, Random, watch_to_end};
use crate::shell;

/// The most lines that a flood writes to each of its streams.
const MOST_LINES: u64 = 1_000_000;

/// The most lines of a flood that alternates between its streams, which is slower.
const MOST_ALTERNATING: u64 = 20_000;

/// What the lines of stdout and stderr count from, so that all are of one length.
const FIRST_OUT: u64 = 1_000_000_000;
const FIRST_ERR: u64 = 2_000_000_000;

/// Bytes of a line.
const LINE: usize = 11;

/// All bytes that the longest flood writes. Shorter ones write the beginning of that.
pub struct Flood {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Flood {
    /// Writes all the lines down.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is large")]
    pub fn new() -> Self {
        Self { out: lines(FIRST_OUT), err: lines(FIRST_ERR) }
    }

    /// Makes the process `name`, which floods, and watches it to its end. Nothing may be pushed out
    /// however slow the watcher is: its ring has room for all of it, or it waits for the watcher.
    pub fn run(&self, patient: &mut Patient, random: &mut Random, name: &str) {
        let code = random.below(256) as i32;
        let alternates = random.one_in(2);
        let count = 1 + random.below(if alternates { MOST_ALTERNATING } else { MOST_LINES });
        let script = if alternates {
            format!(
                "i=0; while [ $i -lt {count} ]; do echo $(({FIRST_OUT}+i)); \
                 echo $(({FIRST_ERR}+i)) >&2; i=$((i+1)); done; exit {code}"
            )
        } else {
            let (last_out, last_err) = (FIRST_OUT + count - 1, FIRST_ERR + count - 1);
            format!(
                "/usr/bin/seq {FIRST_OUT} {last_out} & /usr/bin/seq {FIRST_ERR} {last_err} >&2; \
                 wait; exit {code}"
            )
        };
        if random.one_in(2) {
            let make = format!("make process {name} bufsize=64m {}", shell(&script));
            let line = patient.ask(&make).text;
            assert!(line.starts_with(&format!("{name} pid=")), "{line}");
        } else {
            // Only protocol 2 has processes that wait when their ring is full.
            let command = format!("-- /bin/sh -c \"{script}\"");
            let make = format!("make process {name} bufsize=64k overflow=block {command}");
            assert_eq!(patient.ask_in_protocol_2(&make), "ok 1");
        }
        let length = count as usize * LINE;
        let expected = Expected { out: &self.out[..length], err: &self.err[..length], code };
        watch_to_end(patient, random, name, expected);
    }
}

fn lines(first: u64) -> Vec<u8> {
    let mut lines = Vec::with_capacity(MOST_LINES as usize * LINE);
    let mut line = format!("{first}\n").into_bytes();
    for _ in 0..MOST_LINES {
        lines.extend(&line);
        // Counting up the digits themselves is much faster than formatting a number.
        for digit in line[..LINE - 1].iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
    }
    lines
}
