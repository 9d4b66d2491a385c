//! What is in papad's carriers: sockets in systemd's store whose queues have descriptors. A message
//! there is a number and the names of the descriptors that came with it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};

use crate::sys;

/// The longest message.
const MAX_MESSAGE: usize = 8192;

/// The names in a carrier's queue, which stays as it is.
pub(crate) fn names_in(carrier: impl AsFd) -> Vec<String> {
    let carrier: BorrowedFd = carrier.as_fd();
    sys::peek_from_the_beginning(carrier);
    let mut names = Vec::new();
    let mut text = vec![0; MAX_MESSAGE];
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    loop {
        match recv(carrier.as_raw_fd(), &mut text, flags) {
            Ok(0) | Err(Errno::EAGAIN) => return names,
            Ok(length) => {
                let message = String::from_utf8(text[..length].to_vec()).unwrap();
                let (_, listed) = message.split_once(' ').expect("a number, and names");
                names.extend(listed.split(' ').map(str::to_owned));
            }
            Err(errno) => panic!("a carrier cannot be looked into: {errno}"),
        }
    }
}
