//! Parts of memory files, as memory.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};

use super::kill_point;

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

    /// Stores bytes at `at`, the last one when all the others are there: whoever finds that, after
    /// a kill at any instant, finds them all. False if they do not fit.
    pub(crate) fn store(&mut self, at: usize, bytes: &[u8]) -> bool {
        let Some((last, others)) = bytes.split_last() else { return true };
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.length) {
            return false;
        }
        // SAFETY: `at` and what follows lie within the mapping, as was just seen.
        let to = unsafe { self.start.cast::<u8>().add(self.before + at) };
        // SAFETY: as above, and nothing of this program is where the kernel put the mapping, so
        // that `others` is elsewhere.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(others).cast(), others.len()) };
        // SAFETY: as above.
        let end = unsafe { to.add(others.len()) };
        kill_point("end-unstored");
        // SAFETY: a byte has no alignment, and for as long as this is borrowed nobody else stores
        // in this part of the file.
        unsafe { AtomicU8::from_ptr(end.as_ptr()) }.store(*last, Ordering::Release);
        true
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it but this.
        let unmapped = unsafe { munmap(self.start, self.before + self.length) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}
