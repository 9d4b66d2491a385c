//! Reading the lines of answers.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use papa_protocol::exact::Fields;
use papa_protocol::quoted;
use papa_protocol::text::shown;

use crate::error::{Error, Result};
use crate::name::Name;
use crate::session::not_exact;

/// An answer's line of keys and values. What must be there and is not is an error of the protocol.
pub(crate) struct Line(Fields);

impl Line {
    pub(crate) fn parse(line: &[u8]) -> Result<Self> {
        Fields::parse(line).map(Self).map_err(not_exact)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key)
    }

    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.pairs()
    }

    pub(crate) fn bytes(&self, key: &str) -> Result<&[u8]> {
        self.get(key).ok_or_else(|| Error::protocol(format!("papad's answer has no {key}=")))
    }

    pub(crate) fn name(&self) -> Result<Name> {
        self.bytes("name").map(Name::told)
    }

    pub(crate) fn number<N: FromStr>(&self, key: &str) -> Result<N> {
        self.bytes(key)?;
        self.0.number(key).ok_or_else(|| bad(key, self.get(key)))
    }

    pub(crate) fn maybe_number<N: FromStr>(&self, key: &str) -> Result<Option<N>> {
        self.get(key).map(|_| self.number(key)).transpose()
    }

    /// A number in octal.
    pub(crate) fn maybe_octal(&self, key: &str) -> Result<Option<u32>> {
        let octal = |value: &[u8]| {
            let text = std::str::from_utf8(value).ok();
            text.and_then(|text| u32::from_str_radix(text, 8).ok())
                .ok_or_else(|| bad(key, Some(value)))
        };
        self.get(key).map(octal).transpose()
    }

    pub(crate) fn time(&self, key: &str) -> Result<SystemTime> {
        self.number(key).map(time)
    }

    pub(crate) fn text(&self, key: &str) -> Result<String> {
        self.bytes(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn maybe_text(&self, key: &str) -> Option<String> {
        self.get(key).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn maybe_path(&self, key: &str) -> Option<PathBuf> {
        self.get(key).map(|value| os_string(value.to_vec()).into())
    }

    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.get(key) == Some(b"1")
    }

    /// The words after `--`.
    pub(crate) fn rest(&self) -> Vec<OsString> {
        self.0.rest().iter().cloned().map(os_string).collect()
    }

    /// The error of a value that is not what it should be.
    pub(crate) fn bad(&self, key: &str) -> Error {
        bad(key, self.get(key))
    }
}

fn bad(key: &str, value: Option<&[u8]>) -> Error {
    let value = shown(value.unwrap_or_default());
    Error::protocol(format!("papad's answer cannot be understood: {key}={value}"))
}

/// A time of the wire: nanoseconds since 1970-01-01 00:00 UTC.
pub(crate) fn time(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

pub(crate) fn os_string(bytes: Vec<u8>) -> OsString {
    OsString::from_vec(bytes)
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> Result<Vec<Vec<u8>>> {
    quoted::split(line).map_err(|error| Error::protocol(error.to_string()))
}
