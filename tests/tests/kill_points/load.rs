//! Kills at points chosen at random, while everything that papad does goes on.

use papad_tests::eventually;
use papad_tests::kills::{Patient, Random, Residents, kills_wanted, under_load};

use crate::armed::Armed;

/// Times that one to three points are armed, if nobody wants another number.
const ROUNDS: u64 = 60;

/// The points that a load reaches all the time.
const POINTS: [&str; 11] = [
    "held",
    "journaled",
    "cloned",
    "recorded",
    "index-written",
    "spliced",
    "exit-journaled",
    "socket-held",
    "socket-unrecorded",
    "compaction-written",
    "compaction-held",
];

#[test]
fn killed_at_random_points_under_load() {
    let mut random = Random::from_environment();
    let armed = Armed::start();
    let residents = Residents::new(&armed.papad, &armed.scratch);
    under_load(&armed.papad, &armed.scratch, &mut random, |random, go_on| {
        let mut patient = Patient::new(&armed.papad);
        for _ in 0..kills_wanted(ROUNDS) {
            let points: Vec<&str> = (0..=random.below(3)).map(|_| *random.pick(&POINTS)).collect();
            for point in &points {
                armed.arm(point);
            }
            eventually(&format!("the load reaches {points:?}"), || {
                !points.iter().any(|point| armed.is_armed(point)) || !go_on()
            });
            if !go_on() {
                return;
            }
            residents.check(&mut patient);
        }
    });
    residents.check_alone(&mut Patient::new(&armed.papad), &mut random);
}
