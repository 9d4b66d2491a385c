//! A reply's line, taken apart.

use std::str::FromStr;

use super::failure::{Code, Failure};
use super::words::{parse_number, split_pair};
use crate::quoted;
use crate::text::shown;

/// The words of a reply's line: `key=value` words, then, after `--`, words of any kind.
///
/// A later version of papad may add keys; what nobody asks for does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// In the order of the line.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    rest: Vec<Vec<u8>>,
}

impl Fields {
    /// Reads a line without its end.
    ///
    /// # Errors
    /// [`Code::Internal`]: it is not made of such words, and so not from a papad.
    pub fn parse(line: &[u8]) -> Result<Self, Failure> {
        let not_fields = |why: String| {
            let line = shown(line);
            Failure::new(Code::Internal, format!("A reply's line cannot be read ({why}): {line}"))
        };
        let words = quoted::split(line).map_err(|error| not_fields(error.to_string()))?;
        let mut words = words.into_iter();
        let mut pairs = Vec::new();
        for word in words.by_ref().take_while(|word| word != b"--") {
            let (key, value) = split_pair(&word)
                .ok_or_else(|| not_fields(format!("\"{}\" has no \"=\"", shown(&word))))?;
            pairs.push((key.to_vec(), value.to_vec()));
        }
        Ok(Self { pairs, rest: words.collect() })
    }

    /// The value of a key; the first, should it be there twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let found = self.pairs.iter().find(|(it, _)| it == key.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }

    /// The value of a key, if it is a number that fits.
    #[must_use]
    pub fn number<N: FromStr>(&self, key: &str) -> Option<N> {
        parse_number(self.get(key)?)
    }

    /// All keys and values, in the order of the line.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// The words after `--`.
    #[must_use]
    pub fn rest(&self) -> &[Vec<u8>] {
        &self.rest
    }
}
