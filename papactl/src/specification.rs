//! What a process was made of, as papad shows it: the request that makes it again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use papa_client::{Papa, Result};

/// What comes before the name of a variable.
const VARIABLE: &[u8] = b"env.";

/// A process's whole specification.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Specification {
    /// Options of the request but for its environment, in papad's order.
    pub(crate) options: Vec<(String, OsString)>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
}

impl Specification {
    /// That of the process of this name.
    pub(crate) fn of(papa: &Papa, name: &[u8]) -> Result<Self> {
        Ok(Self::read(papa.show_process(name)?))
    }

    /// Reads `make process NAME KEY=VALUE... -- COMMAND...`.
    fn read(words: Vec<OsString>) -> Self {
        let mut specification = Self::default();
        let mut words = words.into_iter();
        for word in words.by_ref().skip(3).take_while(|word| word != "--") {
            let bytes = word.into_vec();
            let (key, value) = split(&bytes);
            if let Some(variable) = key.strip_prefix(VARIABLE) {
                specification.environment.push((os(variable), os(value)));
            } else {
                let key = String::from_utf8_lossy(key).into_owned();
                specification.options.push((key, os(value)));
            }
        }
        specification.command = words.collect();
        specification
    }

    /// The value of an option.
    pub(crate) fn option(&self, key: &str) -> Option<&OsStr> {
        let option = self.options.iter().find(|(known, _)| known == key);
        option.map(|(_, value)| value.as_os_str())
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&OsStr> {
        let variable = self.environment.iter().find(|(known, _)| known == name);
        variable.map(|(_, value)| value.as_os_str())
    }
}

/// A key and what stands behind the first `=`.
fn split(word: &[u8]) -> (&[u8], &[u8]) {
    match word.iter().position(|&byte| byte == b'=') {
        Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..).unwrap_or_default()),
        None => (word, b""),
    }
}

fn os(bytes: &[u8]) -> OsString {
    OsStr::from_bytes(bytes).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        let words = [
            "make",
            "process",
            "web",
            "dir=/a=b",
            "rlimit.core=0:1",
            "env.A=b=c",
            "env.PATH=/bin",
            "--",
            "sh",
            "-c",
            "x=1",
            "--",
        ];
        let read = Specification::read(words.map(OsString::from).into());
        assert_eq!(read.option("dir"), Some(OsStr::new("/a=b")));
        assert_eq!(read.option("rlimit.core"), Some(OsStr::new("0:1")));
        assert_eq!(read.variable("A"), Some(OsStr::new("b=c")));
        assert_eq!(read.variable("dir"), None);
        assert_eq!(read.command, ["sh", "-c", "x=1", "--"]);
    }
}
