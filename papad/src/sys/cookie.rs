//! Which socket a descriptor stands for.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// The number that the kernel gives a socket (`SO_COOKIE` in socket(7)). No other socket has had it
/// since boot, and every duplicate of the descriptor, in whatever process, has the same. `None` where
/// the kernel does not say.
pub(crate) fn socket_cookie(socket: BorrowedFd) -> Option<u64> {
    let mut cookie = MaybeUninit::<u64>::zeroed();
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: `cookie` is valid for writes of the `length` bytes that the kernel is told of, and
    // getsockopt keeps no pointer to either.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_COOKIE,
            cookie.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    Errno::result(result).ok()?;
    // SAFETY: any bytes are a valid u64, and all of them were zero before the call.
    let cookie = unsafe { cookie.assume_init() };
    (cookie != 0 && length as usize == size_of::<u64>()).then_some(cookie)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn duplicates_have_one_cookie_and_another_socket_another() {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = first.local_addr().unwrap();
        let cookie = socket_cookie(first.as_fd());
        assert!(cookie.is_some());
        assert_eq!(socket_cookie(first.try_clone().unwrap().as_fd()), cookie);
        drop(first);
        let second = TcpListener::bind(address).unwrap();
        assert_ne!(socket_cookie(second.as_fd()), cookie);
    }

    #[test]
    fn what_is_no_socket_has_no_cookie() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(socket_cookie(null.as_fd()), None);
    }
}
