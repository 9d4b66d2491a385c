//! Mozilla's papa 1.0.6.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::started::{Started, free_port};
use crate::lines::Lines;
use crate::{procfs, waiting};

/// What ends each reply of papa's.
const PROMPT: &str = "\n> ";

/// What ends each batch of a watch.
const BATCH: &str = "\n] ";

/// A running papa.
#[derive(Debug)]
pub(crate) struct Papa {
    process: Started,
    port: u16,
}

impl Papa {
    pub(crate) fn start() -> Result<Self> {
        let program = program().context("papa is not installed")?;
        let port = free_port()?;
        let process = Started::new(Command::new(program).arg("--port").arg(port.to_string()))?;
        waiting::until("papa answers", || Ok(Lines::connect(port).ok()))?;
        Ok(Self { process, port })
    }

    pub(crate) fn session(&self) -> Result<PapaSession> {
        let mut lines = Lines::connect(self.port)?;
        lines.read_until("> ")?;
        Ok(PapaSession { lines })
    }

    pub(crate) fn memory(&self) -> Result<f64> {
        procfs::memory(self.process.pid())
    }

    pub(crate) fn threads(&self) -> Result<(usize, u64)> {
        procfs::threads(self.process.pid())
    }
}

/// A session of papa 1.0.
#[derive(Debug)]
pub(crate) struct PapaSession {
    lines: Lines,
}

impl PapaSession {
    /// The reply to a request.
    pub(crate) fn ask(&mut self, request: &str) -> Result<String> {
        self.lines.send(&format!("{request}\n"))?;
        let reply = self.lines.read_until(PROMPT)?;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        anyhow::ensure!(!reply.starts_with("Error"), "{request}: {reply}");
        Ok(reply)
    }

    /// Begins a watch.
    pub(crate) fn watch(&mut self, name: &str) -> Result<()> {
        self.lines.send(&format!("watch processes {name}\n"))?;
        self.lines.line()?;
        Ok(())
    }

    /// The next batch of a watch.
    pub(crate) fn batch(&mut self) -> Result<Vec<u8>> {
        self.lines.read_until(BATCH)
    }

    /// Acknowledges it.
    pub(crate) fn acknowledge(&mut self) -> Result<()> {
        self.lines.send("\n")
    }
}

/// papa's program: in the virtual environment that the tests have made, or on the search path.
fn program() -> Option<PathBuf> {
    let runs = |papa: &PathBuf| {
        let mut command = Command::new(papa);
        command.arg("--help").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let environment = environment().map(|it| it.join("bin/papa"));
    environment.into_iter().chain(super::found("papa")).find(runs)
}

/// The virtual environment below the target directory, which this program is in, too.
fn environment() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.ancestors().nth(2)?.join("python-venv"))
}

pub(crate) fn missing() -> Option<String> {
    if program().is_some() {
        return None;
    }
    let environment = environment().unwrap_or_default();
    let at = environment.display();
    Some(format!("not installed; python3 -m venv {at} && {at}/bin/pip install papa==1.0.6"))
}
