//! The allocator's free memory.

/// Gives back to the system what the allocator has kept of what was freed (`malloc_trim(3)`). An
/// allocator other than glibc's decides by itself.
pub(crate) fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches nothing but what is free, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
