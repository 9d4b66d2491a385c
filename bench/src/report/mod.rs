//! What is shown of what was measured.

mod json;
mod plot;
mod table;

pub(crate) use json::json;
pub(crate) use plot::plot;
pub(crate) use table::table;

use crate::case::{Bound, Line};
use crate::measure::{Measured, median};
use crate::subject::Subject;
use crate::unit::{Unit, ratio};

/// One row: papad beside one reference, or by itself.
pub(crate) struct Row<'a> {
    pub(crate) case: &'static str,
    pub(crate) line: &'a Line,
    /// papad's median, or why there is none.
    pub(crate) papad: Result<f64, &'a str>,
    /// What is to be said of papad's figure.
    pub(crate) note: Option<&'a str>,
    pub(crate) reference: Option<Reference<'a>>,
    pub(crate) bound: Option<Bound>,
}

/// What papad is held against.
pub(crate) struct Reference<'a> {
    pub(crate) subject: Subject,
    /// Its median, or why there is none.
    pub(crate) figure: Result<f64, &'a str>,
}

impl Row<'_> {
    /// papad's figure divided by the reference's.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let reference = self.reference.as_ref()?.figure.ok()?;
        Some(self.papad.ok()? / reference)
    }

    /// Whether the target is met, if there are one and a figure.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let figure = if self.reference.is_some() { self.ratio()? } else { self.papad.ok()? };
        Some(self.bound?.is_met(figure))
    }

    /// The target in words.
    pub(crate) fn target(&self) -> String {
        let unit = if self.reference.is_some() { Unit::Ratio } else { self.line.unit };
        let show = |bound| if unit == Unit::Ratio { ratio(bound) } else { unit.show(bound) };
        match self.bound {
            Some(Bound::AtLeast(bound)) => format!(">= {}", show(bound)),
            Some(Bound::AtMost(bound)) => format!("<= {}", show(bound)),
            None => String::new(),
        }
    }
}

/// All rows: of each line one for papad's own target, or if it is alone, and one for each reference.
pub(crate) fn rows(measured: &[Measured]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for of in measured {
        for (number, line) in of.lines.iter().enumerate() {
            let figures = of.figures(Subject::Papad, number);
            let papad = figures.map(median);
            let note = figures.ok().and_then(|it| it[0].note.as_deref());
            let row = |reference, bound| Row { case: of.case, line, papad, note, reference, bound };
            if line.bound.is_some() || line.against.is_empty() {
                rows.push(row(None, line.bound));
            }
            for against in &line.against {
                let subject = against.reference;
                let figure = of.figures(subject, number).map(median);
                rows.push(row(Some(Reference { subject, figure }), against.bound));
            }
        }
    }
    rows
}
