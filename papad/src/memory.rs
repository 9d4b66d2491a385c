//! Giving memory back. An allocator keeps what was freed for what may come next: a papad that once
//! held ten thousand processes would have the memory for them for years.

use std::cell::Cell;

use crate::sys;

/// So few things leave nothing behind that is worth giving back.
const FEW: usize = 256;

thread_local! {
    /// Whether this thread has let go of much. No other gives it back: what this one still needs
    /// for its answer would lie in the midst of it.
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
}

/// Gives back what is free if this thread has let go of much. For a thread that is about to wait or
/// to end, and has let go of what it needed meanwhile, too.
pub(crate) fn give_back_if_due() {
    if IS_DUE.take() {
        sys::give_back_free_memory();
    }
}

/// How many of something there were at most, since memory was last due for it.
#[derive(Debug, Default)]
pub(crate) struct HighWater(usize);

impl HighWater {
    /// Notes that one was removed and `left` are left. Memory is due when these are less than half
    /// of the most: giving it back takes a walk along all that is free, and while `n` go one by
    /// one, there are log2(n) of them.
    pub(crate) fn removed(&mut self, left: usize) {
        if self.has_fallen(left) {
            IS_DUE.set(true);
        }
    }

    fn has_fallen(&mut self, left: usize) -> bool {
        self.0 = self.0.max(left + 1);
        let has_fallen = self.0 >= FEW && left < self.0 / 2;
        if has_fallen {
            self.0 = left;
        }
        has_fallen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many are left each time that memory is due, while all of so many go.
    fn times(most: usize) -> Vec<usize> {
        let mut high_water = HighWater::default();
        (0..most).rev().filter(|&left| high_water.has_fallen(left)).collect()
    }

    #[test]
    fn memory_is_due_whenever_half_have_gone_until_few_are_left() {
        assert_eq!(times(2048), [1023, 510, 254]);
        assert_eq!(times(FEW), [FEW / 2 - 1]);
        assert_eq!(times(FEW - 1), []);
    }

    #[test]
    fn what_comes_again_counts_again() {
        let mut high_water = HighWater::default();
        assert!(!high_water.has_fallen(999));
        assert!(high_water.has_fallen(400));
        assert!(!high_water.has_fallen(300));
        assert!(!high_water.has_fallen(1999));
        assert!(!high_water.has_fallen(1000));
        assert!(high_water.has_fallen(999));
    }
}
