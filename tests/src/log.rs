//! papad's log, as its stderr gives it.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::DEADLINE;

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    /// Every process that held the log has ended.
    ended: bool,
}

/// The lines so far. A thread reads on for as long as there is a writer, so that papad is never
/// held up by its log.
#[derive(Clone, Default)]
pub(crate) struct Log {
    shared: Arc<(Mutex<Collected>, Condvar)>,
}

impl Log {
    pub(crate) fn collect(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let writer = log.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                writer.change(|to| to.lines.push(String::from_utf8_lossy(&line).into_owned()));
            }
            writer.change(|to| to.ended = true);
        });
        log
    }

    fn change(&self, change: impl FnOnce(&mut Collected)) {
        let (collected, changed) = &*self.shared;
        change(&mut collected.lock().unwrap());
        changed.notify_all();
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.shared.0.lock().unwrap().lines.join("\n")
    }

    /// Waits for the first line, from the beginning on, in which `find` finds something.
    ///
    /// # Panics
    /// When none has come within the deadline, or the log has ended without it.
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let search = |log: &Collected| log.lines.iter().find_map(|line| find(line));
        self.wait_until(|log| log.ended || search(log).is_some());
        let found = search(&self.shared.0.lock().unwrap());
        found.unwrap_or_else(|| panic!("{what} is not in papad's log:\n{}", self.text()))
    }

    /// Waits until so many lines contain `text`.
    pub(crate) fn wait_for_lines(&self, count: usize, text: &str) {
        let found = |log: &Collected| log.lines.iter().filter(|line| line.contains(text)).count();
        self.wait_until(|log| log.ended || found(log) >= count);
        let found = found(&self.shared.0.lock().unwrap());
        assert!(
            found >= count,
            "{found} times, not {count}, in papad's log: {text}\n{}",
            self.text()
        );
    }

    /// Waits until nobody is left who could write: keeper and server have ended.
    pub(crate) fn wait_for_end(&self) -> bool {
        self.wait_until(|log| log.ended)
    }

    fn wait_until(&self, holds: impl Fn(&Collected) -> bool) -> bool {
        let (collected, changed) = &*self.shared;
        let guard = collected.lock().unwrap();
        let (guard, _) = changed.wait_timeout_while(guard, DEADLINE, |log| !holds(log)).unwrap();
        holds(&guard)
    }
}
