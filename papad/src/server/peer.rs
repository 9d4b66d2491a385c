//! Who may speak: a session can run any command as papad's user, so the operating system is asked
//! who the peer is before a byte of it is read.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
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
    /// It is of a user that papad's user namespace has no number for.
    Foreign,
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
            Refused::Foreign => f.write_str("its user has no number in papad's user namespace"),
            Refused::Unknown(error) => write!(f, "it cannot be told who it is: {error}"),
        }
    }
}

/// The users who may speak.
pub(super) struct Admitted {
    named: Vec<Uid>,
    /// The number that stands for every user who has none here (`user_namespaces(7)`).
    overflow: Option<Uid>,
}

impl Admitted {
    /// papad's own user, root, and those who were named.
    pub(super) fn new(named: &[Uid]) -> io::Result<Admitted> {
        let overflow = match fs::read_to_string("/proc/self/uid_map") {
            Ok(map) if maps_everyone(&map) => None,
            // A kernel without user namespaces.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
            Ok(_) => {
                let number = fs::read_to_string("/proc/sys/kernel/overflowuid")?;
                Some(Uid::from_raw(number.trim().parse().map_err(io::Error::other)?))
            }
        };
        Ok(Admitted { named: named.to_vec(), overflow })
    }

    fn check(&self, uid: Uid) -> Result<Uid, Refused> {
        if self.overflow == Some(uid) {
            Err(Refused::Foreign)
        } else if uid.is_root() || uid == Uid::effective() || self.named.contains(&uid) {
            Ok(uid)
        } else {
            Err(Refused::User(uid))
        }
    }

    /// Checks who has the other end of a Unix connection: the effective user of whoever connected
    /// it, when that was (`SO_PEERCRED`, unix(7)).
    pub(super) fn check_unix(&self, connection: impl AsFd) -> Result<Uid, Refused> {
        let credentials = getsockopt(&connection, sockopt::PeerCredentials);
        let credentials = credentials.map_err(|errno| Refused::Unknown(errno.into()))?;
        self.check(Uid::from_raw(credentials.uid()))
    }

    /// Checks who has the other end of a TCP connection: the user who made that socket.
    pub(super) fn check_tcp(
        &self,
        connection: &TcpStream,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Uid, Refused> {
        let seen = sys::tcp_peer(peer, local).map_err(Refused::Unknown)?;
        // Asked after the owner: who had closed the connection by a reset before that, may have
        // left its address and port to somebody else, whose socket was seen. As long as this one
        // is open, nobody else has them.
        let is_open = sys::is_tcp_open(connection.as_fd()).map_err(Refused::Unknown)?;
        match seen {
            // A closed socket reads as root's.
            TcpPeer { inode: 0, .. } | TcpPeer { is_connected: false, .. } => Err(Refused::Gone),
            TcpPeer { .. } if !is_open => Err(Refused::Gone),
            TcpPeer { uid, .. } => self.check(Uid::from_raw(uid)),
        }
    }
}

/// Whether each user has a number of its own in a user namespace with this map: lines of the first
/// number inside, the first outside, and how many.
fn maps_everyone(map: &str) -> bool {
    // The last number there could be is none (`user_namespaces(7)`).
    const ALL: u64 = u32::MAX as u64;
    let count = |line: &str| line.split_whitespace().nth(2)?.parse::<u64>().ok();
    map.lines().filter_map(count).sum::<u64>() >= ALL
}

/// What to call a Unix connection's peer.
pub(super) fn name_of_unix(connection: impl AsFd) -> String {
    match getsockopt(&connection, sockopt::PeerCredentials) {
        Ok(peer) => format!("uid {} (pid {})", peer.uid(), peer.pid()),
        Err(_) => "an unknown process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_user_only_where_all_have_one() {
        assert!(maps_everyone("         0          0 4294967295\n"));
        assert!(maps_everyone("0 1000 1\n1 0 1000\n1001 1001 4294966294\n"));
        assert!(!maps_everyone("         0     100000      65536\n"));
        assert!(!maps_everyone("0 1000 1\n"));
        // Before a namespace has a map.
        assert!(!maps_everyone(""));
    }

    #[test]
    fn whoever_has_no_number_is_not_let_in_by_the_one_that_stands_for_all_of_them() {
        let nobody = Uid::from_raw(65534);
        let mut admitted = Admitted { named: vec![nobody], overflow: None };
        assert!(admitted.check(nobody).is_ok());
        admitted.overflow = Some(nobody);
        assert!(matches!(admitted.check(nobody), Err(Refused::Foreign)));
        assert!(admitted.check(Uid::from_raw(0)).is_ok());
    }
}
