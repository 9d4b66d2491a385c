//! Processes that are done, in few bytes each.
//!
//! One that a watcher is done with may stay on papad's list, for another watcher's sake or because
//! nobody takes its output. After a reconnect it is met again there, and must not be told again.

use std::collections::BTreeMap;

use crate::process::ProcessId;

/// Ranges that are remembered at most: a megabyte or two. papad numbers its processes one after
/// the other, so that a range is seldom of one process alone. Beyond that the oldest are forgotten,
/// of which papad, too, has most probably forgotten all.
const MAX_RANGES: usize = 64 << 10;

/// The ids of processes of one papad.
#[derive(Debug, Default)]
pub(crate) struct Done {
    papad: u64,
    /// The numbers, as first and last of each range. There is a gap between any two.
    ranges: BTreeMap<u64, u64>,
}

impl Done {
    pub(crate) fn contains(&self, id: ProcessId) -> bool {
        self.papad == id.papad() && self.has(id.number())
    }

    fn has(&self, number: u64) -> bool {
        self.ranges.range(..=number).next_back().is_some_and(|(_, &last)| number <= last)
    }

    /// Adds a process. Those of another papad are gone with that.
    pub(crate) fn insert(&mut self, id: ProcessId) {
        if self.papad != id.papad() {
            *self = Self { papad: id.papad(), ranges: BTreeMap::new() };
        }
        self.add(id.number());
        if self.ranges.len() > MAX_RANGES {
            self.ranges.pop_first();
        }
    }

    fn add(&mut self, number: u64) {
        if self.has(number) {
            return;
        }
        let before = self.ranges.range(..number).next_back().map(|(&first, &last)| (first, last));
        let first = match before {
            Some((first, last)) if last + 1 == number => first,
            _ => number,
        };
        let after = number.checked_add(1).and_then(|next| self.ranges.remove(&next));
        self.ranges.insert(first, after.unwrap_or(number));
    }

    /// Forgets all but these: papad has no others any more.
    pub(crate) fn keep(&mut self, listed: impl Iterator<Item = ProcessId>) {
        let kept: Vec<ProcessId> = listed.filter(|id| self.contains(*id)).collect();
        self.ranges.clear();
        for id in kept {
            self.add(id.number());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ProcessId {
        ProcessId::new("0123456789abcdef", number).unwrap()
    }

    fn done(numbers: &[u64]) -> Done {
        let mut done = Done::default();
        for &number in numbers {
            done.insert(id(number));
        }
        done
    }

    #[test]
    fn what_lies_side_by_side_is_one_range_in_whatever_order_it_comes() {
        for numbers in [[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 4, 2], [2, 4, 1, 3]] {
            assert_eq!(done(&numbers).ranges, [(1, 4)].into(), "{numbers:?}");
        }
        let apart = done(&[1, 3, 3, u64::MAX]);
        assert_eq!(apart.ranges, [(1, 1), (3, 3), (u64::MAX, u64::MAX)].into());
        for (number, is_in) in [(0, false), (1, true), (2, false), (3, true), (4, false)] {
            assert_eq!(apart.contains(id(number)), is_in, "{number}");
        }
    }

    #[test]
    fn what_is_listed_no_more_is_forgotten() {
        let mut done = done(&[1, 2, 3, 4, 5]);
        done.keep([2, 3, 9].into_iter().map(id));
        assert_eq!(done.ranges, [(2, 3)].into());
    }

    #[test]
    fn numbers_mean_nothing_to_another_papad() {
        let mut done = done(&[1, 2]);
        let another = ProcessId::new("fedcba9876543210", 2).unwrap();
        assert!(!done.contains(another));
        done.insert(another);
        assert!(!done.contains(id(1)));
    }

    #[test]
    fn there_is_a_bound() {
        let mut done = Done::default();
        for number in 0..=MAX_RANGES as u64 {
            done.insert(id(2 * number));
        }
        assert_eq!(done.ranges.len(), MAX_RANGES);
        assert!(!done.contains(id(0)) && done.contains(id(2)));
    }
}
