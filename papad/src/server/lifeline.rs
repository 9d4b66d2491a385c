//! How a server knows that the one before it is over.
//!
//! Each server keeps one end of a pipe open, and so does every child that it makes until that calls
//! exec. The next server has the other end from what is held: the keeper looks after this by its
//! link while it lives, but may have been killed as well.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use crate::link::{Held, Link};
use crate::{limit, log};

/// How long a child that has recorded itself may take to exec before a server starts without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// This server's pipe.
pub(super) struct Lifeline {
    /// Closed when this server is over, and every child that it was making.
    _own: OwnedFd,
    others: OwnedFd,
}

impl Lifeline {
    /// Made before everything else that this server opens: a child takes on the low numbers alone.
    pub(super) fn new() -> io::Result<Lifeline> {
        let (others, own) = pipe2(OFlag::O_CLOEXEC)?;
        Ok(Lifeline { _own: own, others })
    }

    /// Waits until all servers before this one are over, and has its own pipe held instead of
    /// theirs.
    pub(super) fn take_over(
        self,
        link: &Link,
        held: &mut HashMap<Held, OwnedFd>,
    ) -> io::Result<Lifeline> {
        let mut last = 0;
        let mut former = Vec::new();
        for (name, pipe) in held.extract_if(|name, _| matches!(name, Held::Server(_))) {
            if let Held::Server(number) = name {
                last = last.max(number);
            }
            // Nobody writes to it: what there is to read is its end.
            if !limit::is_readable_within(&pipe, Duration::ZERO)? {
                log::info!("server", "waiting until the last server's children are on their own");
                if !limit::is_readable_within(&pipe, PATIENCE)? {
                    log::warn!("server", "a child of the last server is late; going on without it");
                }
            }
            former.push(name);
        }
        link.hold(&[(Held::Server(last + 1), self.others.as_fd())])?;
        link.drop_held(former);
        Ok(self)
    }
}
