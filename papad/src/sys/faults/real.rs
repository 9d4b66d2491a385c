//! libc's own functions, behind those of this program that have their names.

use std::ffi::{c_char, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of libc's, looked up when it is first wanted.
pub(super) struct Real {
    /// Its name, and a NUL.
    name: &'static str,
    address: AtomicPtr<c_void>,
}

impl Real {
    pub(super) const fn new(name: &'static str) -> Real {
        Real { name, address: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Where it is. Ends this process if there is none: then nothing can be done at all.
    pub(super) fn address(&self) -> *mut c_void {
        let known = self.address.load(Ordering::Relaxed);
        if !known.is_null() {
            return known;
        }
        // SAFETY: the name ends in a NUL, and RTLD_NEXT finds what this program's own stands before.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr().cast::<c_char>()) };
        if found.is_null() {
            std::process::abort();
        }
        self.address.store(found, Ordering::Relaxed);
        found
    }
}

static SYSCALL: Real = Real::new("syscall\0");

/// A system call that meets no fault.
///
/// # Safety
/// As the system call's own.
pub(super) unsafe fn syscall(number: c_long, args: [c_long; 6]) -> c_long {
    type Syscall =
        unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;
    let [first, second, third, fourth, fifth, sixth] = args;
    // SAFETY: this is what libc's `syscall` takes and returns.
    let syscall = unsafe { std::mem::transmute::<*mut c_void, Syscall>(SYSCALL.address()) };
    // SAFETY: the caller vouches for the arguments.
    unsafe { syscall(number, first, second, third, fourth, fifth, sixth) }
}

/// The pid of whoever runs this, which may be a child in its parent's memory.
pub(super) fn pid() -> i32 {
    // SAFETY: getpid takes nothing and touches no memory.
    unsafe { syscall(libc::SYS_getpid, [0; 6]) as i32 }
}
