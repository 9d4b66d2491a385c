//! How a process makes room for another of its name.

use papa_protocol::options::Replace;

use super::{KEPT, Life, Next, Process};
use crate::journal::Record;

impl Process {
    /// Whether a new process of its name may take its place.
    pub(crate) fn gives_way_to(&self, replace: Replace) -> bool {
        let state = self.lock();
        let (first, next, _) = state.output.extent();
        match replace {
            Replace::Taken => state.closed.is_some() && first == next,
            Replace::Ended => matches!(state.life, Life::Exited(_)),
        }
    }

    /// Another was to take its place and could not be started. It stays on the list, whoever takes
    /// its output and its end, so that it can be tried once more. Returns the record of that, if it
    /// is news.
    pub(crate) fn keep(&self) -> Option<Record> {
        let mut state = self.lock();
        let Life::Exited(exit) = state.life else { return None };
        let is_news = !std::mem::replace(&mut state.kept, true);
        is_news.then(|| self.exited_record(exit).pair(KEPT, "1"))
    }

    /// Another has taken its place: it is kept for those alone who still read it.
    pub(crate) fn give_way(&self) -> Next {
        let mut state = self.lock();
        state.kept = false;
        state.next()
    }

    /// Whether it stays on the list, whoever takes its end.
    pub(crate) fn is_kept(&self) -> bool {
        let state = self.lock();
        state.kept && !state.removed
    }
}
