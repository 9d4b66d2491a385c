//! The server is killed at random moments, while everything that papad does goes on.
//!
//! `PAPAD_TEST_KILLS` asks for another number of kills, `PAPAD_TEST_SEED` for the choices of an
//! earlier run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::thread;
use std::time::Duration;

use papad_tests::kills::{Patient, Random, Residents, kills_wanted, under_load};
use papad_tests::{Papad, ScratchDir};

/// Kills, if nobody wants another number.
const KILLS: u64 = 300;

/// The longest time between two kills, in microseconds.
const LONGEST: u64 = 100_000;

#[test]
fn nothing_is_lost_and_nothing_is_doubled_however_often_the_server_is_killed() {
    let kills = kills_wanted(KILLS);
    let mut random = Random::from_environment();
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let residents = Residents::new(&papad, &scratch);

    under_load(&papad, &scratch, &mut random, |random, go_on| {
        let mut patient = Patient::new(&papad);
        let mut killed = 0;
        while killed < kills && go_on() {
            // The moment is the subject here: any between the start of a server and its end.
            thread::sleep(Duration::from_micros(random.below(LONGEST)));
            papad.kill_server();
            killed += 1;
            // Without this check the next kill may meet a server that is still recovering.
            if !random.one_in(4) {
                residents.check(&mut patient);
            }
        }
        assert!(killed == kills, "given up after {killed} kills");
    });
    residents.check_alone(&mut Patient::new(&papad), &mut random);
}
