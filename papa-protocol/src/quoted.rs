//! Exact words: a line that carries any bytes and gives back the same.
//!
//! A word is bare, or stands in double quotes. Inside quotes `\\`, `\"`, `\n`, `\r`, `\t` and
//! `\xHH` (two hexadecimal digits) are escapes, and `""` is an empty word. A bare word has no
//! escapes and no `"` or `\` in it, so that nobody takes one for an escape. Control characters
//! and byte 255, which begins a command of telnet, are never themselves: they are said as `\xHH`.
//! All other bytes may be, so that people can type their own language.

use std::error::Error;
use std::fmt;

/// Why a line is not made of exact words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotedError {
    /// A quote stands inside a bare word.
    QuoteInWord,
    /// A `\` stands inside a bare word.
    BackslashInWord,
    /// A control character or byte 255 is not escaped.
    NotEscaped,
    /// A closing quote is not followed by a space or the end of the line.
    TextAfterQuote,
    /// The line ends inside quotes.
    Unclosed,
    /// A `\` inside quotes is not followed by one of the escapes.
    BadEscape,
}

impl fmt::Display for QuotedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuoteInWord => {
                r#"A word with a quote in it must be quoted as a whole: "key=a b""#
            }
            Self::BackslashInWord => {
                r#"A word with a "\" in it must be quoted, and the "\" doubled"#
            }
            Self::NotEscaped => r"A control character or byte 255 must be \xHH in a quoted word",
            Self::TextAfterQuote => "A closing quote must be followed by a space or the line's end",
            Self::Unclosed => "A quote must be closed before the line ends",
            Self::BadEscape => r#"A "\" in quotes must be followed by one of: \, ", n, r, t, xHH"#,
        })
    }
}

impl Error for QuotedError {}

/// Splits a line, without its line end, into exact words.
///
/// Words are separated by one or more spaces; spaces at both ends of the line do not count.
pub fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, QuotedError> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = match rest {
            [] => return Ok(words),
            [b' ', rest @ ..] => rest,
            [b'"', rest @ ..] => {
                let (word, rest) = quoted_word(rest)?;
                words.push(word);
                rest
            }
            _ => {
                let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
                let (word, rest) = rest.split_at(end);
                check_bare(word)?;
                words.push(word.to_vec());
                rest
            }
        }
    }
}

