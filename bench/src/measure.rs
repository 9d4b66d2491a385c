//! Letting everybody take turns.

use std::collections::BTreeMap;

use crate::case::{Case, Figure, Line};
use crate::setting::Setting;
use crate::subject::Subject;

/// What came of a case.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) case: &'static str,
    pub(crate) lines: Vec<Line>,
    /// Those who took part, or why not.
    subjects: Vec<(Subject, Outcome)>,
}

/// How a subject fared.
#[derive(Debug)]
enum Outcome {
    /// Why it took no part.
    Missing(String),
    /// Its figures of each line by the line's number, or what went wrong.
    Figures(Result<BTreeMap<usize, Vec<Figure>>, String>),
}

/// Measures a case: all subjects once, then again.
pub(crate) fn measure(case: &dyn Case, setting: &Setting, repeats: usize) -> Measured {
    let lines = case.lines();
    let mut subjects: Vec<(Subject, Outcome)> = Vec::new();
    let references = lines.iter().flat_map(|line| &line.against).map(|it| it.reference);
    for subject in [Subject::Papad].into_iter().chain(references) {
        if !subjects.iter().any(|(known, _)| *known == subject) {
            let empty = Outcome::Figures(Ok(BTreeMap::new()));
            subjects.push((subject, subject.missing().map_or(empty, Outcome::Missing)));
        }
    }
    let repeats = if case.is_exact() { 1 } else { repeats };
    for repeat in 1..=repeats {
        for (subject, outcome) in &mut subjects {
            let Outcome::Figures(figures) = outcome else { continue };
            let Ok(so_far) = figures else { continue };
            eprintln!("{} {repeat}/{repeats}: {subject}", case.name());
            match case.measure(*subject, setting) {
                Ok(new) => {
                    for (line, figure) in new.into_iter().enumerate() {
                        so_far.entry(line).or_default().extend(figure);
                    }
                }
                Err(error) => *figures = Err(format!("failed: {error:#}")),
            }
        }
    }
    Measured { case: case.name(), lines, subjects }
}

impl Measured {
    /// The figures of a subject for the line of this number, at least one; or, in words, why there
    /// are none.
    pub(crate) fn figures(&self, subject: Subject, line: usize) -> Result<&[Figure], &str> {
        let outcome = self.subjects.iter().find(|(it, _)| *it == subject).map(|(_, it)| it);
        match outcome {
            Some(Outcome::Missing(why) | Outcome::Figures(Err(why))) => Err(why),
            Some(Outcome::Figures(Ok(figures))) => match figures.get(&line) {
                Some(figures) if !figures.is_empty() => Ok(figures),
                _ => Err("not measured"),
            },
            None => Err("not asked"),
        }
    }

    /// Whether something went wrong.
    pub(crate) fn has_failed(&self) -> bool {
        self.subjects.iter().any(|(_, outcome)| matches!(outcome, Outcome::Figures(Err(_))))
    }
}

/// The figure in the middle of at least one; of an even number, the lower of the two.
pub(crate) fn median(figures: &[Figure]) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(|figure| figure.value).collect();
    values.sort_by(f64::total_cmp);
    values.get((values.len().saturating_sub(1)) / 2).copied().unwrap_or(f64::NAN)
}
