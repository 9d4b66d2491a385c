//! The memory that a process's output holds.

use std::io;

use super::Process;

impl Process {
    /// Bytes of memory that its output holds.
    pub(crate) fn held(&self) -> u64 {
        self.lock().output.held()
    }

    /// Has its output hold no more than `most` bytes of memory, as far as that goes; returns bytes
    /// that were lost for it, if any may be.
    pub(crate) fn shrink(&self, most: u64, may_lose: bool) -> io::Result<u64> {
        self.lock().output.shrink(most, may_lose)
    }

    /// Its pipes are left to fill until all rings together hold less.
    pub(crate) fn wait_for_room(&self) {
        self.lock().output.wait_for_room();
    }

    /// Whether a pipe is left to fill.
    pub(crate) fn is_stuck(&self) -> bool {
        self.lock().output.is_stuck()
    }
}
