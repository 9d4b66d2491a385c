//! What a case is: lines of the table, and how each subject comes by its figures.

use anyhow::Result;

use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::Unit;

/// Something that papad and others do, measured.
pub(crate) trait Case {
    /// What `--only` calls it.
    fn name(&self) -> &'static str;

    /// The lines of the table that it fills.
    fn lines(&self) -> Vec<Line>;

    /// Lets one subject do it once. The figures are those of the lines, in their order; `None`
    /// where the subject has none.
    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>>;

    /// Whether one measurement says it all, because nothing in it depends on time.
    fn is_exact(&self) -> bool {
        false
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// What papad's own figure is to be.
    pub(crate) bound: Option<Bound>,
    pub(crate) against: Vec<Against>,
}

/// A reference, and what papad's figure divided by its figure is to be.
#[derive(Debug, Clone)]
pub(crate) struct Against {
    pub(crate) reference: Subject,
    pub(crate) bound: Option<Bound>,
}

/// A target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(bound) => figure >= bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, unit: Unit) -> Self {
        Self { what: what.into(), unit, bound: None, against: Vec::new() }
    }

    /// Sets a target for papad's own figure.
    pub(crate) fn bound(mut self, bound: Bound) -> Self {
        self.bound = Some(bound);
        self
    }

    /// Adds a reference, with a target for the ratio.
    pub(crate) fn against(mut self, reference: Subject, bound: Bound) -> Self {
        self.against.push(Against { reference, bound: Some(bound) });
        self
    }

    /// Adds a reference that is only shown.
    pub(crate) fn beside(mut self, reference: Subject) -> Self {
        self.against.push(Against { reference, bound: None });
        self
    }
}

/// What was measured once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    /// What else there is to say of it.
    pub(crate) note: Option<String>,
}

impl From<f64> for Figure {
    fn from(value: f64) -> Self {
        Self { value, note: None }
    }
}

/// Figures of a subject that has one for each line.
pub(crate) fn all(values: impl IntoIterator<Item = f64>) -> Vec<Option<Figure>> {
    values.into_iter().map(|value| Some(value.into())).collect()
}
