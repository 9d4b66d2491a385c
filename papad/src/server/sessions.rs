//! The sessions that are being served, and how many there may be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::unistd::Uid;

use papa_protocol::exact::Failure;
use papa_protocol::frame::Time;

use super::places::{Owner, Taken};
use crate::bounds::{Bound, Bounds};
use crate::processes::now;
use crate::values::SessionId;

/// What a session does that has asked for nothing yet.
pub(super) const NOTHING: &str = "nothing";

/// What there is to tell of a session.
#[derive(Clone)]
pub(super) struct Info {
    /// An address, or the user of a Unix connection.
    pub(super) peer: String,
    /// Whose it is; `None` if an earlier version has handed it over, which did not tell.
    pub(super) uid: Option<Uid>,
    pub(super) since: Time,
    /// 1 or 2.
    pub(super) protocol: u32,
    /// The request under way or the last one, by its first words.
    pub(super) doing: &'static str,
}

/// All sessions.
pub(super) struct Sessions {
    bounds: Arc<Bounds>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: BTreeMap<SessionId, Info>,
    last_id: SessionId,
}

impl Sessions {
    pub(super) fn new(bounds: Arc<Bounds>) -> Sessions {
        Sessions { bounds, table: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session of this user.
    ///
    /// # Errors
    /// There are as many as may be.
    pub(super) fn add(&self, peer: String, uid: Uid) -> Result<SessionId, Failure> {
        let mut table = self.lock();
        let owners = table.sessions.values().map(|session| Owner::of(session.uid));
        let all = self.bounds.allowed(Bound::Sessions);
        if !Taken::count(owners).has_room_for(Owner::of(Some(uid)), all) {
            return Err(self.bounds.refusal(Bound::Sessions));
        }
        let its = table.sessions.values().filter(|session| session.uid == Some(uid)).count();
        self.bounds.check(Bound::SessionsPerUser, its + 1)?;
        table.last_id += 1;
        let id = table.last_id;
        let info = Info { peer, uid: Some(uid), since: now(), protocol: 1, doing: NOTHING };
        table.sessions.insert(id, info);
        Ok(id)
    }

    /// How many the user has who has the most.
    pub(super) fn most_of_one_user(&self) -> usize {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for uid in self.lock().sessions.values().filter_map(|session| session.uid) {
            *counts.entry(uid.as_raw()).or_default() += 1;
        }
        counts.into_values().max().unwrap_or_default()
    }

    /// Puts one on the list that another server had, whatever the bound says.
    pub(super) fn add_again(&self, id: SessionId, info: Info) {
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
