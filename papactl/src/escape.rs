//! Output of processes on its way to a terminal: what a terminal would obey is shown instead.
//!
//! Whoever writes to a log that somebody else looks at could otherwise change the terminal's title,
//! overwrite what is shown, or have the terminal type. Colours stay: they end where they are reset,
//! and hide nothing.

use std::io::{self, IsTerminal};

/// Bytes of a sequence that sets colours. A longer one is shown.
const MAX_SEQUENCE: usize = 32;

/// Bytes of a character in UTF-8.
const MAX_CHARACTER: usize = 4;

/// Escapes one stream, whose bytes come in pieces that are cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Escaper {
    /// The beginning of a character or sequence: less than [`MAX_SEQUENCE`] bytes.
    held: Vec<u8>,
}

/// What the next bytes are.
enum Next {
    /// So many bytes that are sent as they are.
    Plain(usize),
    /// One byte that is shown by its number.
    Escaped,
    /// Only what follows decides.
    Unfinished,
}

impl Escaper {
    /// One for what is written here, unless it is no terminal or is to be sent everything.
    pub(crate) fn of(stream: &impl IsTerminal, is_raw: bool) -> Option<Self> {
        (!is_raw && stream.is_terminal()).then(Self::default)
    }

    /// As [`Self::of`] for standard output and standard error.
    pub(crate) fn of_streams(is_raw: bool) -> [Option<Self>; 2] {
        [Self::of(&io::stdout(), is_raw), Self::of(&io::stderr(), is_raw)]
    }

    /// What may be sent of the next bytes, and of those that were held back before.
    pub(crate) fn escape(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let (text, used) = escape(&self.held);
        self.held.drain(..used);
        text
    }

    /// What was held back, when nothing follows.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().flat_map(|it| if is_plain(it) { vec![it] } else { shown(it) }).collect()
    }
}

/// All of a text, and nothing follows.
pub(crate) fn whole(bytes: &[u8]) -> Vec<u8> {
    let mut escaper = Escaper::default();
    let mut text = escaper.escape(bytes);
    text.extend(escaper.finish());
    text
}

/// What may be sent, and how many bytes it stands for.
fn escape(bytes: &[u8]) -> (Vec<u8>, usize) {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        match next(first, rest) {
            Next::Plain(count) => {
                let (plain, after) = rest.split_at(count);
                text.extend_from_slice(plain);
                rest = after;
            }
            Next::Escaped => {
                text.extend(shown(first));
                rest = rest.get(1..).unwrap_or_default();
            }
            Next::Unfinished => break,
        }
    }
    (text, bytes.len() - rest.len())
}

fn next(first: u8, rest: &[u8]) -> Next {
    match first {
        _ if is_plain(first) => Next::Plain(1),
        // The end of a line, as some write it. Alone it would have the line overwritten.
        b'\r' => match rest.get(1) {
            Some(b'\n') => Next::Plain(2),
            Some(_) => Next::Escaped,
            None => Next::Unfinished,
        },
        b'\x1b' => colours(rest),
        0x80.. => character(rest),
        _ => Next::Escaped,
    }
}

/// A sequence that sets colours and the like: ESC, `[`, numbers, `m` (ECMA-48, SGR). Not one that
/// conceals what follows.
fn colours(rest: &[u8]) -> Next {
    const CONCEAL: &[u8] = b"8";
    if rest.get(1).is_some_and(|&second| second != b'[') {
        return Next::Escaped;
    }
    let numbers = rest.get(2..).unwrap_or_default();
    let is_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let count = numbers.iter().take_while(|byte| is_number(byte)).count();
    let conceals = numbers
        .get(..count)
        .is_some_and(|numbers| numbers.split(|byte| *byte == b';').any(|number| number == CONCEAL));
    match numbers.get(count) {
        _ if count + 3 > MAX_SEQUENCE => Next::Escaped,
        Some(b'm') if !conceals => Next::Plain(count + 3),
        Some(_) => Next::Escaped,
        None => Next::Unfinished,
    }
}

/// A character of more than one byte, if it is one, and does not control the terminal.
fn character(rest: &[u8]) -> Next {
    let bytes = rest.get(..MAX_CHARACTER).unwrap_or(rest);
    let Some(chunk) = bytes.utf8_chunks().next() else { return Next::Escaped };
    match chunk.valid().chars().next() {
        Some(character) if character.is_control() => Next::Escaped,
        Some(character) => Next::Plain(character.len_utf8()),
        None => match std::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_none() => Next::Unfinished,
            _ => Next::Escaped,
        },
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\t' | b' '..=b'~')
}

fn shown(byte: u8) -> Vec<u8> {
    format!("\\x{byte:02x}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of these bytes; it must be the same however they are cut.
    fn escaped(bytes: &[u8]) -> String {
        let all = whole(bytes);
        for size in 1..=bytes.len() {
            let mut escaper = Escaper::default();
            let mut text: Vec<u8> =
                bytes.chunks(size).flat_map(|piece| escaper.escape(piece)).collect();
            text.extend(escaper.finish());
            assert_eq!(text, all, "in pieces of {size}");
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(escaped(b"\x1b]0;title\x07\x1b[2J\x1bc"), "\\x1b]0;title\\x07\\x1b[2J\\x1bc");
        assert_eq!(escaped(b"paid\rowed \x08\x7f\0"), "paid\\x0dowed \\x08\\x7f\\x00");
        // CSI as one character, in UTF-8 and as a byte.
        assert_eq!(escaped(b"\xc2\x9b2J \x9b2J"), "\\xc2\\x9b2J \\x9b2J");
    }

    #[test]
    fn text_lines_and_colours_stay_as_they_are() {
        let text = "caf\u{e9}\t\u{1f980}\r\n\u{1b}[1;38:5:208mred\u{1b}[m\u{1b}[0m\n";
        assert_eq!(escaped(text.as_bytes()), text);
    }

    #[test]
    fn colours_that_hide_or_never_end_are_shown() {
        assert_eq!(escaped(b"\x1b[8mhidden\x1b[1;8m"), "\\x1b[8mhidden\\x1b[1;8m");
        let endless = [b"\x1b[".to_vec(), b"1;".repeat(MAX_SEQUENCE)].concat();
        assert!(escaped(&endless).starts_with("\\x1b[1;1;"));
        assert_eq!(escaped(b"\x1b[1"), "\\x1b[1");
    }

    #[test]
    fn what_is_no_text_is_shown_by_its_bytes() {
        assert_eq!(escaped(b"a\xffb\xe2\x82c\xe2\x82"), "a\\xffb\\xe2\\x82c\\xe2\\x82");
    }
}
