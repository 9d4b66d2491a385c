//! What a call is about, in words that rules can name.

use std::ffi::{CStr, c_char, c_int, c_long};
use std::fmt::Write;
use std::sync::atomic::AtomicU8;

use super::{Fault, real, text};
use crate::log;

/// What a call is about.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    Nothing,
    Fd(c_int),
    /// A path, or the name of a memory file.
    Name(*const c_char),
}

/// The longest description. What is longer is cut.
const LONGEST: usize = 160;

/// A description, in memory of its own that is not allocated.
pub(super) struct Description {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Write for Description {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let count = part.len().min(LONGEST - self.length);
        self.bytes[self.length..self.length + count].copy_from_slice(&part.as_bytes()[..count]);
        self.length += count;
        Ok(())
    }
}

impl Description {
    fn new() -> Description {
        Description { bytes: [0; LONGEST], length: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Whether the text of a rule stands somewhere in it.
    pub(super) fn contains(&self, place: &[AtomicU8]) -> bool {
        let is_at = |at: usize| {
            let mut bytes = self.as_bytes()[at..].iter().copied();
            text(place).all(|byte| bytes.next() == Some(byte))
        };
        (0..=self.length).any(is_at)
    }

    /// Whether this can happen here: messages, signals, and counters come whole.
    pub(super) fn can_meet(&self, fault: Fault) -> bool {
        let is_whole = self.as_bytes().ends_with(b":seqpacket")
            || self.as_bytes().ends_with(b":dgram")
            || self.as_bytes().starts_with(b"anon_inode:");
        !matches!(fault, Fault::Cut(_)) || !is_whole
    }
}

impl Subject {
    pub(super) fn describe(self) -> Description {
        let mut description = Description::new();
        match self {
            Subject::Nothing => {}
            Subject::Fd(libc::STDERR_FILENO) => description.put("stderr"),
            Subject::Fd(fd) if log::is_own_descriptor(fd) => description.put("stderr"),
            Subject::Fd(fd) => describe_fd(fd, &mut description),
            Subject::Name(name) if name.is_null() => {}
            Subject::Name(name) => {
                // SAFETY: a call that takes a name takes a C string.
                let name = unsafe { CStr::from_ptr(name) };
                description.put(name.to_str().unwrap_or_default());
            }
        }
        description
    }
}

impl Description {
    fn put(&mut self, part: &str) {
        // Writing to this cannot fail.
        let _ = self.write_str(part);
    }
}

fn describe_fd(fd: c_int, description: &mut Description) {
    let mut path = Description::new();
    let _ = write!(path, "/proc/self/fd/{fd}\0");
    let (from, to) = (path.bytes.as_ptr() as c_long, description.bytes.as_mut_ptr() as c_long);
    let args = [libc::AT_FDCWD.into(), from, to, LONGEST as c_long, 0, 0];
    // SAFETY: a C string, and a buffer of the length that is given.
    let length = unsafe { real::syscall(libc::SYS_readlinkat, args) };
    description.length = usize::try_from(length).unwrap_or(0);
    if description.as_bytes().starts_with(b"socket:") {
        *description = Description::new();
        describe_socket(fd, description);
    }
}

fn describe_socket(fd: c_int, description: &mut Description) {
    description.put(match option(fd, libc::SO_DOMAIN) {
        libc::AF_UNIX => "socket:unix",
        libc::AF_INET => "socket:inet",
        libc::AF_INET6 => "socket:inet6",
        libc::AF_NETLINK => "socket:netlink",
        _ => "socket:",
    });
    description.put(match option(fd, libc::SO_TYPE) {
        libc::SOCK_STREAM => ":stream",
        libc::SOCK_DGRAM => ":dgram",
        libc::SOCK_SEQPACKET => ":seqpacket",
        _ => ":",
    });
    if option(fd, libc::SO_ACCEPTCONN) == 1 {
        description.put(":listening");
    }
}

fn option(fd: c_int, name: c_int) -> c_int {
    let mut value: c_int = -1;
    let mut length = size_of::<c_int>() as libc::socklen_t;
    let args = [
        fd.into(),
        libc::SOL_SOCKET.into(),
        name.into(),
        (&raw mut value) as c_long,
        (&raw mut length) as c_long,
        0,
    ];
    // SAFETY: pointers to a value and to its length.
    unsafe { real::syscall(libc::SYS_getsockopt, args) };
    value
}
