//! Why a line is not a command.

use std::error::Error;
use std::fmt;

use crate::name::NameError;

/// Why a line is not a command.
///
/// `Display` is exactly what follows `Error: ` on the wire: one line, without its end, in which
/// whatever the client wrote is shown by [`crate::text::shown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError(String);

impl CommandError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for CommandError {}

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        Self(error.to_string())
    }
}
