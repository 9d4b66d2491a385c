//! The thread that accepts connections and starts their sessions.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::unistd::Uid;

use super::Server;
use super::peer::{self, Admitted, Refused};
use super::session::Session;
use crate::gate::Parcel;
use crate::{limit, listen, log, sys};

/// How long to wait before a connection is accepted for which there was no room.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(100);

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: OwnedFd) -> io::Result<Listener> {
        let tcp = TcpListener::from(socket);
        // Without an internet address it is a Unix socket.
        if tcp.local_addr().is_ok() {
            tcp.set_nonblocking(true)?;
            return Ok(Listener::Tcp(tcp));
        }
        let unix = UnixListener::from(OwnedFd::from(tcp));
        unix.set_nonblocking(true)?;
        Ok(Listener::Unix(unix))
    }

    /// Accepts a connection, and tells whose it is and whether that one may speak. To ask that
    /// takes a descriptor, too.
    fn accept(
        &self,
        admitted: &Admitted,
        spare: &mut Spare,
    ) -> io::Result<(File, String, Result<Uid, Refused>)> {
        match self {
            Listener::Tcp(listener) => {
                let (connection, peer) = listener.accept()?;
                let local: SocketAddr = connection.local_addr()?;
                connection.set_nodelay(true)?;
                connection.set_nonblocking(true)?;
                let mut checked = admitted.check_tcp(&connection, peer, local);
                if matches!(&checked, Err(Refused::Unknown(error)) if is_out_of_descriptors(error))
                {
                    spare.give_up();
                    checked = admitted.check_tcp(&connection, peer, local);
                }
                Ok((stream(connection), peer.to_string(), checked))
            }
            Listener::Unix(listener) => {
                let (connection, _) = listener.accept()?;
                connection.set_nonblocking(true)?;
                let checked = admitted.check_unix(&connection);
                let name = peer::name_of_unix(&connection);
                Ok((stream(connection), name, checked))
            }
        }
    }
}

fn stream(connection: impl Into<OwnedFd>) -> File {
    sys::keep(connection.into()).into()
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener) => listener.as_fd(),
        }
    }
}

/// What it takes to accept, before anybody is told that papad is ready.
pub(super) struct Doors {
    listeners: Vec<Listener>,
    admitted: Admitted,
    spare: Spare,
}

impl Doors {
    pub(super) fn new(server: &Server, sockets: Vec<OwnedFd>) -> io::Result<Doors> {
        for socket in &sockets {
            log::debug!("server", "accepting on {}", listen::name(socket));
        }
        let listeners = sockets.into_iter().map(Listener::new).collect::<io::Result<Vec<_>>>()?;
        let admitted = Admitted::new(&server.options.allowed_uids)?;
        let mut spare = Spare::default();
        spare.refill();
        Ok(Doors { listeners, admitted, spare })
    }
}

/// Accepts for as long as papad lives.
pub(super) fn run(server: &Arc<Server>, doors: Doors) -> io::Result<()> {
    let Doors { listeners, admitted, mut spare } = doors;
    loop {
        server.gate.stop(Parcel::default);
        let until_settled = server.refusals.settle();
        let timeout = until_settled.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        let others = [server.gate.as_fd(), server.refusals.as_fd()];
        let of_listeners = listeners.iter().map(AsFd::as_fd);
        let mut fds: Vec<PollFd> =
            of_listeners.chain(others).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match limit::poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (listener, _) in listeners.iter().zip(is_ready).filter(|(_, is_ready)| *is_ready) {
            let mut accepted = listener.accept(&admitted, &mut spare);
            if matches!(&accepted, Err(error) if is_out_of_descriptors(error)) {
                spare.give_up();
                accepted = listener.accept(&admitted, &mut spare);
            }
            let is_room = spare.refill();
            match accepted {
                Ok((connection, peer, Ok(uid))) if is_room => begin(server, connection, peer, uid),
                Ok((connection, peer, Ok(_))) => {
                    let refusals = &server.refusals;
                    refusals.tell(format_args!("turned {peer} away: papad has no descriptor left"));
                    refuse(&connection, "papad has no descriptor left");
                    drop(connection);
                    spare.refill();
                }
                Ok((connection, peer, Err(refused))) => {
                    server.refusals.tell(format_args!("refused {peer}: {refused}"));
                    // Who tries again, as after a kill of the server, would try in vain.
                    if let Refused::User(_) = refused {
                        refuse(&connection, &refused.to_string());
                    }
                }
                // It is still waiting, and would be found again at once.
                Err(error) if is_out_of_memory(&error) => thread::sleep(WAIT_FOR_ROOM),
                // The client was quicker to leave.
                Err(error) => log::debug!("server", "a connection was not accepted: {error}"),
            }
        }
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EMFILE | Errno::ENFILE))
}

fn is_out_of_memory(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOMEM | Errno::ENOBUFS))
}

/// Descriptors kept for the time when there are no others: without them, a connection could be
/// neither accepted nor turned away.
#[derive(Default)]
struct Spare(Vec<File>);

impl Spare {
    /// One for the connection, and one to ask whose it is.
    const WANTED: usize = 2;

    /// Lets go of all of them, to be used at once.
    fn give_up(&mut self) {
        if self.0.is_empty() {
            // Other threads have taken them: until there are some again, connections have to wait.
            thread::sleep(WAIT_FOR_ROOM);
        }
        self.0.clear();
    }

    /// Takes as many as are missing; false if there are not so many.
    fn refill(&mut self) -> bool {
        while self.0.len() < Self::WANTED {
            let Ok(file) = File::open("/dev/null") else { return false };
            self.0.push(file);
        }
        true
    }
}

/// Says why there will be no session. What does not fit the connection's buffer is not said.
fn refuse(mut connection: &File, why: &str) {
    let _ = connection.write_all(format!("Error: {why}\n> ").as_bytes());
}

fn begin(server: &Arc<Server>, connection: File, peer: String, uid: Uid) {
    let admission = match server.admit(peer.clone(), uid) {
        Ok(admission) => admission,
        Err(refusal) => {
            server.refusals.tell(format_args!("turned {peer} away: {refusal}"));
            return refuse(&connection, &refusal.to_string());
        }
    };
    log::debug!("server", "session from {peer}");
    if let Err(session) = Session::new(admission, connection, peer).start() {
        refuse(session.client.lines.connection(), "papad can make no more threads");
    }
}
