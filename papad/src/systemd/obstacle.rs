//! What keeps papad from having everything in systemd's store, and how the log says so.

use nix::errno::Errno;

/// Why not all is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// systemd's queue is full: its socket tells when it is not.
    QueueFull,
    /// Nobody hears at systemd's socket.
    Unreachable,
    /// systemd's store has no room for another carrier.
    NoRoom,
    /// The kernel takes nothing into carriers.
    Refused(Errno),
}

impl Obstacle {
    /// What is logged when it is no more.
    pub(super) fn is_gone(self) -> &'static str {
        match self {
            Obstacle::QueueFull | Obstacle::Unreachable => {
                "systemd takes messages again; its store is in step"
            }
            Obstacle::NoRoom | Obstacle::Refused(_) => {
                "systemd's store has everything that is held again"
            }
        }
    }

    /// What somebody who runs papad is to know of it, given whether everything that is held is
    /// safe in systemd's store.
    pub(super) fn what_it_means(self, is_safe: bool) -> String {
        let safe = if is_safe { "is" } else { "is not" };
        match self {
            Obstacle::QueueFull => {
                format!("systemd takes no messages; what is held {safe} safe in its store")
            }
            Obstacle::Unreachable => {
                format!("systemd cannot be reached; what is held {safe} safe in its store")
            }
            Obstacle::NoRoom => {
                "systemd's store is full; what is held beyond it is not safe: raise \
                 FileDescriptorStoreMax= of the unit"
                    .to_owned()
            }
            Obstacle::Refused(Errno::ETOOMANYREFS) => {
                "papad's user may have no more descriptors in flight; what is held beyond that is \
                 not safe in systemd's store: raise LimitNOFILE= of the unit"
                    .to_owned()
            }
            Obstacle::Refused(errno) => {
                format!("what is held is not safe in systemd's store: {}", errno.desc())
            }
        }
    }
}
