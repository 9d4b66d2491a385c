//! Steering a hosted process, whose stdin is always `/dev/null`, through a named pipe.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::{ScratchDir, wait_readable};

/// A named pipe between a test and a hosted process.
///
/// The test holds both of its ends open, so opening it never blocks the other side, and a line
/// written before the other side reads waits for it.
pub struct Fifo {
    path: String,
    file: File,
}

impl Fifo {
    /// Makes the pipe as `name` in `scratch`.
    #[must_use]
    pub fn new(scratch: &ScratchDir, name: &str) -> Self {
        let path = scratch.join(name);
        mkfifo(path.as_str(), Mode::from_bits_truncate(0o600)).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { path, file }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Lets one `read line < PATH` of a shell go on.
    pub fn send_line(&self) {
        self.send("");
    }

    /// As [`Self::send_line`], with this line.
    pub fn send(&self, line: &str) {
        (&self.file).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Waits for a line that the other side writes, and returns it without its end.
    pub fn read_line(&self) -> String {
        let mut line = Vec::new();
        loop {
            assert!(wait_readable(&self.file), "no line in {}: {line:?}", self.path);
            let mut byte = [0];
            (&self.file).read_exact(&mut byte).unwrap();
            if byte == *b"\n" {
                return String::from_utf8(line).unwrap();
            }
            line.extend(byte);
        }
    }
}
