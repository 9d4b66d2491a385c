//! Sockets that nobody can reach any more, and having them reached again.
//!
//! A process has the very socket that papad holds: when it calls shutdown(2), the socket is shut down
//! for all. And whoever cleans a directory may remove the file of a Unix socket. papad does not undo
//! this behind the back of the processes that have the socket, but when somebody asks for it anew.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{getsockopt, sockopt};

use papa_protocol::exact::{Code, Failure};
use papa_protocol::options::{Family, SocketOptions, SocketType};
use papa_protocol::text::shown;

use super::{Socket, Sockets, bind, cannot_keep};
use crate::journal::Change;
use crate::link::Held;
use crate::socket_file::AtPath;
use crate::{log, sys};

/// Why nobody can reach a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A process has shut it down.
    ShutDown,
    /// Its file is gone.
    NoFile,
    /// There is something else at its path.
    OtherFile,
}

impl Fault {
    /// The word that stands for it in protocol 2.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Fault::ShutDown => "shut-down",
            Fault::NoFile => "no-file",
            Fault::OtherFile => "other-file",
        }
    }
}

impl Socket {
    /// Why nobody can reach it, if that is so.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if !self.is_shared_port() && is_shut_down(&self.options, &self.fd) {
            return Some(Fault::ShutDown);
        }
        match self.at_path()? {
            AtPath::Own => None,
            AtPath::Nothing => Some(Fault::NoFile),
            AtPath::Other => Some(Fault::OtherFile),
        }
    }
}

impl Sockets {
    /// Has a socket reached again that nobody can reach, and returns what is to be used from now on.
    /// The caller has hold of the journal, so that no handover begins meanwhile.
    ///
    /// # Errors
    /// It cannot be, or what is at its path is not papad's to remove.
    pub(super) fn mend(&self, socket: Arc<Socket>, _: &Change) -> Result<Arc<Socket>, Failure> {
        let Some(fault) = socket.fault() else { return Ok(socket) };
        let name = shown(&socket.name);
        if socket.options.family != Family::Unix {
            return match bind::listen_on(&socket.options, &socket.fd) {
                Ok(()) => {
                    log::info!("server", "socket {name} was shut down; it listens again");
                    Ok(socket)
                }
                Err(error) => Err(bind::refused("It was shut down, and cannot listen", &error)),
            };
        }
        if socket.path().is_none() {
            let why = "It was shut down, and an abstract socket cannot be made anew while a process \
                       has it open";
            return Err(Failure::new(Code::Conflict, why));
        }
        let mut table = self.lock();
        match table.by_name.get(&socket.name) {
            Some(listed) if Arc::ptr_eq(listed, &socket) => {}
            // Another session was quicker, or it was removed.
            Some(listed) if listed.id == socket.id => return Ok(Arc::clone(listed)),
            _ => return Ok(socket),
        }
        // One that was shut down keeps its file, and only a socket made anew listens.
        socket.unlink();
        sys::kill_point("socket-unlinked");
        let fd = sys::keep(bind::make(&socket.options, None)?);
        sys::kill_point("socket-bound-again");
        let (id, number) = (socket.id, socket.number);
        let anew = Socket::new(id, socket.name.clone(), socket.options.clone(), number, fd);
        if let Err(error) = self.link.hold(&[(Held::Socket(id), anew.fd.as_fd())]) {
            anew.unlink();
            return Err(cannot_keep(&error));
        }
        log::info!("server", "socket {name} was made anew ({})", fault.as_str());
        let anew = Arc::new(anew);
        table.by_name.insert(anew.name.clone(), Arc::clone(&anew));
        Ok(anew)
    }

    /// As [`Sockets::mend`], for a process or client that is to get the socket. One whose file cannot
    /// be made anew is as good as ever for who has it.
    pub(super) fn mend_to_give(
        &self,
        socket: Arc<Socket>,
        change: &Change,
    ) -> Result<Arc<Socket>, Failure> {
        let is_dead = socket.fault() == Some(Fault::ShutDown);
        match self.mend(Arc::clone(&socket), change) {
            Err(failure) if is_dead => Err(failure),
            Err(_) => Ok(socket),
            mended => mended,
        }
    }
}

/// Whether it is a socket to be reached at, and a process has shut it down.
fn is_shut_down(options: &SocketOptions, fd: &OwnedFd) -> bool {
    let listens = || getsockopt(fd, sockopt::AcceptConn).unwrap_or(true);
    match (options.family, options.socket_type) {
        // The kernel still says that it listens.
        (Family::Unix, _) => sys::is_shut_for_reading(fd.as_fd()).unwrap_or(false),
        (_, SocketType::Stream | SocketType::Seqpacket) => !listens(),
        (_, SocketType::Dgram | SocketType::Raw | SocketType::Rdm) => false,
    }
}