/// How many words [`split`] makes of a line, found out without making them. If that fails, the
/// number is of no use but to bound what it would have made until then.
#[must_use]
pub fn count(line: &[u8]) -> usize {
    let mut count = 0;
    let mut bytes = line.iter();
    while let Some(first) = bytes.next() {
        match first {
            b' ' => continue,
            b'"' => {
                while let Some(byte) = bytes.next().filter(|&&byte| byte != b'"') {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            _ => drop(bytes.find(|&&byte| byte == b' ')),
        }
        count += 1;
    }
    count
}

fn check_bare(word: &[u8]) -> Result<(), QuotedError> {
    for &byte in word {
        match byte {
            b'"' => return Err(QuotedError::QuoteInWord),
            b'\\' => return Err(QuotedError::BackslashInWord),
            _ if must_be_escaped(byte) => return Err(QuotedError::NotEscaped),
            _ => {}
        }
    }
    Ok(())
}

fn must_be_escaped(byte: u8) -> bool {
    byte.is_ascii_control() || byte == 0xff
}

/// Reads a word whose opening quote is already taken. Returns it and what follows its space.
fn quoted_word(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), QuotedError> {
    let mut word = Vec::new();
    loop {
        let (byte, after) = match rest {
            [] => return Err(QuotedError::Unclosed),
            [b'"'] => return Ok((word, &[])),
            [b'"', b' ', after @ ..] => return Ok((word, after)),
            [b'"', ..] => return Err(QuotedError::TextAfterQuote),
            [b'\\', after @ ..] => escape(after)?,
            [byte, ..] if must_be_escaped(*byte) => return Err(QuotedError::NotEscaped),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

/// Reads an escape whose `\` is already taken.
fn escape(text: &[u8]) -> Result<(u8, &[u8]), QuotedError> {
    match text {
        [] => Err(QuotedError::Unclosed),
        [byte @ (b'\\' | b'"'), after @ ..] => Ok((*byte, after)),
        [b'n', after @ ..] => Ok((b'\n', after)),
        [b'r', after @ ..] => Ok((b'\r', after)),
        [b't', after @ ..] => Ok((b'\t', after)),
        [b'x', high, low, after @ ..] => match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => Ok((high << 4 | low, after)),
            _ => Err(QuotedError::BadEscape),
        },
        _ => Err(QuotedError::BadEscape),
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Appends a word to a line, with a space before it unless the line is empty or ends in one.
///
/// The word is written bare where it can be, so that a journal reads like a log. A quoted word
/// holds printable ASCII alone; a line built by this function therefore has no line ends in it.
pub fn push(line: &mut Vec<u8>, word: &[u8]) {
    if line.last().is_some_and(|&byte| byte != b' ') {
        line.push(b' ');
    }
    if is_bare(word) {
        line.extend_from_slice(word);
        return;
    }
    line.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x20..=0x7e => line.push(byte),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let high = DIGITS[usize::from(byte >> 4)];
                let low = DIGITS[usize::from(byte & 0x0f)];
                line.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
    line.push(b'"');
}

fn is_bare(word: &[u8]) -> bool {
    !word.is_empty()
        && word.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// Appends `key=value` as one word, in quotes as a whole (`"key=va lue"`) where it needs them.
pub fn push_pair(line: &mut Vec<u8>, key: &str, value: &[u8]) {
    push(line, &[key.as_bytes(), b"=", value].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_split(line: &[u8], words: &[&[u8]]) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        assert_eq!(split(line), Ok(words), "{line:?}");
    }

    #[test]
    fn bare_words_are_separated_by_any_number_of_spaces() {
        assert_split(b"", &[]);
        assert_split(b"   ", &[]);
        assert_split(b"  a   b=c ", &[b"a", b"b=c"]);
    }

    #[test]
    fn a_bare_word_has_no_escapes() {
        for line in [&b"a\\nb"[..], b"a\\ b", b"\\", b"a \\x41"] {
            assert_eq!(split(line), Err(QuotedError::BackslashInWord), "{line:?}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_may_be_themselves() {
        assert_split(
            "caf\u{e9} \"\u{e9} \u{e8}\"".as_bytes(),
            &["caf\u{e9}".as_bytes(), "\u{e9} \u{e8}".as_bytes()],
        );
        assert_split(b"\x80\xfe", &[b"\x80\xfe"]);
    }

    #[test]
    fn control_characters_and_byte_255_are_escaped() {
        for byte in (0..=0x1f).chain([0x7f, 0xff]) {
            for line in [vec![b'a', byte], vec![b'"', byte, b'"']] {
                assert_eq!(split(&line), Err(QuotedError::NotEscaped), "{line:?}");
            }
        }
    }

    #[test]
    fn a_quoted_word_may_hold_anything() {
        assert_split(b"\"\"", &[b""]);
        assert_split(b"\"\" \"\"", &[b"", b""]);
        assert_split(b"a \"b c\" d", &[b"a", b"b c", b"d"]);
        assert_split(br#""\\ \" \n\r\t \x00\xfF""#, &[b"\\ \" \n\r\t \x00\xff"]);
    }

    #[test]
    fn what_is_not_made_of_words_is_refused() {
        assert_eq!(split(b"a\"b\""), Err(QuotedError::QuoteInWord));
        assert_eq!(split(b"\"a\"b"), Err(QuotedError::TextAfterQuote));
        assert_eq!(split(b"\"a\"\"b\""), Err(QuotedError::TextAfterQuote));
        assert_eq!(split(b"\"a"), Err(QuotedError::Unclosed));
        assert_eq!(split(b"\""), Err(QuotedError::Unclosed));
        assert_eq!(split(b"\"a\\"), Err(QuotedError::Unclosed));
        for escape in [r#""\a""#, r#""\x""#, r#""\x1""#, r#""\x1g""#, r#""\xg1""#, r#""\x+1""#] {
            assert_eq!(split(escape.as_bytes()), Err(QuotedError::BadEscape), "{escape}");
        }
    }

    #[test]
    fn errors_are_plain_sentences() {
        let said: Vec<String> = [
            QuotedError::QuoteInWord,
            QuotedError::BackslashInWord,
            QuotedError::NotEscaped,
            QuotedError::TextAfterQuote,
            QuotedError::Unclosed,
            QuotedError::BadEscape,
        ]
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            said,
            [
                r#"A word with a quote in it must be quoted as a whole: "key=a b""#,
                r#"A word with a "\" in it must be quoted, and the "\" doubled"#,
                r"A control character or byte 255 must be \xHH in a quoted word",
                "A closing quote must be followed by a space or the line's end",
                "A quote must be closed before the line ends",
                r#"A "\" in quotes must be followed by one of: \, ", n, r, t, xHH"#,
            ]
        );
    }

    #[test]
    fn push_quotes_only_what_needs_it() {
        let mut line = Vec::new();
        for word in [&b"a"[..], b"", b"b c", b"\"", b"\\", b"\n\r\t\x00\x7f\xff", b"x=1"] {
            push(&mut line, word);
        }
        let expected = br#"a "" "b c" "\"" "\\" "\n\r\t\x00\x7f\xff" x=1"#;
        assert_eq!(line, expected);
    }

    #[test]
    fn push_adds_no_second_space() {
        let mut line = b"a ".to_vec();
        push(&mut line, b"b");
        assert_eq!(line, b"a b");
    }

    #[test]
    fn a_pair_is_one_word() {
        let mut line = Vec::new();
        push_pair(&mut line, "port", b"80");
        push_pair(&mut line, "path", b"/a b");
        push_pair(&mut line, "env.X", b"");
        assert_eq!(line, br#"port=80 "path=/a b" env.X="#);
    }
}
