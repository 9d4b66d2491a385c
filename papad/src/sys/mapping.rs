//! Parts of memory files, as memory.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

/// A part of a memory file that is there already. What is stored is in the file at once, and stays
/// there when this process is killed.
pub(crate) struct Mapping {
    /// Of the page that the part begins in.
    start: NonNull<libc::c_void>,
    /// Bytes of that page before the part.
    before: usize,
    length: usize,
}

// SAFETY: the memory belongs to whoever has the mapping, and to no thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps so many bytes from `offset` on. The file has them, and never becomes shorter: a page
    /// that a file has lost is SIGBUS to who touches it.
    pub(crate) fn new(file: impl AsFd, offset: u64, length: usize) -> io::Result<Mapping> {
        let page = sysconf(SysconfVar::PAGE_SIZE)?.unwrap_or(4096) as u64;
        let before = (offset % page) as usize;
        let all = NonZeroUsize::new(before + length).ok_or(io::ErrorKind::InvalidInput)?;
        let may = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let from = (offset - before as u64) as i64;
        // SAFETY: the kernel chooses a place where nothing else is.
        let start = unsafe { mmap(None, all, may, MapFlags::MAP_SHARED, file, from)? };
        Ok(Mapping { start, before, length })
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Stores bytes from `at` on, one after another: a kill at any instant leaves the first ones, of
    /// this call and of those before it.
    ///
    /// # Panics
    /// When they go beyond the end.
    pub(crate) fn store(&mut self, at: usize, bytes: &[u8]) {
        let room = self.length.checked_sub(at);
        assert!(room.is_some_and(|room| bytes.len() <= room), "stored beyond a mapping's end");
        for (number, byte) in bytes.iter().enumerate() {
            // SAFETY: this place lies within the mapping, as was just seen.
            let to = unsafe { self.start.cast::<u8>().add(self.before + at + number) };
            // SAFETY: as above, for a byte, which has no alignment. Volatile, since others read what
            // is left of the file: the stores stay as many as they are, and in their order.
            unsafe { to.write_volatile(*byte) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it but this.
        let unmapped = unsafe { munmap(self.start, self.before + self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
