//! What papad is held against, where that is a program of somebody else's.

pub(crate) mod papa;
pub(crate) mod redis;
pub(crate) mod s6;
mod started;
pub(crate) mod supervisord;

use std::env;
use std::path::PathBuf;

/// A program on the search path.
fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|it| it.join(program)).find(|it| it.is_file())
}

/// What is said of a Debian package that is not installed.
fn missing_package(program: &str, package: &str) -> Option<String> {
    found(program).is_none().then(|| format!("not installed; apt-get install {package}"))
}
