//! Messages with descriptors over a `SOCK_SEQPACKET` pair (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// The most descriptors one message carries; the kernel allows 253 (`SCM_MAX_FD`).
pub(crate) const MAX_DESCRIPTORS: usize = 128;

/// The most descriptors the kernel lets a message have (`SCM_MAX_FD`): whatever a client sends,
/// there is room for it.
const MAX_RECEIVED: usize = 253;

/// The longest message, in bytes.
pub(crate) const MAX_MESSAGE: usize = 8192;

/// Sends one message, whole or not at all. Waits while the other side's queue is full.
pub(crate) fn send(socket: BorrowedFd, text: &[u8], fds: &[BorrowedFd]) -> io::Result<()> {
    Ok(send_with(socket, text, fds, MsgFlags::empty())?)
}

/// Sends one message, whole or not at all; false if the other side's queue is full.
pub(crate) fn send_now(socket: BorrowedFd, text: &[u8], fds: &[BorrowedFd]) -> io::Result<bool> {
    match send_with(socket, text, fds, MsgFlags::MSG_DONTWAIT) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn send_with(
    socket: BorrowedFd,
    text: &[u8],
    fds: &[BorrowedFd],
    flags: MsgFlags,
) -> nix::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage] = if raw.is_empty() { &[] } else { &rights };
    loop {
        let sent = sendmsg::<()>(
            socket.as_raw_fd(),
            &[IoSlice::new(text)],
            control,
            flags | MsgFlags::MSG_NOSIGNAL,
            None,
        );
        match sent {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads from a stream, and takes the descriptors that came with the bytes.
pub(crate) fn read_with_descriptors(
    stream: BorrowedFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_into(stream, bytes)
}

/// Waits for one message. An empty text means that the other side is gone.
///
/// # Errors
/// What recvmsg(2) says, and `EMFILE` if the kernel could not install all descriptors.
pub(crate) fn receive(socket: BorrowedFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut text = vec![0; MAX_MESSAGE];
    let (length, fds) = receive_into(socket, &mut text)?;
    text.truncate(length);
    Ok((text, fds))
}

/// Receives into `bytes` and owns every descriptor that the kernel installed, also when there was
/// not room for all: `nix` gives up on such a message before they are owned.
fn receive_into(socket: BorrowedFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    receive_with(socket, bytes, 0)
}

fn receive_with(
    socket: BorrowedFd,
    bytes: &mut [u8],
    flags: i32,
) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut control = cmsg_space!([RawFd; MAX_RECEIVED]);
    // SAFETY: all-zero bytes are a valid msghdr: null pointers and no lengths.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = control.capacity();
    let length = loop {
        let flags = flags | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: the header's pointers are to `bytes` and `control`, which live through the call
        // and are as long as it says.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match Errno::result(length) {
            Err(Errno::EINTR) => {}
            other => break other? as usize,
        }
    };
    let fds = descriptors_of(&header);
    if header.msg_flags & libc::MSG_CTRUNC != 0 {
        return Err(Errno::EMFILE.into());
    }
    Ok((length, fds))
}

/// Looks at every message that waits in a socket's queue, the oldest first, and takes none out. The
/// descriptors are duplicates.
///
/// # Errors
/// What the system says, and `EMFILE` if there are not descriptors enough for all duplicates.
pub(crate) fn peek_all(socket: BorrowedFd) -> io::Result<Vec<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut messages = Vec::new();
    peek_each(socket, |text| {
        let (length, fds) = receive_with(socket, text, libc::MSG_PEEK | libc::MSG_DONTWAIT)?;
        messages.push((text[..length].to_vec(), fds));
        Ok(length)
    })?;
    // What the queue ends with, if its sender is gone.
    messages.retain(|(text, _)| !text.is_empty());
    Ok(messages)
}

/// As [`peek_all`], without the descriptors.
pub(crate) fn peek_texts(socket: BorrowedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    peek_each(socket, |text| {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let length = nix::sys::socket::recv(socket.as_raw_fd(), text, flags)?;
        texts.push(text[..length].to_vec());
        Ok(length)
    })?;
    texts.retain(|text| !text.is_empty());
    Ok(texts)
}

/// Calls `peek` until there are no more messages, each time beyond what it has seen before.
fn peek_each(
    socket: BorrowedFd,
    mut peek: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    let mut text = vec![0; MAX_MESSAGE];
    set_peek_offset(socket, 0)?;
    let peeked = loop {
        match peek(&mut text) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    set_peek_offset(socket, -1)?;
    peeked
}

/// From which byte of its queue the next message is looked at; -1: from the oldest message, always.
fn set_peek_offset(socket: BorrowedFd, offset: libc::c_int) -> io::Result<()> {
    let length = size_of_val(&offset) as libc::socklen_t;
    // SAFETY: the option's value is one int, which lives through the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const offset).cast(),
            length,
        )
    };
    Errno::result(set)?;
    Ok(())
}

/// Takes the oldest message out of a socket's queue, and closes what came with it. Without room for
/// descriptors the kernel installs none, and closes them before this returns.
pub(crate) fn discard_message(socket: BorrowedFd) -> io::Result<()> {
    loop {
        match nix::sys::socket::recv(socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Owns the descriptors that came with a message that was just received.
fn descriptors_of(header: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled the control buffer, and set its length in the header.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a pointer to a header within the buffer.
    while let Some(part) = unsafe { next.as_ref() } {
        if (part.cmsg_level, part.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: CMSG_LEN only computes with its argument.
            let bytes = part.cmsg_len - unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data of a header follows it in the buffer.
            let data = unsafe { libc::CMSG_DATA(next) };
            // SAFETY: the data is as long as the header says, and stays while `header` is borrowed.
            let data = unsafe { std::slice::from_raw_parts(data, bytes) };
            for number in data.as_chunks().0 {
                let number = RawFd::from_ne_bytes(*number);
                // SAFETY: the kernel has just installed it, and nothing else knows its number.
                fds.push(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        next = unsafe { libc::CMSG_NXTHDR(header, next) };
    }
    fds
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_looked_at_stays_in_the_queue_though_its_sender_is_gone() {
        let flags = nix::sys::socket::SockFlag::SOCK_CLOEXEC;
        let kind = nix::sys::socket::SockType::SeqPacket;
        let family = nix::sys::socket::AddressFamily::Unix;
        let (sender, receiver) = nix::sys::socket::socketpair(family, kind, None, flags).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for (text, copies) in [(&b"one"[..], 1), (b"three", 3)] {
            assert!(send_now(sender.as_fd(), text, &vec![file.as_fd(); copies]).unwrap());
        }
        drop(sender);
        for _ in 0..2 {
            let messages = peek_all(receiver.as_fd()).unwrap();
            let seen: Vec<_> = messages.iter().map(|(text, fds)| (&text[..], fds.len())).collect();
            assert_eq!(seen, [(&b"one"[..], 1), (b"three", 3)]);
        }
        discard_message(receiver.as_fd()).unwrap();
        assert_eq!(peek_texts(receiver.as_fd()).unwrap(), [b"three"]);
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_lets_through_are_owned() {
        let (sender, receiver) = UnixStream::pair().unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        let sent = [file.as_fd(); MAX_RECEIVED];
        send(sender.as_fd(), b"x", &sent).unwrap();
        let mut byte = [0];
        let (length, fds) = read_with_descriptors(receiver.as_fd(), &mut byte).unwrap();
        assert_eq!((length, fds.len()), (1, MAX_RECEIVED));
    }
}
