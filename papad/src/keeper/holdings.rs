//! What the keeper holds: a duplicate of every descriptor that must outlive the server. systemd's
//! store has them, too, if systemd has started papad.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::link::Held;
use crate::memory::HighWater;
use crate::systemd::Service;

/// The held descriptors, by name.
pub(super) struct Holdings {
    held: BTreeMap<Held, OwnedFd>,
    most: HighWater,
    service: Service,
}

impl Holdings {
    pub(super) fn new(service: Service) -> Holdings {
        Holdings { held: BTreeMap::new(), most: HighWater::default(), service }
    }

    /// Holds a descriptor in place of what had its name before.
    pub(super) fn hold(&mut self, name: Held, fd: OwnedFd) {
        self.held.insert(name, fd);
        self.service.held(name);
    }

    /// Holds a descriptor that the store has under this name, or is not to have.
    pub(super) fn hold_as_passed(&mut self, name: Held, fd: OwnedFd) {
        self.held.insert(name, fd);
    }

    /// Closes what has this name, if anything has.
    pub(super) fn drop(&mut self, name: Held) {
        self.held.remove(&name);
        self.most.removed(self.held.len());
        self.service.dropped(name);
    }

    /// Closes what belongs to the change from one server to the next.
    pub(super) fn drop_passing(&mut self) {
        self.held.retain(|name, _| !name.is_passing());
        self.most.removed(self.held.len());
    }

    /// Everything that is held, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Held, &OwnedFd)> {
        self.held.iter()
    }

    /// Whether something was ever recorded.
    pub(super) fn has_journal(&self) -> bool {
        self.held.range(Held::Journal(0)..=Held::Journal(u64::MAX)).next().is_some()
    }

    /// papad's own endpoints.
    pub(super) fn control(&self) -> impl Iterator<Item = (&Held, &OwnedFd)> {
        self.held.range(Held::Control(0)..=Held::Control(u64::MAX))
    }

    /// Closes everything. The store keeps what it has.
    pub(super) fn clear(&mut self) {
        self.held.clear();
    }

    /// What systemd is told.
    pub(super) fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Lets go of whatever the store has and is not held.
    pub(super) fn keep_only_held(&mut self) {
        self.service.keep_only(&self.held);
    }

    /// Tells systemd as much as it takes at once.
    pub(super) fn flush(&mut self) {
        self.service.flush(&self.held);
    }

    /// As `service`, to look at.
    pub(super) fn look_at_service(&self) -> &Service {
        &self.service
    }
}
