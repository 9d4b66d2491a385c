//! How many there can be.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Figure, Line};
use crate::lines::Lines;
use crate::papad::{Papad, QUIET};
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::Unit;

/// Requests under way at once.
const IN_FLIGHT: usize = 100;

/// More and more of everything, until something gives or it is enough. What gives is told.
pub(crate) struct Scale {
    /// Values that are enough.
    pub(crate) values: usize,
    /// Sockets and processes that are enough.
    pub(crate) most: usize,
    /// Sessions that are enough.
    pub(crate) sessions: usize,
}

impl Case for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn lines(&self) -> Vec<Line> {
        let things = ["processes with recorded output", "sessions", "values", "sockets"];
        things.into_iter().map(|it| Line::new(format!("most {it}"), Unit::Count)).collect()
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        ensure!(subject == Subject::Papad, "{subject} has no part in this");
        let quiet = QUIET.join(" ");
        let process = |n| format!("make process quiet.{n} stderr=stdout -- {quiet}\n");
        let value = |n| format!("set value.{n} {n:0100}\n");
        let socket = |n| format!("make socket socket.{n}\n");
        Ok(vec![
            Some(most(&setting.papad()?, self.most, process)?),
            Some(self.sessions(setting)?),
            Some(most(&setting.papad()?, self.values, value)?),
            Some(most(&setting.papad()?, self.most, socket)?),
        ])
    }

    fn is_exact(&self) -> bool {
        true
    }
}

/// Makes something until papad refuses it, or there are so many.
fn most(papad: &Papad, enough: usize, request: impl Fn(usize) -> String) -> Result<Figure> {
    let mut session = Lines::exact(papad.port())?;
    let mut made = 0;
    while made < enough {
        let some = made..enough.min(made + IN_FLIGHT);
        session.send(&some.clone().map(&request).collect::<String>())?;
        let mut refusal = None;
        for _ in some {
            match session.answer() {
                Ok(_) => made += 1,
                Err(error) => refusal = refusal.or(Some(error.to_string())),
            }
        }
        if let Some(refusal) = refusal {
            return Ok(Figure { value: made as f64, note: Some(format!("then {refusal}")) });
        }
    }
    Ok(Figure { value: made as f64, note: Some("then this program had enough".into()) })
}

impl Scale {
    fn sessions(&self, setting: &Setting) -> Result<Figure> {
        let papad = setting.papad()?;
        let wanted = [self.sessions.to_string(), papad.port().to_string()];
        let mut command = setting.role(["hold-sessions", &wanted[0], &wanted[1]]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut said = String::new();
        BufReader::new(client.stdout.take().context("no pipe")?).read_line(&mut said)?;
        // Waiting closes its standard input, which it waits for.
        client.wait()?;
        let begun: usize = said.trim().parse().context("a count")?;
        let note = if begun < self.sessions {
            "then another was refused"
        } else {
            "then this program had enough"
        };
        Ok(Figure { value: begun as f64, note: Some(note.into()) })
    }
}
