//! The sessions that are being served, and how many there may be.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use papa_protocol::frame::Time;

use crate::processes::now;
use crate::values::SessionId;

/// What there is to tell of a session.
#[derive(Clone)]
pub(super) struct Info {
    /// An address, or the user of a Unix connection.
    pub(super) peer: String,
    pub(super) since: Time,
    /// 1 or 2.
    pub(super) protocol: u32,
    /// The request under way or the last one, by its first words.
    pub(super) doing: &'static str,
}

/// All sessions.
pub(super) struct Sessions {
    most: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: BTreeMap<SessionId, Info>,
    last_id: SessionId,
}

impl Sessions {
    pub(super) fn new(most: usize) -> Sessions {
        Sessions { most, table: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session; `None` if there are as many as may be.
    pub(super) fn add(&self, peer: String) -> Option<SessionId> {
        let mut table = self.lock();
        if table.sessions.len() >= self.most {
            return None;
        }
        table.last_id += 1;
        let id = table.last_id;
        let info = Info { peer, since: now(), protocol: 1, doing: "nothing" };
        table.sessions.insert(id, info);
        Some(id)
    }

    /// Puts one on the list that another server had, whatever the bound says.
    pub(super) fn add_again(&self, id: SessionId, peer: &str, since: Time, protocol: u32) {
        let info = Info { peer: peer.to_owned(), since, protocol, doing: "nothing" };
        let mut table = self.lock();
        table.last_id = table.last_id.max(id);
        table.sessions.insert(id, info);
    }

    /// Numbers new sessions from after this one.
    pub(super) fn continue_from(&self, last_id: SessionId) {
        let mut table = self.lock();
        table.last_id = table.last_id.max(last_id);
    }

    pub(super) fn last_id(&self) -> SessionId {
        self.lock().last_id
    }

    pub(super) fn count(&self) -> usize {
        self.lock().sessions.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<Info> {
        self.lock().sessions.get(&id).cloned()
    }

    /// Removes a session; returns whether it was the last.
    pub(super) fn remove(&self, id: SessionId) -> bool {
        let mut table = self.lock();
        table.sessions.remove(&id);
        table.sessions.is_empty()
    }

    pub(super) fn set_protocol(&self, id: SessionId, protocol: u32) {
        if let Some(info) = self.lock().sessions.get_mut(&id) {
            info.protocol = protocol;
        }
    }

    pub(super) fn set_doing(&self, id: SessionId, doing: &'static str) {
        if let Some(info) = self.lock().sessions.get_mut(&id) {
            info.doing = doing;
        }
    }

    pub(super) fn list(&self) -> Vec<(SessionId, Info)> {
        self.lock().sessions.iter().map(|(id, info)| (*id, info.clone())).collect()
    }
}
