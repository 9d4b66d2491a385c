//! Values: small things that outlive the programs that set them.

use crate::error::Result;
use crate::fields::Line;
use crate::name::Name;

/// A value as papad's list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Value {
    /// Its name.
    pub name: Name,
    /// Any bytes.
    pub value: Vec<u8>,
    /// Whether it vanishes when the session ends that has set it.
    pub for_session: bool,
}

impl Value {
    pub(crate) fn parse(line: &[u8]) -> Result<Self> {
        let line = Line::parse(line)?;
        Ok(Self {
            name: line.name()?,
            value: line.bytes("value")?.to_vec(),
            for_session: line.get("for") == Some(b"session"),
        })
    }
}
