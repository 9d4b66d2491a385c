//! The `key=value` words of `make`.

mod limit;
mod process;
mod socket;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter::Peekable;

use crate::error::CommandError;
use crate::text::shown;

pub use limit::Limit;
pub use process::{
    MAX_BUFSIZE, MAX_LINGER_MS, Overflow, ProcessOptions, Replace, Resource, Stderr, Stdout,
};
pub use socket::{
    DEFAULT_BACKLOG, Family, MAX_BACKLOG, SocketAddress, SocketOptions, SocketType, abstract_name,
};
pub(crate) use socket::{check_interface, check_path};

/// Options by key. Each key is there once, as it was written.
pub type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Takes words for as long as they contain `=`. The first one without it begins the command.
///
/// A value that begins and ends with `"` loses both: papa's client wraps a value that ends in
/// `\` that way, because the wire would take that `\` for an escape.
pub(crate) fn take_pairs(
    words: &mut Peekable<impl Iterator<Item = Vec<u8>>>,
) -> Result<Pairs, CommandError> {
    let mut pairs = Pairs::new();
    while let Some(word) = words.next_if(|word| word.contains(&b'=')) {
        let mut parts = word.splitn(2, |&byte| byte == b'=');
        let key = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        let value = match value {
            [b'"', inner @ .., b'"'] => inner,
            value => value,
        };
        match pairs.entry(key.to_vec()) {
            Entry::Vacant(entry) => entry.insert(value.to_vec()),
            Entry::Occupied(_) => return Err(given_twice(key)),
        };
    }
    Ok(pairs)
}

fn given_twice(key: &[u8]) -> CommandError {
    CommandError::new(format!("Option \"{}\" is given twice", shown(key)))
}

fn unknown(key: &[u8], command: &str) -> CommandError {
    CommandError::new(format!("Unknown option \"{}\" for {command}", shown(key)))
}

/// What goes into a system call as a C string cannot hold a NUL byte.
pub(crate) fn refuse_nul(what: &str, value: &[u8]) -> Result<(), CommandError> {
    if value.contains(&0) {
        return Err(CommandError::new(format!("{what} must not contain a NUL byte")));
    }
    Ok(())
}

/// A value that is handed to a system call as a C string. An empty one counts as not given.
fn c_text(key: &str, value: Vec<u8>) -> Result<Option<Vec<u8>>, CommandError> {
    refuse_nul(key, &value)?;
    Ok(Some(value).filter(|value| !value.is_empty()))
}

/// A yes or no, as people write it (`1`) and as Python prints it (`True`).
fn flag(key: &str, value: &[u8]) -> Result<bool, CommandError> {
    match value {
        b"0" | b"False" => Ok(false),
        b"1" | b"True" => Ok(true),
        _ => Err(CommandError::new(format!("{key} must be 0 or 1, not \"{}\"", shown(value)))),
    }
}

/// A decimal number from 0 to `max`.
fn number(what: &str, max: u32, value: &[u8]) -> Result<u32, CommandError> {
    let number = integer(value).and_then(|number| u32::try_from(number).ok());
    number.filter(|&number| number <= max).ok_or_else(|| {
        let value = shown(value);
        CommandError::new(format!("{what} must be a number from 0 to {max}, not \"{value}\""))
    })
}

/// An integer as Python's `int()` reads it: decimal digits, with single underscores between
/// them if one likes, after an optional sign. Leading zeros do not make it octal.
fn integer(text: &[u8]) -> Option<i128> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let mut value: i128 = 0;
    for group in digits.split(|&byte| byte == b'_') {
        if group.is_empty() || !group.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for digit in group {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
    }
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs and how many words are left after them.
    fn take(words: &[&str]) -> Result<(Pairs, usize), String> {
        let mut words = words.iter().map(|word| word.as_bytes().to_vec()).peekable();
        let pairs = take_pairs(&mut words).map_err(|error| error.to_string())?;
        Ok((pairs, words.count()))
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Pairs {
        pairs.map(|(key, value)| (key.into(), value.into())).into()
    }

    #[test]
    fn the_first_word_without_equals_ends_the_pairs() {
        let expected = (pairs([("a", "1"), ("b", "2=3"), ("c", "")]), 2);
        assert_eq!(take(&["a=1", "b=2=3", "c=", "cmd", "d=4"]), Ok(expected));
        assert_eq!(take(&[]), Ok((Pairs::new(), 0)));
    }

    #[test]
    fn a_value_in_quotes_loses_them() {
        for (word, value) in [(r#"k="a\""#, r"a\"), (r#"k="""#, ""), (r#"k=""a"""#, r#""a""#)] {
            assert_eq!(take(&[word]), Ok((pairs([("k", value)]), 0)));
        }
    }

    #[test]
    fn a_lone_quote_stays() {
        for value in [r#"""#, r#""a"#, r#"a""#] {
            let word = format!("k={value}");
            assert_eq!(take(&[&word]), Ok((pairs([("k", value)]), 0)));
        }
    }

    #[test]
    fn a_key_counts_once() {
        let twice = |key: &str| Err(format!("Option \"{key}\" is given twice"));
        assert_eq!(take(&["port=1", "port=1"]), twice("port"));
        assert_eq!(take(&["env.A=1", "env.A=2"]), twice("env.A"));
        assert_eq!(take(&["=1", "=2"]), twice(""));
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        assert_eq!(integer(b"0"), Some(0));
        assert_eq!(integer(b"+18"), Some(18));
        assert_eq!(integer(b"-1"), Some(-1));
        assert_eq!(integer(b"022"), Some(22));
        assert_eq!(integer(b"1_000_000"), Some(1_000_000));
        assert_eq!(integer(b"18446744073709551616"), Some(1 << 64));
        for text in ["", "+", "-", "_1", "1_", "1__0", "+-1", "1.0", "0x1", " 1", "1a"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(integer(&[b'9'; 40]), None);
    }
}
