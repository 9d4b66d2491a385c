//! papa's own Python client, version 1.0.6, in a virtual environment under the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::fcntl::{Flock, FlockArg};

use crate::Papad;
use crate::binary::target_dir;

/// What is installed.
const REQUIREMENT: &str = "papa==1.0.6";

/// Runs `tests/python/SCRIPT` with papad's port as its only argument.
///
/// # Panics
/// When it fails, with everything it wrote.
pub fn run_python(papad: &Papad, script: &str) {
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/python"));
    run(Command::new(interpreter())
        .arg(scripts.join(script))
        .arg(papad.port().to_string())
        .current_dir(scripts)
        // No compiled files in the source tree.
        .env("PYTHONDONTWRITEBYTECODE", "1"));
}

/// The virtual environment's interpreter. The first caller makes the environment; the lock is for
/// the other test programs that may run at the same time.
fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let environment = target_dir().join("python-venv");
        let lock = File::create(environment.with_extension("lock")).unwrap();
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap();
        let interpreter = environment.join("bin/python");
        // Written last: an environment without it is one whose making was cut short.
        let complete = environment.join("complete");
        if fs::read_to_string(&complete).is_ok_and(|what| what == REQUIREMENT) {
            return interpreter;
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        run(Command::new(&interpreter).args(["-m", "pip", "install", "--quiet", REQUIREMENT]));
        fs::write(&complete, REQUIREMENT).unwrap();
        interpreter
    })
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
