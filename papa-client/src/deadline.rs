//! Points in time by which something must be done.

use std::time::{Duration, Instant};

/// A point in time, or none: a time so long that the clock cannot tell its end has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    pub(crate) const NEVER: Self = Self(None);

    /// So long from now.
    pub(crate) fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// What is left of the time; `None` if it has no end.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// What is left of the time, if that is less than this.
    pub(crate) fn left_of(self, most: Duration) -> Duration {
        self.left().map_or(most, |left| left.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_what_the_clock_can_tell_has_no_end() {
        let deadline = Deadline::after(Duration::MAX);
        assert_eq!(deadline, Deadline::NEVER);
        assert!(!deadline.has_passed());
        assert_eq!(deadline.left_of(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn no_time_at_all_has_passed() {
        let deadline = Deadline::after(Duration::ZERO);
        assert!(deadline.has_passed());
        assert_eq!(deadline.left(), Some(Duration::ZERO));
    }
}
