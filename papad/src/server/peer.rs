//! Who may speak: a session can run any command as papad's user, so the operating system is asked
//! who the peer is before a byte of it is read.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Uid;

use papa_protocol::frame::NOT_LET_IN;

use crate::sys::{self, TcpPeer};

/// Why a peer is not let in.
pub(super) enum Refused {
    /// It is this user.
    User(Uid),
    /// It closed its socket before it could be told who it was.
    Gone,
    /// The system did not say who it is.
    Unknown(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::User(uid) => {
                write!(f, "uid {uid} {}", String::from_utf8_lossy(NOT_LET_IN))
            }
            Refused::Gone => f.write_str("it is gone already"),
            Refused::Unknown(error) => write!(f, "it cannot be told who it is: {error}"),
        }
    }
}

/// Lets in papad's own user, root, and the users that were named.
fn check(uid: Uid, allowed: &[Uid]) -> Result<Uid, Refused> {
    if uid.is_root() || uid == Uid::effective() || allowed.contains(&uid) {
        Ok(uid)
    } else {
        Err(Refused::User(uid))
    }
}

/// Checks who has the other end of a Unix connection, and tells whose it is.
pub(super) fn check_unix(connection: impl AsFd, allowed: &[Uid]) -> Result<Uid, Refused> {
    let credentials = getsockopt(&connection, sockopt::PeerCredentials);
    let credentials = credentials.map_err(|errno| Refused::Unknown(errno.into()))?;
    check(Uid::from_raw(credentials.uid()), allowed)
}

/// What to call a Unix connection's peer.
pub(super) fn name_of_unix(connection: impl AsFd) -> String {
    match getsockopt(&connection, sockopt::PeerCredentials) {
        Ok(peer) => format!("uid {} (pid {})", peer.uid(), peer.pid()),
        Err(_) => "an unknown process".to_owned(),
    }
}

/// Checks who has the other end of a TCP connection, and tells whose it is.
pub(super) fn check_tcp(
    peer: SocketAddr,
    local: SocketAddr,
    allowed: &[Uid],
) -> Result<Uid, Refused> {
    match sys::tcp_peer(peer, local) {
        // A closed socket reads as root's.
        Ok(TcpPeer { inode: 0, .. }) => Err(Refused::Gone),
        Ok(TcpPeer { uid, .. }) => check(Uid::from_raw(uid), allowed),
        Err(error) => Err(Refused::Unknown(error)),
    }
}
