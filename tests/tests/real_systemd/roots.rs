//! The Debian systems that are booted, and whether this machine can boot them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, os::unix::fs::PermissionsExt};

use nix::unistd::Uid;
use papad_tests::{ScratchDir, papactl_program, papad_program, target_dir};

/// What boots a system. The arguments of `sh -c` are those of [`mount_arguments`].
///
/// All is mounted in a mount namespace of its own, which goes away with its last process, so that
/// nothing is left to be unmounted. systemd-nspawn gives a system the control groups it finds at
/// /sys/fs/cgroup; there may be version 1 on this machine.
pub(crate) const MOUNT: &str = r#"set -e
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
"#;

/// A release of Debian whose system lies in a directory.
#[derive(Clone)]
pub(crate) struct Root {
    pub(crate) release: &'static str,
    /// The version of its systemd.
    pub(crate) systemd: u32,
}

/// The releases that are tested with.
pub(crate) const ROOTS: [Root; 2] =
    [Root { release: "bookworm", systemd: 252 }, Root { release: "trixie", systemd: 257 }];

impl Root {
    /// Where the system lies.
    fn path(&self) -> PathBuf {
        env::var_os("PAPAD_ROOTS")
            .map_or_else(|| target_dir().join("roots"), PathBuf::from)
            .join(self.release)
    }

    /// Why this system cannot be booted here, if it cannot.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if !Uid::effective().is_root() {
            return Some("only root may boot a system".to_owned());
        }
        if Command::new("systemd-nspawn").arg("--version").output().is_err() {
            return Some("there is no systemd-nspawn (Debian: systemd-container)".to_owned());
        }
        if !self.path().is_dir() {
            return Some(format!("there is no {}: run tests/roots/make", self.path().display()));
        }
        let groups = match cgroups() {
            Some(groups) => groups.join("papad-test-probe"),
            None => return Some("no cgroup2 is mounted".to_owned()),
        };
        if let Err(error) = fs::create_dir_all(&groups).and_then(|()| fs::remove_dir(&groups)) {
            return Some(format!("no control group can be made: {error}"));
        }
        let scratch = ScratchDir::new();
        let mounted = mounting(self, &scratch, MOUNT).output().ok()?;
        (!mounted.status.success()).then(|| {
            format!("nothing can be mounted: {}", String::from_utf8_lossy(&mounted.stderr).trim())
        })
    }
}

/// See [`installed`].
static INSTALLED: OnceLock<ScratchDir> = OnceLock::new();

/// Runs a shell script, which begins with [`MOUNT`], in namespaces of its own: of mounts, and of
/// pids, so that all of it is killed when the thread that calls this ends. What is written to the
/// system goes to `scratch`, and is there the next time.
pub(crate) fn mounting(root: &Root, scratch: &ScratchDir, script: &str) -> Command {
    for layer in ["upper", "work", "root"] {
        fs::create_dir_all(scratch.join(layer)).unwrap();
    }
    let layers = format!("{}:{}", installed().path().display(), root.path().display());
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]);
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"]);
    command.arg(layers).arg(scratch.path());
    command
}

/// A layer above each system, with what a user installs: the programs and the units.
fn installed() -> &'static ScratchDir {
    INSTALLED.get_or_init(|| {
        let layer = ScratchDir::new();
        let install = |file: &Path, place: String, mode| {
            let place = layer.path().join(place);
            fs::create_dir_all(place.parent().expect("it is in a directory")).unwrap();
            fs::copy(file, &place).unwrap();
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
        };
        install(papad_program(), "usr/local/bin/papad".to_owned(), 0o755);
        install(papactl_program(), "usr/local/bin/papactl".to_owned(), 0o755);
        let packaging = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging");
        for file in fs::read_dir(packaging).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|kind| kind == "service" || kind == "socket") {
                let name = file.file_name().expect("a file has a name").display();
                install(&file, format!("etc/systemd/system/{name}"), 0o644);
            }
        }
        layer
    })
}

/// Removes the layer of [`installed`], at the end of all tests: nothing drops a static.
pub(crate) fn remove_installed() {
    if let Some(layer) = INSTALLED.get() {
        let _ = fs::remove_dir_all(layer.path());
    }
}

/// Where this machine's control groups of version 2 are mounted.
pub(crate) fn cgroups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let is_cgroup2 = |line: &&str| line.split(' ').nth(2) == Some("cgroup2");
    Some(mounts.lines().find(is_cgroup2)?.split(' ').nth(1)?.into())
}
