//! A papad that is measured: started, and killed with all that it hosts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, str};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papa_client::{Endpoint, Papa};

use crate::lines::Lines;
use crate::scratch::Scratch;
use crate::{procfs, waiting};

/// Requests that are under way at once where many processes are made.
const IN_FLIGHT: usize = 100;

/// What a quiet process is.
pub(crate) const QUIET: [&str; 2] = ["/bin/sleep", "1000000"];

/// Bounds of papad's own that are not what is measured.
const BOUNDS: [&str; 5] = [
    "--max-processes=1000000",
    "--max-sessions=1000000",
    "--max-sockets=1000000",
    "--max-values=1000000",
    "--max-values-total=1g",
];

/// A running papad.
#[derive(Debug)]
pub(crate) struct Papad {
    keeper: Child,
    port: u16,
    _scratch: Scratch,
}

impl Papad {
    /// Starts it, and returns when it answers.
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        // A copy, so that an upgrade finds a program where this one was started from.
        let copy = scratch.join("papad");
        fs::copy(program, &copy).with_context(|| program.display().to_string())?;
        let log = scratch.join("log");
        let keeper = Command::new(copy)
            .args(["--port", "0"])
            .args(BOUNDS)
            .stdin(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut papad = Self { keeper, port: 0, _scratch: scratch };
        papad.port = waiting::until("papad says its port", || {
            let text = fs::read_to_string(&log)?;
            let said = text.lines().find_map(|it| it.split_once("listening on 127.0.0.1:"));
            Ok(said.and_then(|(_, port)| port.trim().parse().ok()))
        })?;
        Lines::exact(papad.port)?;
        Ok(papad)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A manager's connection.
    pub(crate) fn papa(&self) -> Result<Papa> {
        Ok(Papa::connect(&Endpoint::tcp(self.port))?)
    }

    /// Its two processes.
    pub(crate) fn processes(&self) -> Result<[i32; 2]> {
        Ok([self.keeper.id() as i32, self.papa()?.status()?.server])
    }

    /// The memory of both.
    pub(crate) fn memory(&self) -> Result<f64> {
        self.processes()?.into_iter().map(procfs::memory).sum()
    }

    /// Kills its server.
    pub(crate) fn kill_server(&self) -> Result<()> {
        let [_, server] = self.processes()?;
        Ok(kill(Pid::from_raw(server), Signal::SIGKILL)?)
    }

    /// Has it host quiet processes with recorded output, as many as `numbers` counts.
    pub(crate) fn host_quiet(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let [program, argument] = QUIET;
        let numbers: Vec<usize> = numbers.collect();
        let mut lines = Lines::exact(self.port)?;
        for some in numbers.chunks(IN_FLIGHT) {
            let request = |n: &usize| {
                format!("make process quiet.{n} stderr=stdout -- {program} {argument}\n")
            };
            lines.send(&some.iter().map(request).collect::<String>())?;
            for _ in some {
                lines.answer()?;
            }
        }
        Ok(())
    }

    /// Everything that it hosts.
    fn hosted(&self) -> Result<Vec<i32>> {
        let [keeper, server] = self.processes()?;
        Ok(procfs::children(keeper)?.into_iter().filter(|child| *child != server).collect())
    }

    /// Kills everything that it hosts, and waits until its list is empty.
    pub(crate) fn kill_hosted(&self) -> Result<()> {
        for pid in self.hosted()? {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let papa = self.papa()?;
        papa.remove_processes("*")?;
        waiting::until(
            "papad's list is empty",
            || Ok((papa.status()?.processes == 0).then_some(())),
        )
    }
}

impl Drop for Papad {
    fn drop(&mut self) {
        let keeper = Pid::from_raw(self.keeper.id() as i32);
        // Stopped, it starts no other server, and remains the parent of all until they are gone. The
        // first time its server may still be making some.
        let _ = kill(keeper, Signal::SIGSTOP);
        while let Ok(children) = procfs::children(keeper.as_raw()) {
            if children.is_empty() {
                break;
            }
            for child in &children {
                let _ = kill(Pid::from_raw(*child), Signal::SIGKILL);
            }
            let _ = procfs::wait_until_gone(&children);
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// The papad to measure: that of the environment's `PAPAD_BIN`, or else built from this workspace.
pub(crate) fn program() -> Result<PathBuf> {
    if let Some(program) = env::var_os("PAPAD_BIN") {
        return Ok(program.into());
    }
    // This program is `TARGET/PROFILE/bench`.
    let own = env::current_exe()?;
    let target = own.ancestors().nth(2).context("no target directory")?;
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--release", "--package", "papad", "--target-dir"])
        .arg(target)
        .stdin(Stdio::null())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "papad does not build: {}", text(&output.stderr));
    let program = target.join("release/papad");
    if !program.is_file() {
        bail!("{} is not there", program.display());
    }
    Ok(program)
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or("(no UTF-8)")
}
