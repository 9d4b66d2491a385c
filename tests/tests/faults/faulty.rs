//! A papad that meets faults.

use std::thread;
use std::time::{Duration, Instant};

use papad_tests::exact::{Exact, number_of};
use papad_tests::kills::kinds_of_files;
use papad_tests::{Builder, Fault, Faults, InForce, Papad, ScratchDir};

pub(crate) struct Faulty {
    pub(crate) papad: Papad,
    pub(crate) faults: Faults,
    pub(crate) scratch: ScratchDir,
}

/// What keeper and server have open, sorted by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    keeper: Vec<String>,
    server: Vec<String>,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        Self::start_with(|builder, _| builder)
    }

    pub(crate) fn start_with(
        how: impl FnOnce(Builder<'static>, &ScratchDir) -> Builder<'static>,
    ) -> Self {
        let scratch = ScratchDir::new();
        let faults = Faults::new(&scratch);
        let builder = Papad::builder().with_faults(&faults).unix_path(scratch.join("papad"));
        let papad = how(builder, &scratch).start();
        papad.wait_for_log("keeper: ready");
        Self { papad, faults, scratch }
    }

    pub(crate) fn put(&self, fault: Fault) -> InForce<'_> {
        self.faults.put(fault)
    }

    pub(crate) fn exact(&self) -> Exact {
        Exact::tcp(&self.papad)
    }

    /// What keeper and server have open, with one more session than there are.
    pub(crate) fn open(&self) -> Open {
        let server = number_of(&self.exact().ask("status")[0], "server") as i32;
        Open { keeper: kinds_of_files(self.papad.keeper_pid()), server: kinds_of_files(server) }
    }

    /// Whether keeper and server come to have open what they had.
    pub(crate) fn is_open(&self, before: &Open) -> bool {
        let until = Instant::now() + Duration::from_secs(3);
        while self.open() != *before {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}
