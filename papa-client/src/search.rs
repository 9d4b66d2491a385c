//! Looking for papad at several places.

use std::ops::ControlFlow;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};

/// What came of the places that were tried.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The error of the first one.
    first: Option<Error>,
    /// Where somebody else's papad, or something else, answers.
    foreign: Option<(Endpoint, Error)>,
}

impl Search {
    /// Whether the search is over with what came of this place.
    pub(crate) fn judge<T>(
        &mut self,
        place: &Endpoint,
        result: Result<T>,
    ) -> ControlFlow<Result<T>> {
        let error = match result {
            Ok(found) => return ControlFlow::Break(Ok(found)),
            Err(error) => error,
        };
        let is_first = self.first.is_none();
        match error.kind() {
            ErrorKind::NotRunning if is_first => self.first = Some(error),
            ErrorKind::NotRunning => {}
            // The port, and a directory in /tmp, may be somebody else's.
            ErrorKind::NotYours | ErrorKind::Protocol if !is_first => {
                self.foreign = Some((place.clone(), error));
            }
            _ => return ControlFlow::Break(Err(error)),
        }
        ControlFlow::Continue(())
    }

    /// The error where papad was found at none of the places.
    pub(crate) fn into_error(self, endpoint: &Endpoint) -> Error {
        let places: Vec<String> = endpoint.candidates().iter().map(ToString::to_string).collect();
        let nowhere = format!("no papad is running at {}", places.join(" or "));
        match (self.first, self.foreign) {
            (Some(only), None) if places.len() == 1 => only,
            (_, None) => Error::new(ErrorKind::NotRunning, nowhere),
            (_, Some((place, error))) => {
                let what = format!(
                    "no papad is running at {endpoint}, and what answers at {place} is not yours"
                );
                Error::new(ErrorKind::NotRunning, what).because(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind of error that comes of these, one for each place, or `None` where papad answers.
    fn outcome(kinds: &[Option<ErrorKind>]) -> Option<ErrorKind> {
        let place = Endpoint::tcp(7);
        let mut search = Search::default();
        for kind in kinds {
            let result = kind.map_or(Ok(()), |kind| Err(Error::new(kind, "no")));
            if let ControlFlow::Break(result) = search.judge(&place, result) {
                return result.err().map(|error| error.kind());
            }
        }
        Some(search.into_error(&place).kind())
    }

    #[test]
    fn a_papad_of_somebody_elses_is_passed_over_but_at_the_first_place() {
        use ErrorKind::{Io, NotRunning, NotYours, Protocol, Timeout};
        for (kinds, expected) in [
            (&[None][..], None),
            (&[Some(NotRunning), None], None),
            (&[Some(NotRunning), Some(NotRunning)], Some(NotRunning)),
            (&[Some(NotRunning), Some(NotYours)], Some(NotRunning)),
            (&[Some(NotRunning), Some(Protocol)], Some(NotRunning)),
            (&[Some(NotRunning), Some(Timeout)], Some(Timeout)),
            (&[Some(NotYours), None], Some(NotYours)),
            (&[Some(Io), None], Some(Io)),
        ] {
            assert_eq!(outcome(kinds), expected, "{kinds:?}");
        }
    }
}
