//! The directories of this user's where papad listens and logs unless somebody says otherwise.
//!
//! The environment may be another user's, as after su(1) and sudo(8): a directory that belongs to
//! somebody else is never used.

use std::env;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Uid, User, eaccess};

/// Names a directory that takes the place of all others, for tests and for who wants several papads.
const OVERRIDE: &str = "PAPAD_DIR";

const SOCKET: &str = "papad.sock";

/// Whoever else may write to a directory could put something in papad's place.
const OTHERS_MAY_WRITE: u32 = 0o022;

/// Where this user's papad may listen, the best place first. The last one may not be there yet.
pub(crate) fn sockets() -> Vec<PathBuf> {
    if let Some(directory) = absolute(OVERRIDE) {
        return vec![directory.join(SOCKET)];
    }
    let directories = runtime_directories(Uid::effective(), absolute("XDG_RUNTIME_DIR"), is_own);
    directories.into_iter().map(|directory| directory.join(SOCKET)).collect()
}

/// See [`sockets`].
fn runtime_directories(
    user: Uid,
    from_environment: Option<PathBuf>,
    is_own: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let shared = PathBuf::from(format!("/tmp/papad-{user}"));
    if user.is_root() {
        return vec!["/run".into(), shared];
    }
    let of_logind = PathBuf::from(format!("/run/user/{user}"));
    let mut directories: Vec<PathBuf> =
        from_environment.into_iter().chain([of_logind]).filter(|path| is_own(path)).collect();
    directories.dedup();
    directories.push(shared);
    directories
}

/// Whether a papad can be started to listen at this path: the directory is there, made if need be,
/// and nobody else can write to it.
pub(crate) fn prepare(socket: &Path) -> bool {
    let Some(directory) = socket.parent() else { return false };
    if !directory.exists() {
        // Somebody else may have made it meanwhile, which is looked at below.
        let _ = make(directory);
    }
    is_own(directory) && eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// The file that this user's papad logs to. Its directory may not be there yet.
pub(crate) fn log() -> Option<PathBuf> {
    if let Some(directory) = absolute(OVERRIDE) {
        return Some(directory.join("log"));
    }
    if Uid::effective().is_root() {
        return Some("/var/log/papad.log".into());
    }
    let of_user = || User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir);
    let homes = [absolute("HOME"), of_user()].into_iter().flatten();
    let states = homes.map(|home| home.join(".local/state"));
    let mut states = absolute("XDG_STATE_HOME").into_iter().chain(states);
    let is_of_user = |state: &PathBuf| state.ancestors().find(|it| it.exists()).is_some_and(is_own);
    // A user without a home has a place to listen at least.
    let beside_socket = || {
        let socket = sockets().into_iter().find(|it| it.parent().is_some_and(is_own))?;
        Some(socket.with_extension("log"))
    };
    states.find(is_of_user).map(|state| state.join("papad/log")).or_else(beside_socket)
}

/// Makes a directory, and those that it is in, for this user alone.
pub(crate) fn make(directory: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(directory)
}

/// Whether a directory belongs to this user, and nobody else may write to it.
fn is_own(directory: &Path) -> bool {
    let own = Uid::effective().as_raw();
    // A symbolic link could be somebody else's, and be turned to another directory.
    fs::symlink_metadata(directory)
        .is_ok_and(|it| it.is_dir() && it.uid() == own && it.mode() & OTHERS_MAY_WRITE == 0)
}

/// The path that a variable of the environment names. A relative one is ignored, as the XDG Base
/// Directory Specification asks.
fn absolute(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).map(|it: OsString| PathBuf::from(it))?;
    path.is_absolute().then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_directory_of_another_users_is_not_used() {
        let user = Uid::from_raw(1000);
        let xdg = || Some(PathBuf::from("/run/user/0"));
        let own = |path: &Path| path == Path::new("/run/user/1000");
        let expected = ["/run/user/1000", "/tmp/papad-1000"].map(PathBuf::from);
        assert_eq!(runtime_directories(user, xdg(), own), expected);
        assert_eq!(runtime_directories(user, None, own), expected);
        assert_eq!(runtime_directories(user, Some(expected[0].clone()), own), expected);
        assert_eq!(runtime_directories(user, xdg(), |_| false), expected[1..]);
    }

    #[test]
    fn roots_place_does_not_depend_on_the_environment() {
        let root = Uid::from_raw(0);
        let directories = runtime_directories(root, Some("/run/user/1000".into()), |_| true);
        assert_eq!(directories, ["/run", "/tmp/papad-0"].map(PathBuf::from));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_nobodys_own() {
        assert!(!is_own(Path::new("/tmp")));
        assert!(!is_own(Path::new("/nonexistent")));
        assert!(!prepare(Path::new("/tmp/papad.sock")));
    }
}
