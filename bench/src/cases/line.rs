//! How long a line is on its way.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use anyhow::{Result, bail, ensure};
use papa_client::Event;

use crate::case::{Bound, Case, Figure, Line, all};
use crate::papad::QUIET;
use crate::references::papa::Papa;
use crate::roles::writing::{Start, ages};
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// A process writes a line every millisecond, and each line says when it was written; others write
/// nothing meanwhile.
pub(crate) struct LinesWay {
    pub(crate) lines: usize,
    /// How many others there are the second time. The first time there is one.
    pub(crate) quiet: usize,
}

impl Case for LinesWay {
    fn name(&self) -> &'static str {
        "line"
    }

    fn lines(&self) -> Vec<Line> {
        let many = count(self.quiet as f64);
        let line = |what: String| {
            Line::new(what, Unit::Seconds).against(Subject::Relay, Bound::AtMost(1.5))
        };
        let beside_papa =
            |what: &str| line(what.into()).against(Subject::Papa, Bound::AtMost(1.0 / 300.0));
        vec![
            beside_papa("a line's way to its watcher, p50, 1 other process"),
            beside_papa("a line's way to its watcher, p99, 1 other process"),
            line(format!("a line's way to its watcher, p50, {many} others")),
            line(format!("a line's way to its watcher, p99, {many} others")),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let mut figures = Vec::new();
        // papa waits by select(2), and so has no way to read a pipe whose number is above 1023.
        let others: &[usize] = if subject == Subject::Papa { &[1] } else { &[1, self.quiet] };
        for &quiet in others {
            let mut ages = match subject {
                Subject::Papad => self.papad(setting, quiet)?,
                Subject::Relay => self.relay(setting, quiet)?,
                Subject::Papa => self.papa(setting, quiet)?,
                _ => bail!("{subject} has no part in this"),
            };
            // papa loses one now and then.
            let is_all = ages.len() == self.lines || subject == Subject::Papa && !ages.is_empty();
            ensure!(is_all, "{} lines came, not {}", ages.len(), self.lines);
            ages.sort_by(f64::total_cmp);
            figures.extend([ages[ages.len() / 2], ages[ages.len() * 99 / 100]]);
        }
        Ok(all(figures))
    }
}

impl LinesWay {
    fn papad(&self, setting: &Setting, quiet: usize) -> Result<Vec<f64>> {
        let start = Start::new()?;
        let papad = setting.papad()?;
        papad.host_quiet(0..quiet)?;
        let papa = papad.papa()?;
        papa.process("line", setting.own())
            .args(["role", "stamp", &self.lines.to_string()])
            .arg(start.path())
            .env_clear()
            .make()?;
        let watcher = papa.watch(["line"]).start()?;
        let _released = start.release()?;
        let (mut output, mut all) = (Vec::new(), Vec::new());
        for batch in watcher {
            let batch = batch?;
            for event in &batch {
                if let Event::Output { bytes, .. } = event {
                    output.extend_from_slice(bytes);
                }
            }
            all.extend(ages(&mut output)?);
            batch.acknowledge();
        }
        Ok(all)
    }

    fn relay(&self, setting: &Setting, quiet: usize) -> Result<Vec<f64>> {
        let start = Start::new()?;
        let _quiet = Quiet::start(quiet)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port().to_string();
        let own = setting.own().as_os_str();
        let mut command = setting.role(["relay", &port]);
        command.arg(own).args(["role", "stamp", &self.lines.to_string()]).arg(start.path());
        let mut relay = command.spawn()?;
        let (mut connection, _) = listener.accept()?;
        let _released = start.release()?;
        let (mut output, mut all) = (Vec::new(), Vec::new());
        let mut block = [0; 4096];
        loop {
            match connection.read(&mut block)? {
                0 => break,
                count => output.extend_from_slice(&block[..count]),
            }
            all.extend(ages(&mut output)?);
        }
        relay.wait()?;
        Ok(all)
    }

    fn papa(&self, setting: &Setting, quiet: usize) -> Result<Vec<f64>> {
        let start = Start::new()?;
        let papa = Papa::start()?;
        let mut session = papa.session()?;
        for number in 0..quiet {
            session.ask(&format!("make process quiet.{number} {}", QUIET.join(" ")))?;
        }
        let (own, lines, path) = (setting.own().display(), self.lines, start.path().display());
        session.ask(&format!("make process line {own} role stamp {lines} {path}"))?;
        session.watch("line")?;
        let _released = start.release()?;
        let mut all = Vec::new();
        loop {
            // Lines are whole here: each was one write(2), and papa reads 64 KiB at a time.
            let mut batch = session.batch()?;
            let is_last = String::from_utf8_lossy(&batch).contains("closed:line:");
            all.extend(ages(&mut batch)?);
            session.acknowledge()?;
            if is_last {
                return Ok(all);
            }
        }
    }
}

/// Processes that do nothing, killed when dropped.
struct Quiet(Vec<Child>);

impl Quiet {
    fn start(count: usize) -> Result<Self> {
        let mut started = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(QUIET[0]);
            started.0.push(command.arg(QUIET[1]).stdin(Stdio::null()).spawn()?);
        }
        Ok(started)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
