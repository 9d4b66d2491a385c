//! Names the commit that papad is built from, where that can be told.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Digits of a commit: enough to be one commit's alone.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    if let Some(commit) = of_package(&package).or_else(|| of_repository(&package)) {
        println!("cargo::rustc-env=PAPAD_COMMIT={}", commit.get(..DIGITS).unwrap_or(&commit));
    }
}

/// What cargo has written into a published package.
fn of_package(package: &Path) -> Option<String> {
    let info = fs::read_to_string(package.join(".cargo_vcs_info.json")).ok()?;
    let (_, after) = info.split_once("\"sha1\": \"")?;
    let (commit, _) = after.split_once('"')?;
    is_commit(commit).then(|| commit.to_owned())
}

/// What git says of the repository whose member this package is: not of one that has it among other
/// things.
fn of_repository(package: &Path) -> Option<String> {
    let repository = package.parent()?.canonicalize().ok()?;
    let root = git(&repository, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&root).canonicalize().ok()? != repository {
        return None;
    }
    // It changes whenever another commit is checked out or made.
    for file in ["HEAD", "logs/HEAD"] {
        let path = repository.join(git(&repository, &["rev-parse", "--git-path", file])?);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(&repository, &["rev-parse", "HEAD"]).filter(|commit| is_commit(commit))
}

fn is_commit(text: &str) -> bool {
    text.len() >= DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What git prints, without the newline; `None` if there is no git, or it does not know.
fn git(directory: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim_end().to_owned())
}
