//! The thread that accepts connections and starts their sessions.

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Uid;

use super::Server;
use super::peer::{self, Admitted, Refused};
use super::session::Session;
use crate::gate::Parcel;
use crate::link::Held;
use crate::unix_endpoint::Watch;
use crate::{limit, listen, log, sys};

/// How long to wait before a connection is accepted for which there was no room.
const WAIT_FOR_ROOM: Duration = Duration::from_millis(100);

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// papad's Unix socket that the options name, and where it is among the listeners.
struct OwnPath {
    at: usize,
    name: Held,
    watch: Watch,
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
    let connection = connection.into();
    // telnet sends the second byte of a command as urgent data, which would be missing from the
    // others otherwise (tcp(7)). Sockets for which this is nothing have no urgent data.
    let _ = setsockopt(&connection, sockopt::OobInline, &true);
    sys::keep(connection).into()
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
    own_path: Option<OwnPath>,
    admitted: Admitted,
    spare: Spare,
}

impl Doors {
    pub(super) fn new(server: &Server, sockets: Vec<(Held, OwnedFd)>) -> io::Result<Doors> {
        for (_, socket) in &sockets {
            log::debug!("server", "accepting on {}", listen::name(socket));
        }
        let path = server.options.unix_socket.as_ref();
        let is_own = |socket| path.is_some() && listen::unix_path(socket).as_ref() == path;
        let own = sockets.iter().enumerate().find(|(_, (_, socket))| is_own(socket));
        let own_path = own.zip(path).map(|((at, (name, socket)), path)| {
            let others = server.options.allowed_uids.clone();
            OwnPath { at, name: *name, watch: Watch::new(socket, path.clone(), others) }
        });
        let sockets = sockets.into_iter().map(|(_, socket)| socket);
        let listeners = sockets.map(Listener::new).collect::<io::Result<Vec<_>>>()?;
        let admitted = Admitted::new(&server.options.allowed_uids)?;
        let mut spare = Spare::default();
        spare.refill();
        let mut doors = Doors { listeners, own_path, admitted, spare };
        doors.see_to_path(server);
        Ok(doors)
    }

    /// Makes papad's Unix socket anew if its file is gone. Whoever waits to be accepted from the one
    /// before is accepted from it; nobody new finds that.
    fn see_to_path(&mut self, server: &Server) {
        let Some(OwnPath { at, name, watch }) = &mut self.own_path else { return };
        let Some(listener) = self.listeners.get(*at) else { return };
        watch.look_if_told();
        let is_due = watch.due().is_some_and(|due| due <= Instant::now());
        if !is_due || is_readable(listener.as_fd()) {
            return;
        }
        let Some(socket) = watch.remake() else { return };
        sys::kill_point("endpoint-bound-again");
        let control = server.control.iter().find(|(its, _)| its == name);
        // In place of the one before, for all who use it: another keeper would be handed it, too.
        let replaced = control
            .map_or(Ok(()), |(_, own)| sys::replace(own.as_fd(), socket.as_fd()))
            .and_then(|()| nonblocking(&socket))
            .and_then(|()| sys::replace(listener.as_fd(), socket.as_fd()))
            .and_then(|()| server.link.hold(&[(*name, socket.as_fd())]));
        if let Err(error) = replaced {
            log::error!("server", "{} is not kept: {error}", listen::name(&socket));
        }
        watch.serves(&socket);
    }
}

fn nonblocking(socket: &OwnedFd) -> io::Result<()> {
    UnixListener::from(socket.try_clone()?).set_nonblocking(true)
}

fn is_readable(listener: BorrowedFd) -> bool {
    let mut fds = [PollFd::new(listener, PollFlags::POLLIN)];
    limit::uninterrupted(|| limit::poll(&mut fds, PollTimeout::ZERO)).is_ok_and(|count| count > 0)
}

/// Accepts for as long as papad lives.
pub(super) fn run(server: &Arc<Server>, mut doors: Doors) -> io::Result<()> {
    loop {
        server.gate.stop(Parcel::default);
        doors.see_to_path(server);
        let Doors { listeners, own_path, admitted, spare } = &mut doors;
        let watch = own_path.as_ref().map(|own| &own.watch);
        let until_due = watch.and_then(Watch::due).map(|due| {
            // A millisecond more, so that the time is not up too early by rounding.
            due.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
        });
        let until = server.refusals.settle().into_iter().chain(until_due).min();
        let timeout = until.map_or(PollTimeout::NONE, |time| {
            PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
        });
        let others = [server.gate.as_fd(), server.refusals.as_fd()];
        let others = others.into_iter().chain(watch.and_then(Watch::events));
        let of_listeners = listeners.iter().map(AsFd::as_fd);
        let mut fds: Vec<PollFd> =
            of_listeners.chain(others).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match limit::poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            result => result?,
        };
        let is_ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(true)).collect();
        for (listener, _) in listeners.iter().zip(is_ready).filter(|(_, is_ready)| *is_ready) {
            let mut accepted = listener.accept(admitted, spare);
            if matches!(&accepted, Err(error) if is_out_of_descriptors(error)) {
                spare.give_up();
                accepted = listener.accept(admitted, spare);
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
    if let Err(session) = Session::new(admission, connection, peer, uid).start() {
        refuse(session.client.lines.connection(), "papad can make no more threads");
    }
}
