//! Functions of libc's as this program has them: each asks whether its call is to meet a fault, and
//! is libc's own otherwise.
//!
//! Variadic functions are declared with all the arguments that they may have. On the machines that
//! papad runs on these are passed as fixed ones are.

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use libc::{iovec, loff_t, mode_t, msghdr, nfds_t, off64_t, pid_t, pollfd, size_t, ssize_t};
use libc::{sockaddr, socklen_t, timespec};

use super::Subject::{Fd, Name, Nothing};
use super::real::{self, Real};
use super::{Fault, meet};

fn set_errno(errno: c_int) {
    nix::errno::Errno::set_raw(errno);
}

/// libc's function of this name.
macro_rules! real {
    ($name:ident, $type:ty) => {{
        static REAL: Real = Real::new(concat!(stringify!($name), "\0"));
        // SAFETY: the type is what libc's function of this name takes and returns.
        unsafe { std::mem::transmute::<*mut c_void, $type>(REAL.address()) }
    }};
}

/// Defines functions that fail when they are to, by returning -1 with errno, or else are libc's.
macro_rules! fallible {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $returns:ty, $subject:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> $returns {
            if let Some(Fault::Fail(errno)) = meet(stringify!($name), $subject) {
                set_errno(errno);
                return -1;
            }
            let real = real!($name, unsafe extern "C" fn($($type),*) -> $returns);
            // SAFETY: what the caller passed.
            unsafe { real($($arg),*) }
        }
    )*};
}

/// Defines a function that, besides, moves fewer bytes than it was asked for when it is to.
macro_rules! cuttable {
    (fn $name:ident($($arg:ident: $type:ty),*), $subject:expr, cut $length:ident) => {
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> ssize_t {
            let most = match meet(stringify!($name), $subject) {
                Some(Fault::Fail(errno)) => {
                    set_errno(errno);
                    return -1;
                }
                Some(Fault::Cut(most)) => most,
                _ => usize::MAX,
            };
            let $length = $length.min(most);
            let real = real!($name, unsafe extern "C" fn($($type),*) -> ssize_t);
            // SAFETY: what the caller passed, but for a length that may be smaller.
            unsafe { real($($arg),*) }
        }
    };
}

/// Defines functions that return their error.
macro_rules! returning_errors {
    ($(fn $name:ident($($arg:ident: $type:ty),*), $subject:expr;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name($($arg: $type),*) -> c_int {
            if let Some(Fault::Fail(errno)) = meet(stringify!($name), $subject) {
                return errno;
            }
            let real = real!($name, unsafe extern "C" fn($($type),*) -> c_int);
            // SAFETY: what the caller passed.
            unsafe { real($($arg),*) }
        }
    )*};
}

cuttable!(fn read(fd: c_int, bytes: *mut c_void, length: size_t), Fd(fd), cut length);
cuttable!(fn write(fd: c_int, bytes: *const c_void, length: size_t), Fd(fd), cut length);
cuttable!(
    fn pread64(fd: c_int, bytes: *mut c_void, length: size_t, at: off64_t), Fd(fd), cut length
);
cuttable!(
    fn pwrite64(fd: c_int, bytes: *const c_void, length: size_t, at: off64_t), Fd(fd), cut length
);
cuttable!(fn recv(fd: c_int, bytes: *mut c_void, length: size_t, flags: c_int), Fd(fd), cut length);
cuttable!(
    fn splice(
        from: c_int, from_at: *mut loff_t, to: c_int, to_at: *mut loff_t, length: size_t,
        flags: c_uint
    ), Fd(to), cut length
);

