//! A connected socket that never blocks.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::TcpNoDelay;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage,
    UnixAddr, connect, recv, sendmsg, setsockopt, socket,
};

use crate::endpoint::Address;
use crate::sys::{self, Received};

/// One connection to papad.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: OwnedFd,
    is_unix: bool,
}

impl Transport {
    /// Begins a connection. Over TCP it may not stand yet when this returns: until it does, nothing
    /// can be sent.
    ///
    /// # Errors
    /// `WouldBlock` when too many others are waiting for papad to take their connections.
    pub(crate) fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Unix(path) => Self::to(AddressFamily::Unix, &UnixAddr::new(path)?),
            Address::Tcp(address) => {
                let family =
                    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
                let transport = Self::to(family, &SockaddrStorage::from(*address))?;
                // A request is answered before the next is sent: waiting to fill packets is no use.
                setsockopt(&transport.socket, TcpNoDelay, &true)?;
                Ok(transport)
            }
        }
    }

    fn to(family: AddressFamily, address: &dyn SockaddrLike) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Stream, flags, None)?;
        match connect(socket.as_raw_fd(), address) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Self { socket, is_unix: family == AddressFamily::Unix })
    }

    pub(crate) fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// Sends as much as there is room for, with a descriptor if one is given.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room.
    pub(crate) fn send(
        &self,
        bytes: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> io::Result<usize> {
        let numbers: Vec<_> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let controls = if numbers.is_empty() { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL;
        let bytes = [IoSlice::new(bytes)];
        Ok(sendmsg::<()>(self.socket.as_raw_fd(), &bytes, controls, flags, None)?)
    }

    /// Reads what there is; 0 at the end.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.socket.as_raw_fd(), buffer, MsgFlags::empty())?)
    }

    /// Reads what there is, and descriptors that came with it.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing yet.
    pub(crate) fn receive_with_descriptors(
        &self,
        buffer: &mut [u8],
        descriptors: &mut VecDeque<Received>,
    ) -> io::Result<usize> {
        if self.is_unix {
            sys::receive(self.socket.as_fd(), buffer, descriptors)
        } else {
            self.receive(buffer)
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
