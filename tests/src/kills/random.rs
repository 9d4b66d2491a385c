//! Choices that can be made again.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

/// A generator of numbers that are random enough for tests (splitmix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The seed that `PAPAD_TEST_SEED` names, or a new one. It is printed, for a run that fails.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variable("PAPAD_TEST_SEED")
    }

    /// The same, from another variable.
    #[must_use]
    pub fn from_variable(name: &str) -> Self {
        let seed = env::var(name).map_or_else(
            |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
            |seed| seed.parse().expect("a seed is a number"),
        );
        eprintln!("to make the same choices again: {name}={seed}");
        Self(seed)
    }

    /// Another one, for another thread.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to, and without, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// How often to kill: what `PAPAD_TEST_KILLS` says, for longer runs by hand.
#[must_use]
pub fn kills_wanted(otherwise: u64) -> u64 {
    env::var("PAPAD_TEST_KILLS")
        .map_or(otherwise, |kills| kills.parse().expect("PAPAD_TEST_KILLS is a number"))
}
