//! How things are said to people.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use papa_client::{End, ProcessInfo, State};

/// How good a thing is, for those who give it a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Plain,
    Odd,
    Bad,
}

/// How it is with a process, in one word or two.
pub(crate) fn state(process: &ProcessInfo) -> (String, Tone) {
    match process.state {
        State::Running if process.stopped => ("stopped".into(), Tone::Odd),
        State::Running if process.removed => ("removed".into(), Tone::Odd),
        State::Running => ("running".into(), Tone::Good),
        State::Exited { end: End::Exited(0), .. } => ("done".into(), Tone::Plain),
        State::Exited { end: End::Exited(code), .. } => (format!("exit {code}"), Tone::Bad),
        State::Exited { end: End::Signaled(signal), .. } => (signal.to_string(), Tone::Bad),
        State::Exited { .. } => ("ended".into(), Tone::Odd),
    }
}

/// Text that a terminal may be sent: control characters, and bytes that are no UTF-8, as `\xHH`.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                // Each byte of it, as for those that are no text.
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    push_escaped(&mut text, byte);
                }
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            push_escaped(&mut text, *byte);
        }
    }
    text
}

fn push_escaped(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// A command as it would be typed.
pub(crate) fn command_line(words: &[OsString]) -> String {
    let words = words.iter().map(|word| printable(word.as_bytes()));
    let words: Vec<String> = words.map(|word| shell_words::quote(&word).into_owned()).collect();
    words.join(" ")
}

/// What to add where so many bytes of output went with a process.
pub(crate) fn gone(unread: u64) -> String {
    match unread {
        0 => String::new(),
        1 => "; 1 byte that nobody had taken is gone".to_owned(),
        bytes => format!("; {bytes} bytes that nobody had taken are gone"),
    }
}

/// A number of bytes in three or four characters: `0`, `999`, `1.5k`, `20M`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [char; 6] = ['k', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1024 {
        return bytes.to_string();
    }
    let exponent = (bytes.ilog2() / 10) as usize;
    let unit = UNITS.get(exponent - 1).copied().unwrap_or('E');
    let shift = 10 * exponent as u32;
    let whole = bytes >> shift;
    let tenth = ((bytes >> (shift - 10)) % 1024) * 10 / 1024;
    if whole < 10 { format!("{whole}.{tenth}{unit}") } else { format!("{whole}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_would_obey_is_printed() {
        assert_eq!(
            printable("caf\u{e9} \u{1b}[2J\u{9b}".as_bytes()),
            "caf\u{e9} \\x1b[2J\\xc2\\x9b"
        );
        assert_eq!(printable(b"a\xffb\n"), "a\\xffb\\x0a");
    }

    #[test]
    fn a_command_line_can_be_typed() {
        let words = ["sh", "-c", "echo 'a b'", ""].map(OsString::from);
        assert_eq!(command_line(&words), "sh -c 'echo '\\''a b'\\''' ''");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0k"),
            (1536, "1.5k"),
            (20 << 20, "20M"),
            (u64::MAX, "15E"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
