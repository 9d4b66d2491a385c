//! All figures, for programs.

use std::fs;
use std::thread;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::utsname::uname;
use serde_json::{Value, json};

use super::{Row, rows};
use crate::case::{Bound, Figure};
use crate::measure::{Measured, median};
use crate::subject::Subject;

/// What was measured, and where.
pub(crate) fn json(measured: &[Measured], is_quick: bool) -> Value {
    json!({
        "quick": is_quick,
        "machine": machine(),
        "figures": measured.iter().flat_map(figures).collect::<Vec<_>>(),
        "comparisons": rows(measured).iter().map(comparison).collect::<Vec<_>>(),
    })
}

/// Each subject's figures of each line.
fn figures(measured: &Measured) -> Vec<Value> {
    let mut values = Vec::new();
    for (number, line) in measured.lines.iter().enumerate() {
        let references = line.against.iter().map(|against| against.reference);
        for subject in [Subject::Papad].into_iter().chain(references) {
            let mut value = json!({
                "case": measured.case,
                "what": line.what,
                "unit": line.unit.name(),
                "subject": subject.to_string(),
            });
            match measured.figures(subject, number) {
                Ok(figures) => {
                    let all: Vec<f64> =
                        figures.iter().map(|figure: &Figure| figure.value).collect();
                    value["median"] = median(figures).into();
                    value["all"] = all.into();
                    value["note"] = figures[0].note.clone().into();
                }
                Err(why) => value["missing"] = why.into(),
            }
            values.push(value);
        }
    }
    values
}

/// What the table shows.
fn comparison(row: &Row<'_>) -> Value {
    let (least, most) = match row.bound {
        Some(Bound::AtLeast(bound)) => (Some(bound), None),
        Some(Bound::AtMost(bound)) => (None, Some(bound)),
        None => (None, None),
    };
    json!({
        "case": row.case,
        "what": row.line.what,
        "against": row.reference.as_ref().map(|reference| reference.subject.to_string()),
        "ratio": row.ratio(),
        "at_least": least,
        "at_most": most,
        "met": row.is_met(),
    })
}

fn machine() -> Value {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start_matches([':', '\t', ' ']).to_owned())
    };
    json!({
        "kernel": uname().ok().map(|it| it.release().to_string_lossy().into_owned()),
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": thread::available_parallelism().ok().map(std::num::NonZeroUsize::get),
        "memory": field("/proc/meminfo", "MemTotal"),
        "descriptors": getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard),
    })
}
