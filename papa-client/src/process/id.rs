//! Which process of a name.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Names one process for good: another one of the same name has another id.
///
/// It counts processes since papad started from nothing, and holds what papad calls that start, so
/// that an id of a papad that is gone is never taken for one of the next. `Display` and `FromStr`
/// are for keeping it in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    papad: u64,
    number: u64,
}

impl ProcessId {
    /// The process of this number; `papad` is the id that papad greets with.
    pub(crate) fn new(papad: &str, number: u64) -> Result<Self> {
        let papad = u64::from_str_radix(papad, 16)
            .map_err(|error| Error::protocol("papad's id is none").because(error))?;
        Ok(Self { papad, number })
    }

    /// Which papad it belongs to.
    pub(crate) fn papad(self) -> u64 {
        self.papad
    }

    /// Its number among that papad's processes, which are counted up.
    pub(crate) fn number(self) -> u64 {
        self.number
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.papad, self.number)
    }
}

impl FromStr for ProcessId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-').and_then(|(papad, number)| {
            Some((u64::from_str_radix(papad, 16).ok()?, number.parse().ok()?))
        });
        let bad = || Error::usage(format!("Not the id of a process: {text}"));
        parts.map(|(papad, number)| Self { papad, number }).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_and_read_back() {
        let id = ProcessId::new("00000000000000ff", 7).unwrap();
        assert_eq!(id.to_string(), "00000000000000ff-7");
        assert_eq!(id.to_string().parse::<ProcessId>().unwrap(), id);
        for text in ["", "7", "-7", "ff-", "xx-7"] {
            assert!(text.parse::<ProcessId>().is_err(), "{text}");
        }
    }
}
