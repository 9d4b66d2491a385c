//! Many processes write many small lines.

use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::roles::writing::{READY, Start};
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};
use crate::waiting;

/// Processes start writing at the same moment, each line by a write(2) of its own, and nobody reads.
pub(crate) struct ManyLines {
    pub(crate) writers: usize,
    /// Lines that each of them writes.
    pub(crate) lines: usize,
}

impl Case for ManyLines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn lines(&self) -> Vec<Line> {
        let writers = count(self.writers as f64);
        vec![
            Line::new(format!("lines of 100 bytes, {writers} processes at once"), Unit::PerSecond)
                .against(Subject::EpollLoop, Bound::AtLeast(0.8)),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let start = Start::new()?;
        let seconds = match subject {
            Subject::Papad => self.papad(setting, &start)?,
            Subject::EpollLoop => self.epoll_loop(setting, &start)?,
            _ => bail!("{subject} has no part in this"),
        };
        Ok(all([(self.writers * self.lines) as f64 / seconds]))
    }
}

impl ManyLines {
    fn papad(&self, setting: &Setting, start: &Start) -> Result<f64> {
        let papad = setting.papad()?;
        let papa = papad.papa()?;
        for number in 0..self.writers {
            papa.process(format!("writer.{number}"), setting.own())
                .args(["role", "burst", &self.lines.to_string()])
                .arg(start.path())
                .env_clear()
                .make()?;
        }
        waiting::until("all writers are ready", || {
            let ready = |it: &papa_client::ProcessInfo| it.next >= READY.len() as u64;
            Ok(papa.processes("*")?.iter().all(ready).then_some(()))
        })?;
        let began = Instant::now();
        let _released = start.release()?;
        super::wait_for_ends(&papa, "writer.*", self.writers)?;
        Ok(super::since(began))
    }

    fn epoll_loop(&self, setting: &Setting, start: &Start) -> Result<f64> {
        let writers = self.writers.to_string();
        let mut command = setting.role(["epoll-loop", &writers]);
        let own = setting.own().as_os_str();
        command.arg(own).args(["role", "burst", &self.lines.to_string()]).arg(start.path());
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut ready = [0; READY.len()];
        child.stdout.as_mut().context("no pipe")?.read_exact(&mut ready)?;
        let began = Instant::now();
        let _released = start.release()?;
        let status = child.wait()?;
        ensure!(status.success(), "the loop has ended with {status}");
        Ok(super::since(began))
    }
}
