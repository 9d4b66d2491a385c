//! A process writes, and nobody reads.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::references::papa::Papa;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::Unit;

/// One process writes as fast as it can, and what it writes is kept, the newest of it.
pub(crate) struct Capture {
    /// How much it writes.
    pub(crate) bytes: u64,
}

impl Case for Capture {
    fn name(&self) -> &'static str {
        "capture"
    }

    fn lines(&self) -> Vec<Line> {
        vec![
            Line::new("a process writes, nobody reads", Unit::BytesPerSecond)
                .against(Subject::ReadLoop, Bound::AtLeast(0.9))
                .against(Subject::Papa, Bound::AtLeast(1.2)),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let seconds = match subject {
            Subject::Papad => self.papad(setting)?,
            Subject::ReadLoop => self.read_loop(setting)?,
            Subject::Papa => self.papa(setting)?,
            _ => bail!("{subject} has no part in this"),
        };
        Ok(all([self.bytes as f64 / seconds]))
    }
}

impl Capture {
    fn papad(&self, setting: &Setting) -> Result<f64> {
        let papad = setting.papad()?;
        let papa = papad.papa()?;
        let began = Instant::now();
        papa.process("flood", setting.own()).args(super::flood(self.bytes)).env_clear().make()?;
        super::wait_for_ends(&papa, "flood", 1)?;
        Ok(super::since(began))
    }

    fn read_loop(&self, setting: &Setting) -> Result<f64> {
        let own = setting.own().as_os_str();
        let mut command = setting.role(["read-loop"]);
        super::time(command.arg(own).args(super::flood(self.bytes)))
    }

    fn papa(&self, setting: &Setting) -> Result<f64> {
        let papa = Papa::start()?;
        let mut session = papa.session()?;
        let own = setting.own().display();
        let began = Instant::now();
        session.ask(&format!("make process flood {own} role flood {}", self.bytes))?;
        while !session.ask("list processes flood")?.contains("running=False") {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(super::since(began))
    }
}
