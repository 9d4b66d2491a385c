//! A client's bytes, made fit to stand in an error or a log line.

use std::fmt::Write;

/// The most bytes of a client's text that an error repeats.
pub const MAX_SHOWN: usize = 100;

/// The text as it may be shown to a person: on one line, harmless to a terminal, and short.
///
/// Control characters and bytes that are not UTF-8 become `\xHH`. Of a longer text the first
/// [`MAX_SHOWN`] bytes are shown (fewer where that would cut a character) and then `...`.
/// This is for reading, not for reading back: a `\` in the text is not doubled.
#[must_use]
pub fn shown(text: &[u8]) -> String {
    let cut = cut_at_character(text, MAX_SHOWN);
    let mut shown = String::with_capacity(cut.len());
    for chunk in cut.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                push_escaped(&mut shown, character.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                shown.push(character);
            }
        }
        push_escaped(&mut shown, chunk.invalid());
    }
    if cut.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// At most `max` bytes of the text, without the first part of a character whose rest is cut off.
fn cut_at_character(text: &[u8], max: usize) -> &[u8] {
    const LONGEST_CHARACTER: usize = 4;
    if text.len() <= max {
        return text;
    }
    let is_start = |&end: &usize| text[end] & 0b1100_0000 != 0b1000_0000;
    let end = (0..=max).rev().take(LONGEST_CHARACTER).find(is_start).unwrap_or(max);
    &text[..end]
}

fn push_escaped(shown: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(shown, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_is_itself() {
        assert_eq!(shown("caf\u{e9} \\ \"x\"".as_bytes()), "caf\u{e9} \\ \"x\"");
    }

    #[test]
    fn control_characters_and_broken_utf8_are_escaped() {
        assert_eq!(shown(b"a\nb\x1b[2J\x7f\xff\xc3"), "a\\x0ab\\x1b[2J\\x7f\\xff\\xc3");
        assert_eq!(shown("\u{9b}".as_bytes()), "\\xc2\\x9b");
    }

    #[test]
    fn long_text_is_cut() {
        let fits = [b'a'; MAX_SHOWN];
        assert_eq!(shown(&fits), "a".repeat(MAX_SHOWN));
        let too_long = [b'a'; MAX_SHOWN + 1];
        assert_eq!(shown(&too_long), "a".repeat(MAX_SHOWN) + "...");
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "a".repeat(MAX_SHOWN - 1) + "\u{e9}z";
        assert_eq!(shown(text.as_bytes()), "a".repeat(MAX_SHOWN - 1) + "...");
    }

    #[test]
    fn a_run_of_continuation_bytes_is_cut_at_the_limit() {
        let text = [0x80; MAX_SHOWN * 2];
        assert_eq!(shown(&text), "\\x80".repeat(MAX_SHOWN) + "...");
    }
}
