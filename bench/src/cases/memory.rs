//! Memory: of papad itself, and for each process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::case::{Bound, Case, Figure, Line};
use crate::papad::QUIET;
use crate::procfs;
use crate::references::papa::Papa;
use crate::references::s6::S6;
use crate::references::supervisord::Supervisord;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// The share of papad's processes for which the bare pipes and files are made: one process has
/// fewer descriptors than papad's two.
const FEWER_BARE: usize = 2;

/// What papad's processes take, without what the hosted programs themselves take.
pub(crate) struct Memory {
    /// Processes that papad hosts.
    pub(crate) hosted: usize,
    /// Processes that the references host.
    pub(crate) hosted_by_papa: usize,
}

impl Case for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn lines(&self) -> Vec<Line> {
        let hosted = count(self.hosted as f64);
        vec![
            Line::new("memory, hosting nothing", Unit::Bytes)
                .bound(Bound::AtMost(4e6))
                .beside(Subject::Papa)
                .beside(Subject::Supervisord),
            Line::new(format!("memory, after {hosted} have come and gone"), Unit::Bytes)
                .bound(Bound::AtMost(4e6))
                .beside(Subject::Papa),
            Line::new("each quiet process, user space", Unit::Bytes)
                .bound(Bound::AtMost(2e3))
                .beside(Subject::Papa)
                .beside(Subject::S6)
                .beside(Subject::Supervisord),
            Line::new("each quiet process, with the kernel's memory", Unit::Bytes)
                .bound(Bound::AtMost(2e3))
                .beside(Subject::Kernel),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let few = self.hosted_by_papa;
        let figures = match subject {
            Subject::Papad => {
                let [empty, after, each, with_kernel] = self.papad(setting)?;
                [Some(empty), Some(after), Some(each), believable(with_kernel)]
            }
            Subject::Kernel => [None, None, None, believable(self.kernel(setting)?)],
            Subject::Papa => {
                let [empty, after, each] = self.papa()?;
                [Some(empty), Some(after), Some(each), None]
            }
            Subject::S6 => [None, None, Some(S6::start(few)?.memory()? / few as f64), None],
            Subject::Supervisord => {
                let empty = Supervisord::start(0)?.memory()?;
                let each = (Supervisord::start(few)?.memory()? - empty) / few as f64;
                [Some(empty), None, Some(each), None]
            }
            _ => bail!("{subject} has no part in this"),
        };
        Ok(figures.map(|figure| figure.map(Figure::from)).into())
    }
}

/// What was taken of the machine's free memory, if it was anything: where the kernel moves memory
/// about by itself, as DAMON does, there may be more of it free afterwards.
fn believable(taken: f64) -> Option<f64> {
    Some(taken).filter(|taken| *taken > 0.0)
}

impl Memory {
    fn papad(&self, setting: &Setting) -> Result<[f64; 4]> {
        let each = |memory: f64| memory / self.hosted as f64;
        let by_themselves = self.by_themselves()?;
        let papad = setting.papad()?;
        let empty = papad.memory()?;
        let available = procfs::memory_available()?;
        papad.host_quiet(0..self.hosted)?;
        let user_space = papad.memory()? - empty;
        let taken = available - procfs::memory_available()?;
        papad.kill_hosted()?;
        let after = papad.memory()?;
        Ok([empty, after, each(user_space), each(taken - by_themselves)])
    }

    /// What the hosted programs take of the machine's memory when nobody hosts them.
    fn by_themselves(&self) -> Result<f64> {
        let available = procfs::memory_available()?;
        let mut children = Vec::new();
        for _ in 0..self.hosted {
            let mut command = Command::new(QUIET[0]);
            command.arg(QUIET[1]).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
            children.push(command.spawn()?);
        }
        let taken = available - procfs::memory_available()?;
        for child in &mut children {
            child.kill()?;
        }
        for child in &mut children {
            child.wait()?;
        }
        Ok(taken)
    }

    fn kernel(&self, setting: &Setting) -> Result<f64> {
        let count = self.hosted / FEWER_BARE;
        let available = procfs::memory_available()?;
        let mut command = setting.role(["hold-pipes", &count.to_string()]);
        let mut child: Child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut said)?;
        let taken = available - procfs::memory_available()?;
        let own = procfs::memory(child.id() as i32)?;
        // Waiting closes its standard input, which it waits for.
        child.wait()?;
        Ok((taken - own) / count as f64)
    }

    fn papa(&self) -> Result<[f64; 3]> {
        let papa = Papa::start()?;
        let empty = papa.memory()?;
        let mut session = papa.session()?;
        for number in 0..self.hosted_by_papa {
            session.ask(&format!("make process quiet.{number} {}", QUIET.join(" ")))?;
        }
        let each = (papa.memory()? - empty) / self.hosted_by_papa as f64;
        session.ask("remove processes *")?;
        Ok([empty, papa.memory()?, each])
    }
}
