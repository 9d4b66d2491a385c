//! What happens while nothing happens.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::lines::Lines;
use crate::papad::QUIET;
use crate::procfs;
use crate::references::papa::{Papa, PapaSession};
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// For how long what was done before may still have an effect. papad puts the memory of a session
/// in order, and holds back a first batch, for 100 ms at most.
const SETTLING: Duration = Duration::from_millis(500);

/// Quiet processes are watched, each watcher watching one.
pub(crate) struct AtRest {
    pub(crate) processes: usize,
    pub(crate) watchers: usize,
    /// For how long.
    pub(crate) seconds: u64,
}

impl Case for AtRest {
    fn name(&self) -> &'static str {
        "rest"
    }

    fn lines(&self) -> Vec<Line> {
        let processes = count(self.processes as f64);
        let watchers = self.watchers;
        vec![
            Line::new(format!("threads, {processes} processes, {watchers} watchers"), Unit::Count)
                .beside(Subject::Papa),
            Line::new(format!("threads that {processes} processes add"), Unit::Count)
                .bound(Bound::AtMost(0.0))
                .beside(Subject::Papa),
            Line::new("wake-ups, nothing happening", Unit::PerSecond)
                .bound(Bound::AtMost(0.0))
                .beside(Subject::Papa),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        match subject {
            Subject::Papad => self.papad(setting),
            Subject::Papa => self.papa(),
            _ => bail!("{subject} has no part in this"),
        }
    }
}

impl AtRest {
    fn papad(&self, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let papad = setting.papad()?;
        let both = papad.processes()?;
        let look = || -> Result<(usize, u64)> {
            let parts = both.map(procfs::threads).into_iter().collect::<Result<Vec<_>>>()?;
            Ok(parts.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1)))
        };
        thread::sleep(SETTLING);
        let (before, _) = look()?;
        papad.host_quiet(0..self.processes)?;
        thread::sleep(SETTLING);
        let (hosting, _) = look()?;
        let mut watchers = Vec::new();
        for number in 0..self.watchers {
            let mut session = Lines::exact(papad.port())?;
            session.ask(&format!("watch quiet.{}\n", number % self.processes))?;
            watchers.push(session);
        }
        let figures = self.rest(look)?;
        Ok(all([figures.0, hosting as f64 - before as f64, figures.1]))
    }

    fn papa(&self) -> Result<Vec<Option<Figure>>> {
        let papa = Papa::start()?;
        let mut session = papa.session()?;
        let (before, _) = papa.threads()?;
        for number in 0..self.processes {
            session.ask(&format!("make process quiet.{number} {}", QUIET.join(" ")))?;
        }
        let (hosting, _) = papa.threads()?;
        let mut watchers: Vec<PapaSession> = Vec::new();
        for number in 0..self.watchers {
            let mut session = papa.session()?;
            session.watch(&format!("quiet.{}", number % self.processes))?;
            watchers.push(session);
        }
        let figures = self.rest(|| papa.threads())?;
        Ok(all([figures.0, hosting as f64 - before as f64, figures.1]))
    }

    /// The threads at the end, and wake-ups a second.
    fn rest(&self, look: impl Fn() -> Result<(usize, u64)>) -> Result<(f64, f64)> {
        thread::sleep(SETTLING);
        let (_, before) = look()?;
        thread::sleep(Duration::from_secs(self.seconds));
        let (threads, after) = look()?;
        Ok((threads as f64, (after - before) as f64 / self.seconds as f64))
    }
}
