//! Memory files and descriptors.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, FdFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek64};

/// An empty file in memory, which lives as long as a descriptor of it does.
pub(crate) fn memfd(name: &CStr) -> io::Result<File> {
    // The kernel warns of memfds that say nothing of execution; old kernels do not know the flag.
    let sealed = MFdFlags::MFD_CLOEXEC | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    let fd = memfd_create(name, sealed).or_else(|_| memfd_create(name, MFdFlags::MFD_CLOEXEC))?;
    Ok(File::from(fd))
}

/// Sets the file's own offset, which everyone who shares the open file sees.
pub(crate) fn set_offset(file: impl AsFd, offset: u64) -> io::Result<()> {
    lseek64(file, offset as i64, Whence::SeekSet)?;
    Ok(())
}

/// Frees the memory behind a range; it reads as zeros from then on and the length stays.
pub(crate) fn give_back_pages(file: impl AsFd, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file, flags, offset as i64, length as i64)?;
    Ok(())
}

/// Numbers from here on are for descriptors that papad keeps. Those below are for what a child
/// needs while it is made: it takes on the low numbers alone, so its cost does not grow with what
/// papad holds.
pub(crate) const KEPT: RawFd = 1024;

/// The number of the first descriptor that a process may be started with beside the standard three.
const FIRST_PASSED: u32 = 3;

/// Bytes that a read of this pipe would give now.
pub(crate) fn readable_bytes(pipe: BorrowedFd) -> u64 {
    let mut bytes = 0_i32;
    // SAFETY: FIONREAD writes one int, for which `bytes` is valid.
    let result = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    // A pipe that cannot be asked has nothing to wait for.
    if result == 0 { u64::from(bytes.unsigned_abs()) } else { 0 }
}

/// Gives a descriptor that papad keeps a number among those that children do not take on.
pub(crate) fn keep(fd: OwnedFd) -> OwnedFd {
    // Where so high a number is not allowed, children are slower to make, and that is all.
    duplicate_above(&fd, KEPT).unwrap_or(fd)
}

/// Puts what `with` is in place of what `fd` was, under the same number.
pub(crate) fn replace(fd: BorrowedFd, with: BorrowedFd) -> io::Result<()> {
    // SAFETY: both numbers are open, and whoever owns `fd` goes on owning its number: dup3 closes
    // what it was and opens what it is to be in one step.
    let result = unsafe { libc::dup3(with.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    Errno::result(result)?;
    Ok(())
}

/// Has a descriptor stay open when this process becomes another program.
pub(crate) fn let_inherit(fd: BorrowedFd) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// Takes on a descriptor that the program before has left open.
///
/// # Errors
/// `EBADF` if it has not.
pub(crate) fn inherit(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl with F_SETFD touches no memory, and tells whether the number is one at all.
    let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    Errno::result(result)?;
    // SAFETY: it is open, as was just seen, and only the keeper's start comes here, once for each
    // number that it was left: nothing else in this program has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Marks all descriptors close-on-exec but the standard three and so many after them.
pub(crate) fn close_inherited_on_exec(passed: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    let first = FIRST_PASSED.saturating_add(passed);
    // SAFETY: close_range takes three numbers; with this flag it closes nothing now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) };
    Errno::result(result)?;
    Ok(())
}

/// Takes so many descriptors, which this process was started with after the standard three. Only
/// for a process that has opened nothing itself, and once.
///
/// # Errors
/// One of them is not open; none is taken then.
pub(crate) fn take_inherited(count: u32) -> io::Result<Vec<OwnedFd>> {
    let numbers = (FIRST_PASSED..).map(|number| number as RawFd).take(count as usize);
    for number in numbers.clone() {
        // SAFETY: F_SETFD takes numbers alone.
        let result = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        Errno::result(result)?;
    }
    // SAFETY: they are open, and whoever started this process has left them to it.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// A duplicate whose number is `least` or higher.
pub(crate) fn duplicate_above(fd: impl AsFd, least: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just made this descriptor, and nothing else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
