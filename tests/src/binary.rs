//! Where the papad under test comes from.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The workspace that this test belongs to.
const THIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Which papad.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    /// What users get. The environment's `PAPAD_BIN` names another one to test instead.
    Plain,
    /// With the features that tests need, `kill-points` and `faults`, in a target directory of its
    /// own so that the two builds do not replace each other.
    ForTests,
}

impl Build {
    /// The program's path. The first caller in a test run builds it, the others wait.
    pub(crate) fn path(self) -> &'static Path {
        static PLAIN: OnceLock<PathBuf> = OnceLock::new();
        static FOR_TESTS: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Self::Plain => PLAIN.get_or_init(|| {
                env::var_os("PAPAD_BIN").map_or_else(
                    || build("papad", Path::new(THIS), &target_dir(), &[]),
                    PathBuf::from,
                )
            }),
            Self::ForTests => FOR_TESTS.get_or_init(|| {
                let target = target_dir().join("for-tests");
                build("papad", Path::new(THIS), &target, &["--features", "kill-points,faults"])
            }),
        }
    }
}

/// The program that users get.
#[must_use]
pub fn papad_program() -> &'static Path {
    Build::Plain.path()
}

/// The command line that users get.
#[must_use]
pub fn papactl_program() -> &'static Path {
    static PAPACTL: OnceLock<PathBuf> = OnceLock::new();
    PAPACTL.get_or_init(|| build("papactl", Path::new(THIS), &target_dir(), &[]))
}

/// Copies a program. A process of its own writes the file: one that this process had open for
/// writing while another thread of it forks could not be run (`ETXTBSY`).
pub fn copy_program(from: &Path, to: impl AsRef<Path>) {
    let status = Command::new("cp").arg(from).arg(to.as_ref()).status().unwrap();
    assert!(status.success(), "{} is not copied: {status}", from.display());
}

/// The target directory that this test was built into.
#[must_use]
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("a profile's directory has a parent").to_owned()
}

/// `TARGET/debug` or the like: tests run from `TARGET/PROFILE/deps/TEST`.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.ancestors().nth(2).expect("a test lies in a profile's directory").to_owned()
}

/// Builds a program of a workspace.
pub(crate) fn build(program: &str, workspace: &Path, target_dir: &Path, more: &[&str]) -> PathBuf {
    let directory = profile_dir().file_name().expect("a profile has a name").to_owned();
    // cargo's one exception: what the profile `dev` builds goes into `debug`.
    let profile = if directory == "debug" { OsString::from("dev") } else { directory.clone() };
    let status = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(workspace)
        .args(["build", "--quiet", "-p", program, "--target-dir"])
        .arg(target_dir)
        .arg("--profile")
        .arg(profile)
        .args(more)
        .status()
        .unwrap();
    assert!(status.success(), "{program} does not build: {status}");
    target_dir.join(directory).join(program)
}
