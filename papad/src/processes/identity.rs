//! Whom a process runs as.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use papa_protocol::exact::{Code, Failure};

/// Users and groups by number, as a child takes them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    /// The supplementary groups; `None` leaves papad's own.
    pub(crate) groups: Option<Vec<u32>>,
}

impl Identity {
    /// Looks up a user and a group, each a number or a name. A user alone brings its own group;
    /// supplementary groups are initialised as by initgroups(3) where papad may set them.
    ///
    /// This may wait for a name service: the caller holds no lock.
    pub(crate) fn look_up(uid: Option<&[u8]>, gid: Option<&[u8]>) -> Result<Identity, Failure> {
        let user = uid.map(find_user).transpose()?;
        let group = gid.map(find_group).transpose()?;
        let gid = group.or(user.as_ref().map(|user| user.gid));
        let own = Uid::effective();
        let groups = match (&user, gid) {
            // Whoever may not set these may not become another user either.
            (Some(user), Some(gid)) if own.is_root() || user.uid != own => {
                Some(groups_of(user, gid)?)
            }
            (None, Some(gid)) if own.is_root() => Some(vec![gid.as_raw()]),
            _ => None,
        };
        Ok(Identity { uid: user.map(|user| user.uid.as_raw()), gid: gid.map(Gid::as_raw), groups })
    }

    /// Whether that is another user than papad.
    pub(crate) fn is_other_user(&self) -> bool {
        self.uid.is_some_and(|uid| uid != Uid::effective().as_raw())
    }
}

fn find_user(text: &[u8]) -> Result<User, Failure> {
    let shown = text.escape_ascii();
    let (found, what) = match number(text) {
        Some(uid) => (User::from_uid(Uid::from_raw(uid)), "id"),
        None => (User::from_name(&String::from_utf8_lossy(text)), "name"),
    };
    match found {
        Ok(Some(user)) => Ok(user),
        Ok(None) => {
            Err(Failure::new(Code::NotFound, format!("'{shown}' is not a valid user {what}")))
        }
        Err(errno) => Err(Failure::new(
            Code::Internal,
            format!("Cannot look up user '{shown}' - {}", errno.desc()),
        )),
    }
}

fn find_group(text: &[u8]) -> Result<Gid, Failure> {
    let shown = text.escape_ascii();
    let found = match number(text) {
        Some(gid) => Group::from_gid(Gid::from_raw(gid)),
        None => Group::from_name(&String::from_utf8_lossy(text)),
    };
    match found {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(Failure::new(Code::NotFound, format!("No such group: '{shown}'"))),
        Err(errno) => Err(Failure::new(
            Code::Internal,
            format!("Cannot look up group '{shown}' - {}", errno.desc()),
        )),
    }
}

fn groups_of(user: &User, gid: Gid) -> Result<Vec<u32>, Failure> {
    let name = CString::new(user.name.as_bytes()).unwrap_or_default();
    match getgrouplist(&name, gid) {
        Ok(groups) => Ok(groups.into_iter().map(Gid::as_raw).collect()),
        Err(errno) => Err(Failure::new(
            Code::Internal,
            format!("Cannot look up the groups of '{}' - {}", user.name, errno.desc()),
        )),
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
