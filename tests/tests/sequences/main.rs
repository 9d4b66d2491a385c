//! Commands in any order, in both dialects, with faults, kills and upgrades among them, compared
//! with a model of what papad holds.
//!
//! `PAPAD_SEQUENCE_SEED` asks for the choices of an earlier run, `PAPAD_SEQUENCE_SECONDS` for a run
//! of that length, in place of a number of steps.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod model;
mod speaker;
mod steps;

use std::env;
use std::time::{Duration, Instant};

use papad_tests::kills::{Random, kinds_of_files};
use papad_tests::{Faults, Papad, ScratchDir, eventually};

use steps::Sequence;

/// Steps, if nobody wants another length.
const STEPS: u64 = 200;

#[test]
fn papad_holds_what_it_has_said_and_nothing_else() {
    let mut random = Random::from_variable("PAPAD_SEQUENCE_SEED");
    let seconds: Option<u64> = env::var("PAPAD_SEQUENCE_SECONDS")
        .ok()
        .map(|text| text.parse().expect("PAPAD_SEQUENCE_SECONDS is a number"));
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let scratch = ScratchDir::new();
    let faults = Faults::new(&scratch);
    let papad = Papad::builder().with_faults(&faults).start();
    papad.wait_for_log("keeper: ready");
    let files = kinds_of_files(papad.keeper_pid());
    let mut sequence = Sequence::new(&papad, &faults, &scratch);
    let mut steps = 0;
    while until.map_or(steps < STEPS, |until| Instant::now() < until) {
        sequence.step(&mut random);
        steps += 1;
    }
    sequence.end_all();
    eprintln!("{steps} steps: {}", sequence.done);
    eventually(&format!("the keeper holds what it held: {files:?}"), || {
        kinds_of_files(papad.keeper_pid()) == files
    });
}
