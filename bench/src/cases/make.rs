//! How fast processes are made.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::case::{Bound, Case, Figure, Line};
use crate::papad::Papad;
use crate::references::papa::Papa;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// Made before those that have ended are removed, which is not timed: each has a descriptor until
/// then.
const AT_ONCE: usize = 200;

/// papa is so much slower, and nobody wants to wait.
const FEWER_FOR_PAPA: usize = 10;

/// `/bin/true` is made over and over, each time when the reply to the one before has come.
pub(crate) struct Make {
    pub(crate) count: usize,
    /// How many others papad hosts the second time.
    pub(crate) hosted: usize,
}

impl Case for Make {
    fn name(&self) -> &'static str {
        "make"
    }

    fn lines(&self) -> Vec<Line> {
        let hosted = count(self.hosted as f64);
        let line = |what: String| {
            let line = Line::new(what, Unit::PerSecond);
            line.against(Subject::SpawnLoop, Bound::AtLeast(0.85))
        };
        vec![
            line("make process, none hosted".into()).against(Subject::Papa, Bound::AtLeast(6.0)),
            line(format!("make process, {hosted} hosted")),
            Line::new(format!("make process, {hosted} hosted, against none"), Unit::Ratio)
                .bound(Bound::AtLeast(0.95)),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let rates = match subject {
            Subject::Papad => {
                let papad = setting.papad()?;
                let none = self.papad(&papad)?;
                papad.host_quiet(0..self.hosted)?;
                let many = self.papad(&papad)?;
                [Some(none), Some(many), Some(many / none)]
            }
            Subject::SpawnLoop => {
                let rate = self.spawn_loop(setting)?;
                [Some(rate), Some(rate), None]
            }
            Subject::Papa => [Some(self.papa()?), None, None],
            _ => bail!("{subject} has no part in this"),
        };
        Ok(rates.map(|rate| rate.map(Figure::from)).into())
    }
}

impl Make {
    fn papad(&self, papad: &Papad) -> Result<f64> {
        let papa = papad.papa()?;
        let mut seconds = 0.0;
        let mut made = 0;
        while made < self.count {
            let now = AT_ONCE.min(self.count - made);
            let began = Instant::now();
            for number in 0..now {
                papa.process(format!("made.{number}"), "/bin/true").env_clear().make()?;
            }
            seconds += super::since(began);
            super::wait_for_ends(&papa, "made.*", now)?;
            made += now;
        }
        Ok(made as f64 / seconds)
    }

    fn spawn_loop(&self, setting: &Setting) -> Result<f64> {
        let command: &mut Command = &mut setting.role(["spawn-loop", &self.count.to_string()]);
        let output = command.output()?;
        let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse().context("a time")?;
        Ok(self.count as f64 / seconds)
    }

    fn papa(&self) -> Result<f64> {
        let papa = Papa::start()?;
        let mut session = papa.session()?;
        let count = (self.count / FEWER_FOR_PAPA).max(1);
        let began = Instant::now();
        for number in 0..count {
            session.ask(&format!("make process made.{number} /bin/true"))?;
        }
        Ok(count as f64 / super::since(began))
    }
}
