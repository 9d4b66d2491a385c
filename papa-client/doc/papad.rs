// A papad for one example, included by a hidden line of it: started at a path of its own, named
// in `PAPA_ENDPOINT`, and ended with all it hosts when the example is over. The program is that of
// the environment's `PAPAD_BIN`, or else built from this workspace.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use papa_client::{Endpoint, Papa};

/// A papad of one's own.
pub(crate) struct Papad {
    directory: PathBuf,
    keeper: Child,
}

#[allow(dead_code)]
impl Papad {
    /// Starts it, and has the environment say where it is. The example must have one thread yet.
    #[allow(unsafe_code, reason = "an example sets its own environment")]
    pub(crate) fn start() -> Self {
        let papad = Self::launch();
        // SAFETY: nobody reads the environment at the same time, since there is nobody else.
        unsafe { env::set_var("PAPA_ENDPOINT", papad.path()) };
        papad
    }

    /// Starts it.
    pub(crate) fn launch() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = env::temp_dir().join(format!("papa-doc-{}-{count}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new(program());
        command.arg("-u").arg(directory.join("papad")).stdin(Stdio::null()).stderr(Stdio::null());
        let papad = Self { keeper: command.spawn().unwrap(), directory };
        let until = Instant::now() + Duration::from_secs(20);
        while let Err(error) = Papa::connect(&Endpoint::unix(papad.path())) {
            assert!(Instant::now() < until, "papad does not answer: {error}");
            thread::sleep(Duration::from_millis(2));
        }
        papad
    }

    /// Where it listens.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join("papad")
    }

    /// Kills its server with SIGKILL. Another takes its place.
    pub(crate) fn kill_server(&self) {
        let keeper = self.keeper.id().to_string();
        let is_server = |pid: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name, the state and the parent's pid.
            stat.contains(&format!("(papad: server) S {keeper} "))
        };
        loop {
            let all = fs::read_dir("/proc").unwrap().flatten();
            let mut pids = all.filter_map(|entry| entry.file_name().into_string().ok());
            if let Some(server) = pids.find(|pid| is_server(pid)) {
                let _ = Command::new("/bin/sh").args(["-c", "kill -9 $0", &server]).status();
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// A directory that is there for as long as this papad is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Papad {
    fn drop(&mut self) {
        if let Ok(papa) = Papa::connect(&Endpoint::unix(self.path())) {
            for info in papa.processes("*").unwrap_or_default() {
                let process = papa.process_named(&info.name).ok().flatten();
                let _ = process.map(|process| process.kill());
            }
        }
        // A keeper that is killed its server would start again.
        let _ = Command::new("/bin/sh").args(["-c", "kill $0", &self.keeper.id().to_string()]).status();
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn program() -> PathBuf {
    if let Some(program) = env::var_os("PAPAD_BIN") {
        return program.into();
    }
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "-p", "papad"])
        .current_dir(&workspace)
        .status()
        .unwrap();
    assert!(status.success(), "papad does not build");
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // A relative one is relative to where cargo was run just now.
    workspace.join(target.unwrap_or_else(|| "target".into())).join("debug/papad")
}
