//! What processes have written, and what became of them.

use schemars::JsonSchema;
use serde::Serialize;

/// What `logs` shows: one object a line, told apart by `kind`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[schemars(rename = "logged")]
pub(crate) enum Logged {
    /// A line of output, without its newline.
    Line {
        /// The process's name.
        name: String,
        /// Which process of that name it is.
        id: String,
        /// stdout or stderr.
        stream: &'static str,
        /// When papad read its first byte.
        time: String,
        /// How many bytes of the process's output were before it, both streams together.
        position: u64,
        /// The line, if it is UTF-8.
        text: Option<String>,
        /// The line in base64, if it is not.
        base64: Option<String>,
        /// Whether no newline followed: it was too long for one object, or the output ended there.
        partial: bool,
    },
    /// Output that was pushed out before anybody took it.
    Lost {
        /// The process's name.
        name: String,
        /// Which process of that name it is.
        id: String,
        /// Where output goes on after it.
        position: u64,
        /// How many bytes are lost.
        bytes: u64,
    },
    /// The process has ended, and all of its output was shown.
    End {
        /// The process's name.
        name: String,
        /// Which process of that name it was.
        id: String,
        /// When it ended.
        time: String,
        /// Its exit status; null if a signal ended it or nobody knows.
        exit_status: Option<i32>,
        /// The signal that ended it, as TERM.
        signal: Option<String>,
    },
    /// Somebody has removed the process.
    Removed {
        /// The process's name.
        name: String,
        /// Which process of that name it was.
        id: String,
    },
}

/// What papad itself has logged.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "papad_log")]
pub(crate) struct PapadLog {
    /// The file.
    pub(crate) path: String,
    /// Its last lines, the oldest first.
    pub(crate) lines: Vec<String>,
}
