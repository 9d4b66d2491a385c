//! The words of a papa 1.0 line.
//!
//! Words are separated by single spaces. A space inside a word is written `\ `, and that is the
//! only escape: a `\` anywhere else is itself. papa's client writes a newline as `\ ` too, so a
//! word that had one arrives with a space.

/// Splits a line, with or without its line end, into words.
///
/// ASCII whitespace at both ends of the line does not count. No word is empty.
///
/// Two lines are read as they were meant, not as papa read them. A word that ends in a space is
/// followed by two (`a\  b`): that is `a ` and `b`, which papa glued together. And a space at
/// the beginning or end of a word stays, which papa stripped.
#[must_use]
pub fn split(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word = Vec::new();
    for piece in line.trim_ascii().split(|&byte| byte == b' ') {
        if let Some(before) = piece.strip_suffix(b"\\") {
            word.extend_from_slice(before);
            word.push(b' ');
            continue;
        }
        word.extend_from_slice(piece);
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// How many words [`split`] makes of a line, found out without making them.
#[must_use]
pub fn count(line: &[u8]) -> usize {
    let mut count = 0;
    let mut is_in_word = false;
    for piece in line.trim_ascii().split(|&byte| byte == b' ') {
        is_in_word |= !piece.is_empty();
        if is_in_word && !piece.ends_with(b"\\") {
            count += 1;
            is_in_word = false;
        }
    }
    count + usize::from(is_in_word)
}

/// Joins words into a line, without a line end, as papa's Python client does.
///
/// A space or newline in a word becomes `\ `. Empty words are left out. A word that ends in `\`
/// cannot be written: it is read back joined to the next one.
#[must_use]
pub fn join<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words.iter().map(AsRef::as_ref).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(b' ');
        }
        for &byte in word {
            match byte {
                b' ' | b'\n' => line.extend_from_slice(b"\\ "),
                _ => line.push(byte),
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_split(line: &str, words: &[&str]) {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(split(line.as_bytes()), words, "{line:?}");
        assert_eq!(count(line.as_bytes()), words.len(), "{line:?}");
    }

    #[test]
    fn words_are_separated_by_spaces() {
        assert_split("list p", &["list", "p"]);
        assert_split("  list   p \r\n", &["list", "p"]);
        assert_split("", &[]);
        assert_split(" \t\r\n", &[]);
    }

    #[test]
    fn only_a_space_separates() {
        assert_split("a\tb", &["a\tb"]);
    }

    #[test]
    fn a_backslash_before_a_space_keeps_it_in_the_word() {
        assert_split("a\\ b c", &["a b", "c"]);
        assert_split("a\\ \\ b", &["a  b"]);
        assert_split("x \\ b", &["x", " b"]);
    }

    #[test]
    fn a_backslash_elsewhere_is_itself() {
        assert_split("\\a b\\c \\\\d", &["\\a", "b\\c", "\\\\d"]);
        assert_split("a\\\\ b", &["a\\ b"]);
    }

    #[test]
    fn a_word_may_end_in_a_space() {
        assert_split("a\\  b", &["a ", "b"]);
        assert_split("a\\   b", &["a ", "b"]);
        assert_split("a\\  \\ b", &["a ", " b"]);
        assert_split("set k a\\ \n", &["set", "k", "a "]);
        assert_split("\\", &[" "]);
    }

    #[test]
    fn join_writes_what_the_python_client_sends() {
        let words = ["m", "p", "", "a  b", "x\ny", " "];
        assert_eq!(join(&words), b"m p a\\ \\ b x\\ y \\ ");
        assert_eq!(join::<&[u8]>(&[]), b"");
    }
}
