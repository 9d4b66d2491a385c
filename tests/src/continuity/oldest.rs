//! The oldest version that this one can take over from, and can hand over to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};

use crate::binary::{self, target_dir};
use crate::skip;

/// The commit of that version. When messages or records change so that it cannot be served any
/// more, this is set to the commit of the change.
const OLDEST: &str = "93e9182eebfe20c4d3f2985344b2b2d5d6332b20";

/// Builds it from the repository's history, unless an earlier run has. `None` where there is no
/// history, as in a package.
#[must_use]
pub fn oldest_program() -> Option<PathBuf> {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let known = Command::new("git")
        .current_dir(repository)
        .args(["cat-file", "-e", &format!("{OLDEST}^{{commit}}")])
        .stderr(Stdio::null())
        .status();
    if !known.is_ok_and(|status| status.success()) {
        skip("history", &format!("there is no repository that has {OLDEST}"));
        return None;
    }
    let place = target_dir().join("oldest");
    fs::create_dir_all(&place).unwrap();
    let lock = File::create(place.join("lock")).unwrap();
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
    let source = place.join(OLDEST);
    // Written last: a source without it is one whose unpacking was cut short.
    let complete = source.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&source);
        fs::create_dir(&source).unwrap();
        let mut archive = Command::new("git")
            .current_dir(repository)
            .args(["archive", OLDEST])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let unpacked = Command::new("tar")
            .arg("-x")
            .current_dir(&source)
            .stdin(archive.stdout.take().expect("it is a pipe"))
            .status()
            .unwrap();
        assert!(
            archive.wait().unwrap().success() && unpacked.success(),
            "{OLDEST} is not unpacked"
        );
        fs::write(complete, "").unwrap();
    }
    Some(binary::build("papad", &source, &place.join("target"), &[]))
}
