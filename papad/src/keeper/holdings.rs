//! What the keeper holds: a duplicate of every descriptor that must outlive the server.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::link::Held;

/// The held descriptors, by name.
#[derive(Default)]
pub(super) struct Holdings(BTreeMap<Held, OwnedFd>);

impl Holdings {
    /// Holds a descriptor in place of what had its name before.
    pub(super) fn hold(&mut self, name: Held, fd: OwnedFd) {
        self.0.insert(name, fd);
    }

    /// Closes what has this name, if anything has.
    pub(super) fn drop(&mut self, name: Held) {
        self.0.remove(&name);
    }

    /// Everything that is held, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Held, &OwnedFd)> {
        self.0.iter()
    }

    /// What has this name.
    pub(super) fn get(&self, name: Held) -> Option<&OwnedFd> {
        self.0.get(&name)
    }

    /// Closes everything.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl FromIterator<(Held, OwnedFd)> for Holdings {
    fn from_iter<I: IntoIterator<Item = (Held, OwnedFd)>>(held: I) -> Holdings {
        Holdings(held.into_iter().collect())
    }
}
