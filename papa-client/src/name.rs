//! Names, and patterns that pick several.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use papa_protocol::name::{self, Noun, Patterns};
use papa_protocol::text::shown;

use crate::error::{Error, Result};

/// The name of a socket, a process or a value.
///
/// 1 to 255 bytes, without spaces, control characters and a `*` at the end; a process's name has no
/// `:` either. Cheap to clone. Calls take anything that can be read as bytes and check it
/// themselves; what papad tells comes as a `Name`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<[u8]>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage): nothing can have this name.
    ///
    /// ```
    /// # use papa_client::Name;
    /// assert!(Name::new("web.1").is_ok());
    /// assert!(Name::new("web 1").is_err());
    /// assert!(Name::new("web.*").is_err());
    /// ```
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self> {
        // A socket's and a value's name may be more than a process's.
        Self::of(Noun::Value, name.as_ref())
    }

    /// Checks the name of a process, say.
    pub(crate) fn of(noun: Noun, name: &[u8]) -> Result<Self> {
        name::check(noun, name)?;
        if name.ends_with(b"*") {
            // papad would take it for a pattern wherever several are meant.
            return Err(Error::usage(format!("A name must not end in \"*\": {}", shown(name))));
        }
        Ok(Self(name.into()))
    }

    /// Checks the name of a process that is there. papa 1.0 lets names end with a `*`.
    pub(crate) fn of_existing(name: &[u8]) -> Result<Self> {
        name::check(Noun::Process, name)?;
        Ok(Self::told(name))
    }

    /// A name that papad told.
    pub(crate) fn told(name: &[u8]) -> Self {
        Self(name.into())
    }

    /// The name's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as text, if it is UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// The name, with what a terminal should not be sent as `\xHH`.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&shown(&self.0), f)
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl TryFrom<&str> for Name {
    type Error = Error;

    fn try_from(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

/// A name, or every name that begins alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// A name, or the beginning of names and a `*`.
    pub(crate) fn new(pattern: &[u8]) -> Result<Self> {
        if let Some(prefix) = pattern.strip_suffix(b"*") {
            if !prefix.is_empty() {
                name::check(Noun::Value, prefix)?;
            }
        } else {
            name::check(Noun::Value, pattern)?;
        }
        Ok(Self(pattern.to_vec()))
    }

    /// This name alone.
    pub(crate) fn exactly(name: &Name) -> Self {
        Self(name.to_vec())
    }

    pub(crate) fn is_wildcard(&self) -> bool {
        self.0.ends_with(b"*")
    }

    pub(crate) fn to_patterns(&self) -> Patterns {
        Patterns::new(vec![self.0.clone()])
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_name_is_what_papad_takes_for_one_and_nothing_else() {
        for name in ["a", "web.1", "a=b", "a*b", "caf\u{e9}", "7"] {
            assert_eq!(Name::new(name).unwrap(), name);
        }
        for name in ["", "a b", "a\n", "web.*", "*"] {
            assert_eq!(Name::new(name).unwrap_err().kind(), ErrorKind::Usage, "{name:?}");
        }
        assert!(Name::of(Noun::Process, b"a:b").is_err());
        assert!(Name::new("a:b").is_ok());
    }

    #[test]
    fn a_pattern_is_a_name_or_a_beginning() {
        let web = Pattern::new(b"web.*").unwrap();
        let matches = |pattern: &Pattern, name: &[u8]| pattern.to_patterns().matches(name);
        assert!(web.is_wildcard() && matches(&web, b"web.1") && !matches(&web, b"web"));
        let one = Pattern::new(b"web").unwrap();
        assert!(!one.is_wildcard() && matches(&one, b"web") && !matches(&one, b"web.1"));
        assert!(matches(&Pattern::new(b"*").unwrap(), b"anything"));
        assert!(Pattern::new(b"a b*").is_err() && Pattern::new(b"").is_err());
    }
}
