//! A directory for one test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, io, process};

use crate::copy_program;

/// A new, empty directory that is removed when dropped. Any user may enter it, and its path is
/// short enough for the address of a Unix socket (108 bytes, unix(7)).
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Makes the directory.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it touches the file system")]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("papad-test-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // Left behind by a run that was killed, or in use by one in another pid namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in the directory, as text for a command line.
    #[must_use]
    pub fn join(&self, name: &str) -> String {
        self.path.join(name).to_str().expect("a scratch path is UTF-8").to_owned()
    }

    /// Writes an executable file and returns its path.
    #[must_use]
    pub fn program(&self, name: &str, contents: &str) -> String {
        let path = self.join(name);
        let text = format!("{path}.text");
        fs::write(&text, contents).unwrap();
        copy_program(text.as_ref(), &path);
        fs::remove_file(text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
