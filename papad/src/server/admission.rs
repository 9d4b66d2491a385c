//! A session's place among those that are served, from its connection to its end.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::unistd::Uid;

use papa_protocol::exact::Failure;

use super::{Server, sessions};
use crate::link::ToKeeper;
use crate::log;
use crate::values::SessionId;

/// A session's place among those that are served.
pub(super) struct Admission {
    pub(super) server: Arc<Server>,
    pub(super) id: SessionId,
    doing: Cell<&'static str>,
}

impl Admission {
    pub(super) fn of(server: &Arc<Server>, id: SessionId) -> Admission {
        Admission { server: Arc::clone(server), id, doing: Cell::new(sessions::NOTHING) }
    }

    /// Has the list of sessions say what this one does. Most do the same as before.
    pub(super) fn is_doing(&self, what: &'static str) {
        if self.doing.replace(what) != what {
            self.server.sessions.set_doing(self.id, what);
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let server = &self.server;
        if let Err(error) = server.values.end_session(self.id) {
            log::error!("server", "a session's values stay: {error}");
        }
        let was_last = server.sessions.remove(self.id);
        server.gate.one_less();
        if !was_last || !server.exit_if_idle.load(Ordering::SeqCst) {
            return;
        }
        // A session that has just begun can change nothing from here on.
        let Some(_still) = server.journal.hold_still() else { return };
        if server.is_idle() {
            log::info!("server", "idle, as exit-if-idle wants it");
            // Without a keeper there is nobody left to tell.
            let _ = server.link.tell_keeper(&ToKeeper::Leave);
            log::exit(0);
        }
    }
}

impl Server {
    /// Adds a session of this user.
    ///
    /// # Errors
    /// There are as many as may be.
    pub(super) fn admit(self: &Arc<Server>, peer: String, uid: Uid) -> Result<Admission, Failure> {
        self.exit_if_idle.store(false, Ordering::SeqCst);
        let id = self.sessions.add(peer, uid)?;
        Ok(Admission::of(self, id))
    }
}
