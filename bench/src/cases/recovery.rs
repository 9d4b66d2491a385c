//! How long there is no answer when the server was killed.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::lines::Lines;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// The parts of all processes that are hosted when the server is killed: 1/4, 1/2, 1.
const PARTS: [usize; 3] = [4, 2, 1];

/// The server is killed, and a client that connects at that moment gets its first answer.
pub(crate) struct Recovery {
    pub(crate) hosted: usize,
}

impl Case for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn lines(&self) -> Vec<Line> {
        let line = |part| {
            let hosted = count((self.hosted / part) as f64);
            let line = Line::new(format!("kill to first answer, {hosted} hosted"), Unit::Seconds);
            if part == 1 { line.bound(Bound::AtMost(1.0)) } else { line }
        };
        // Linear, and a tenth for chance.
        let linear = Line::new("the most against the fewest, for each process", Unit::Ratio)
            .bound(Bound::AtMost(1.1));
        PARTS.into_iter().map(line).chain([linear]).collect()
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        ensure!(subject == Subject::Papad, "{subject} has no part in this");
        let papad = setting.papad()?;
        let mut hosted = 0;
        let mut figures = Vec::new();
        for part in PARTS {
            papad.host_quiet(hosted..self.hosted / part)?;
            hosted = self.hosted / part;
            papad.kill_server()?;
            let killed = Instant::now();
            Lines::exact(papad.port())?.ask(&format!("list processes quiet.{}\n", hosted - 1))?;
            figures.push(super::since(killed));
        }
        let linear = figures[2] / figures[0] / PARTS[0] as f64;
        figures.push(linear);
        Ok(all(figures))
    }
}
