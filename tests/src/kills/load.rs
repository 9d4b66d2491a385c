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
    let mut values = Values::default();
    let workers: [(&str, Box<Round>); 5] = [
        ("flood-a", Box::new(|patient, random, name| flood.run(patient, random, name))),
        ("flood-b", Box::new(|patient, random, name| flood.run(patient, random, name))),
        ("value", Box::new(|patient, random, _| values.round(patient, random))),
        ("socket", Box::new(|p, random, name| sockets::round(p, random, scratch, name))),
        ("process", Box::new(|p, random, name| processes::round(p, random, scratch, name))),
    ];
    thread::scope(|scope| {
        for (worker, mut round) in workers {
            let (mut random, is_over) = (random.branch(), &is_over);
            scope.spawn(move || {
                let _end = EndWhenDropped(is_over);
                let mut patient = Patient::new(papad);
                let mut number = 0;
                while !is_over.load(Ordering::SeqCst) {
                    number += 1;
                    round(&mut patient, &mut random, &format!("{worker}.{number}"));
                }
            });
        }
        let _end = EndWhenDropped(&is_over);
        kill(random, &|| !is_over.load(Ordering::SeqCst));
    });
    Patient::new(papad).ask("remove values v.*");
}

/// One piece of work, begun and finished, with a name of its own for what it makes.
type Round<'a> = dyn FnMut(&mut Patient, &mut Random, &str) + Send + 'a;

/// Ends the load when a thread of it ends, because it is over or has failed.
struct EndWhenDropped<'a>(&'a AtomicBool);

impl Drop for EndWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