fallible! {
    fn sendto(
        fd: c_int, bytes: *const c_void, length: size_t, flags: c_int, to: *const sockaddr,
        to_length: socklen_t
    ) -> ssize_t, Fd(fd);
    fn accept4(fd: c_int, peer: *mut sockaddr, length: *mut socklen_t, flags: c_int) -> c_int,
        Fd(fd);
    fn bind(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int, Fd(fd);
    fn connect(fd: c_int, address: *const sockaddr, length: socklen_t) -> c_int, Fd(fd);
    fn getpeername(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int, Fd(fd);
    fn getsockname(fd: c_int, address: *mut sockaddr, length: *mut socklen_t) -> c_int, Fd(fd);
    fn getsockopt(
        fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut socklen_t
    ) -> c_int, Fd(fd);
    fn setsockopt(
        fd: c_int, level: c_int, name: c_int, value: *const c_void, length: socklen_t
    ) -> c_int, Fd(fd);
    fn listen(fd: c_int, backlog: c_int) -> c_int, Fd(fd);
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int, Nothing;
    fn socketpair(domain: c_int, kind: c_int, protocol: c_int, pair: *mut c_int) -> c_int, Nothing;

    fn epoll_create1(flags: c_int) -> c_int, Nothing;
    fn epoll_ctl(epoll: c_int, what: c_int, fd: c_int, event: *mut c_void) -> c_int, Fd(fd);
    fn epoll_wait(epoll: c_int, events: *mut c_void, most: c_int, timeout: c_int) -> c_int,
        Nothing;
    fn poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int, Nothing;
    fn eventfd(value: c_uint, flags: c_int) -> c_int, Nothing;
    fn signalfd(fd: c_int, mask: *const c_void, flags: c_int) -> c_int, Nothing;
    fn pipe2(ends: *mut c_int, flags: c_int) -> c_int, Nothing;
    fn memfd_create(name: *const c_char, flags: c_uint) -> c_int, Name(name);
    fn dup2(from: c_int, to: c_int) -> c_int, Fd(from);
    fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int, Fd(from);
    fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int, Fd(fd);
    fn ioctl(fd: c_int, request: libc::Ioctl, argument: c_long) -> c_int, Fd(fd);
    fn fallocate(fd: c_int, mode: c_int, from: off64_t, length: off64_t) -> c_int, Fd(fd);
    fn mmap(
        at: *mut c_void, length: size_t, may: c_int, flags: c_int, fd: c_int, from: off64_t
    ) -> isize, Fd(fd);
    fn ftruncate64(fd: c_int, length: off64_t) -> c_int, Fd(fd);
    fn lseek64(fd: c_int, offset: off64_t, whence: c_int) -> off64_t, Fd(fd);
    fn fsync(fd: c_int) -> c_int, Fd(fd);
    fn fdatasync(fd: c_int) -> c_int, Fd(fd);
    fn fstat64(fd: c_int, stat: *mut c_void) -> c_int, Fd(fd);

    fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Name(path);
    fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int, Name(path);
    fn rename(from: *const c_char, to: *const c_char) -> c_int, Name(from);
    fn unlink(path: *const c_char) -> c_int, Name(path);

    fn clone(
        run: *mut c_void, stack: *mut c_void, flags: c_int, argument: *mut c_void,
        parents_tid: *mut pid_t, tls: *mut c_void, childs_tid: *mut pid_t
    ) -> c_int, Nothing;
    fn unshare(flags: c_int) -> c_int, Nothing;
    fn waitid(kind: c_uint, id: c_uint, info: *mut c_void, flags: c_int) -> c_int, Nothing;
    fn kill(pid: pid_t, signal: c_int) -> c_int, Nothing;
    fn execv(path: *const c_char, args: *const *const c_char) -> c_int, Name(path);
}

returning_errors! {
    fn posix_spawnp(
        pid: *mut pid_t, file: *const c_char, actions: *const c_void, attributes: *const c_void,
        args: *const *const c_char, variables: *const *const c_char
    ), Name(file);
    fn pthread_create(
        thread: *mut c_void, attributes: *const c_void, run: *mut c_void, argument: *mut c_void
    ), Nothing;
}

/// System calls that papad makes by number, as rules name them.
fn name_of(number: c_long) -> &'static str {
    match number {
        libc::SYS_chdir => "chdir",
        libc::SYS_close_range => "close_range",
        libc::SYS_dup3 => "dup3",
        libc::SYS_execve => "execve",
        libc::SYS_openat => "openat",
        libc::SYS_pidfd_open => "pidfd_open",
        libc::SYS_prlimit64 => "prlimit64",
        libc::SYS_rt_sigaction => "rt_sigaction",
        libc::SYS_rt_sigprocmask => "rt_sigprocmask",
        libc::SYS_setgroups => "setgroups",
        libc::SYS_setresgid => "setresgid",
        libc::SYS_setresuid => "setresuid",
        libc::SYS_setsid => "setsid",
        libc::SYS_umask => "umask",
        libc::SYS_write => "write",
        _ => "",
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn syscall(
    number: c_long,
    first: c_long,
    second: c_long,
    mut third: c_long,
    fourth: c_long,
    fifth: c_long,
    sixth: c_long,
) -> c_long {
    let name = name_of(number);
    let subject = match number {
        libc::SYS_write => Fd(first as c_int),
        libc::SYS_execve | libc::SYS_chdir => Name(first as *const c_char),
        _ => Nothing,
    };
    if !name.is_empty() {
        match meet(name, subject) {
            Some(Fault::Fail(errno)) => {
                set_errno(errno);
                return -1;
            }
            Some(Fault::Cut(most)) if number == libc::SYS_write => {
                third = third.min(most as c_long);
            }
            _ => {}
        }
    }
    // SAFETY: what the caller passed, but for a length that may be smaller.
    unsafe { real::syscall(number, [first, second, third, fourth, fifth, sixth]) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut timespec) -> c_int {
    let real = real!(clock_gettime, unsafe extern "C" fn(libc::clockid_t, *mut timespec) -> c_int);
    // SAFETY: what the caller passed.
    let result = unsafe { real(clock, time) };
    if clock == libc::CLOCK_REALTIME
        && result == 0
        && let Some(Fault::Shift(seconds)) = meet("clock_gettime", Nothing)
        // SAFETY: the call has just filled it in.
        && let Some(time) = unsafe { time.as_mut() }
    {
        time.tv_sec += seconds;
    }
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    let real = real!(writev, unsafe extern "C" fn(c_int, *const iovec, c_int) -> ssize_t);
    match meet("writev", Fd(fd)) {
        Some(Fault::Fail(errno)) => {
            set_errno(errno);
            -1
        }
        Some(Fault::Cut(most)) => {
            // SAFETY: the caller passes so many parts.
            let parts = unsafe { std::slice::from_raw_parts(parts, count as usize) };
            let part = first_part(parts, most);
            // SAFETY: a piece of what the caller passed.
            unsafe { real(fd, &raw const part, 1) }
        }
        // SAFETY: what the caller passed.
        _ => unsafe { real(fd, parts, count) },
    }
}

/// The first part that is not empty, cut.
fn first_part(parts: &[iovec], most: usize) -> iovec {
    let first = parts.iter().find(|part| part.iov_len > 0);
    let mut part = first.copied().unwrap_or(iovec { iov_base: std::ptr::null_mut(), iov_len: 0 });
    part.iov_len = part.iov_len.min(most);
    part
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let real = real!(sendmsg, unsafe extern "C" fn(c_int, *const msghdr, c_int) -> ssize_t);
    if let Some(Fault::Fail(errno)) = meet("sendmsg", Fd(fd)) {
        set_errno(errno);
        return -1;
    }
    // SAFETY: what the caller passed.
    unsafe { real(fd, message, flags) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let real = real!(recvmsg, unsafe extern "C" fn(c_int, *mut msghdr, c_int) -> ssize_t);
    let fault = meet("recvmsg", Fd(fd));
    // SAFETY: the caller passes a header that is its own.
    let (Some(header), Some(fault)) = (unsafe { message.as_mut() }, fault) else {
        // SAFETY: what the caller passed.
        return unsafe { real(fd, message, flags) };
    };
    match fault {
        Fault::Fail(errno) => {
            set_errno(errno);
            return -1;
        }
        Fault::LoseDescriptors(most) => {
            let room = (most * size_of::<c_int>()) as c_uint;
            // SAFETY: CMSG_LEN only computes with its argument.
            let room = unsafe { libc::CMSG_LEN(room) } as usize;
            header.msg_controllen = if most == 0 { 0 } else { room.min(header.msg_controllen) };
        }
        Fault::Cut(_) | Fault::Shift(_) => {}
    }
    let Fault::Cut(most) = fault else {
        // SAFETY: what the caller passed, but for a length that is smaller.
        return unsafe { real(fd, message, flags) };
    };
    // SAFETY: the caller passes so many parts.
    let parts = unsafe { std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen) };
    let mut part = first_part(parts, most);
    let (all, count) = (header.msg_iov, header.msg_iovlen);
    (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
    // SAFETY: what the caller passed, but for a piece of the room.
    let result = unsafe { real(fd, message, flags) };
    // SAFETY: the same header as before; the call has kept no pointer to it.
    if let Some(header) = unsafe { message.as_mut() } {
        (header.msg_iov, header.msg_iovlen) = (all, count);
    }
    result
}
