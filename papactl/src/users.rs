//! Whose processes are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Uid, User};
use papa_client::ProcessInfo;

/// The names of users, looked up once each.
#[derive(Debug, Default)]
pub(crate) struct Users(BTreeMap<u32, String>);

impl Users {
    /// Whose a process is: the user that was asked for, or the one it runs as.
    pub(crate) fn of(&mut self, process: &ProcessInfo) -> Option<String> {
        let running = || {
            let path = format!("/proc/{}", process.pid);
            let owner = fs::metadata(path).ok().map(|it| it.uid());
            owner.filter(|_| process.is_running())
        };
        let uid = process.uid.or_else(running)?;
        Some(self.name(uid))
    }

    fn name(&mut self, uid: u32) -> String {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        };
        self.0.entry(uid).or_insert_with(look_up).clone()
    }
}
