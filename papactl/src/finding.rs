//! What `status` and `doctor` find.

use std::fmt;

use anstyle::{AnsiColor, Style};
use schemars::JsonSchema;
use serde::Serialize;

/// How it is with one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "finding")]
pub(crate) struct Finding {
    /// What was looked at, in one word.
    pub(crate) check: &'static str,
    /// How it is: ok, warn or bad.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) what: String,
    /// What to do about it, if there is something to do.
    pub(crate) advice: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and may not always.
    Warn,
    /// Something does not work, or something is lost.
    Bad,
}

impl Finding {
    pub(crate) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), advice: None }
    }

    pub(crate) fn warn(check: &'static str, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, ..Self::ok(check, what) }
    }

    pub(crate) fn bad(check: &'static str, what: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::ok(check, what) }
    }

    /// Adds what to do about it.
    pub(crate) fn advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.verdict == Verdict::Ok
    }
}

/// One line; colours are taken out where they are not wanted.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, colour) = match self.verdict {
            Verdict::Ok => ("ok", AnsiColor::Green),
            Verdict::Warn => ("warn", AnsiColor::Yellow),
            Verdict::Bad => ("bad", AnsiColor::Red),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        write!(f, "{style}{word:<4}{style:#}  {:<11}  {}", self.check, self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}
