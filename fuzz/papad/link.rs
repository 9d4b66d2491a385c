//! Messages between keeper and server.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::link::{Link, ToKeeper, ToServer};
use crate::sys;

/// One message of any text, with as many descriptors as the first byte says. What is understood can
/// be said again, and is understood as the same.
///
/// # Panics
/// If that is not so.
pub fn link(bytes: &[u8]) {
    let Some((&count, text)) = bytes.split_first() else { return };
    let file = File::open("/dev/null").expect("/dev/null is there");
    let fds = vec![file.as_fd(); usize::from(count) % (sys::MAX_DESCRIPTORS + 2)];

    // A reason is cut to its length by who says it; said again, it stays what it was.
    let heard = carry(|fd| sys::send(fd, text, &fds), Link::hear_server);
    // To drop nothing takes no message.
    let is_something =
        |message: &ToKeeper| !matches!(message, ToKeeper::Drop(names, _) if names.is_empty());
    if let Some(message) = heard.filter(is_something) {
        let said = carry_to_keeper(&message);
        assert_eq!(shown(&carry_to_keeper(&said)), shown(&said));
    }
    if let Some(message) = carry(|fd| sys::send(fd, text, &fds), Link::hear_keeper) {
        let said = carry_to_server(&message);
        assert_eq!(shown(&carry_to_server(&said)), shown(&said));
    }
}

fn carry_to_keeper(message: &ToKeeper) -> ToKeeper {
    let tell = |fd: BorrowedFd| Link::new(owned(fd)).tell_keeper(message);
    carry(tell, Link::hear_server).unwrap_or_else(|| panic!("{message:?} is not understood"))
}

fn carry_to_server(message: &ToServer) -> ToServer {
    let tell = |fd: BorrowedFd| Link::new(owned(fd)).tell_server(message);
    carry(tell, Link::hear_keeper).unwrap_or_else(|| panic!("{message:?} is not understood"))
}

/// Has one side tell and the other hear; `None` if nothing was understood.
fn carry<M>(
    tell: impl FnOnce(BorrowedFd) -> io::Result<()>,
    hear: impl FnOnce(&Link) -> io::Result<Option<M>>,
) -> Option<M> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (teller, hearer) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .expect("there are descriptors");
    // What is too long is not sent.
    tell(teller.as_fd()).ok()?;
    drop(teller);
    hear(&Link::new(hearer)).ok().flatten()
}

fn owned(fd: BorrowedFd) -> OwnedFd {
    fd.try_clone_to_owned().expect("there are descriptors")
}

/// As for people to read, but without the numbers of descriptors, which differ on both sides.
fn shown(message: &impl Debug) -> String {
    let text = format!("{message:?}");
    let parts = text.split("fd: ");
    parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect()
}
