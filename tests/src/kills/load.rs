//! Everything papad does, at the same time and without pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::values::Values;
use super::{Flood, Patient, Random, processes, sockets};
use crate::{Papad, ScratchDir};

/// Runs `kill`, which is handed a question whether to go on, while clients do everything that
/// papad offers and check each answer. When this returns, they have removed all they had made.
///
/// # Panics
/// When one of the clients, or `kill`, finds anything wrong.
pub fn under_load(
    papad: &Papad,
    scratch: &ScratchDir,
    random: &mut Random,
    kill: impl FnOnce(&mut Random, &dyn Fn() -> bool),
) {
    let is_over = AtomicBool::new(false);
    let flood = Flood::new();
    let work = |worker: &str, mut random: Random| {
        let _end = EndWhenDropped(&is_over);
        let mut patient = Patient::new(papad);
        let mut values = Values::default();
        for number in 0.. {
            if is_over.load(Ordering::SeqCst) {
                break;
            }
            let name = format!("{worker}.{number}");
            match worker {
                "values" => values.round(&mut patient, &mut random),
                "socket" => sockets::round(&mut patient, &mut random, scratch, &name),
                "process" => processes::round(&mut patient, &mut random, scratch, &name),
                _ => flood.run(&mut patient, &mut random, &name),
            }
        }
        values.finish(&mut patient);
    };
    thread::scope(|scope| {
        for worker in ["flood-a", "flood-b", "values", "socket", "process"] {
            let random = random.branch();
            scope.spawn(move || work(worker, random));
        }
        let _end = EndWhenDropped(&is_over);
        kill(random, &|| !is_over.load(Ordering::SeqCst));
    });
}

/// Ends the load when a thread of it ends, because it is over or has failed.
struct EndWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
