//! Messages with descriptors over a `SOCK_SEQPACKET` pair (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// The most descriptors one message carries; the kernel allows 253 (`SCM_MAX_FD`).
pub(crate) const MAX_DESCRIPTORS: usize = 128;

/// The longest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 8192;

/// Sends one message, whole or not at all. Waits while the other side's queue is full.
pub(crate) fn send(socket: BorrowedFd, text: &[u8], fds: &[BorrowedFd]) -> io::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
    loop {
        let sent = sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(text)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Reads from a stream, and takes the descriptors that came with the bytes.
pub(crate) fn read_with_descriptors(
    stream: BorrowedFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(bytes)];
    receive_into(stream, &mut parts, &mut control)
}

/// Waits for one message. An empty text means that the other side is gone.
///
/// # Errors
/// What recvmsg(2) says, and `EMFILE` if the kernel could not install all descriptors.
pub(crate) fn receive(socket: BorrowedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = vec![0; MAX_MESSAGE];
    let mut control = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let (length, fds) = receive_into(socket, &mut parts, &mut control)?;
    text.truncate(length);
    Ok((text, fds))
}

fn receive_into(
    socket: BorrowedFd,
    parts: &mut [IoSliceMut],
    control: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let message = loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        match recvmsg::<()>(socket.as_raw_fd(), parts, Some(control), flags) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            // SAFETY: the kernel has just installed these descriptors for this message, and
            // nothing else in the process knows their numbers: this is their only owner.
            fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(Errno::EMFILE.into());
    }
    Ok((message.bytes, fds))
}
