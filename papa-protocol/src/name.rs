//! The names of sockets, processes and values, and the patterns that pick them.

use std::error::Error;
use std::fmt;

/// What a name may belong to. Each noun is a name space of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noun {
    /// A listening or bound socket.
    Socket,
    /// A hosted process.
    Process,
    /// A stored value.
    Value,
}

impl Noun {
    /// `socket`, `process` or `value`.
    #[must_use]
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Process => "process",
            Self::Value => "value",
        }
    }

    /// `sockets`, `processes` or `values`: the word that follows `list` and `remove`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Socket => "sockets",
            Self::Process => "processes",
            Self::Value => "values",
        }
    }
}

/// The most bytes in a name.
pub const MAX_NAME: usize = 255;

/// Why something cannot have a name. `Display` is a plain sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameError {
    noun: Noun,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Empty,
    TooLong,
    Space,
    Control,
    Colon,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A {} name must not ", self.noun.singular())?;
        match self.fault {
            Fault::Empty => f.write_str("be empty"),
            Fault::TooLong => write!(f, "be longer than {MAX_NAME} bytes"),
            Fault::Space => f.write_str("contain a space"),
            Fault::Control => f.write_str("contain a control character"),
            Fault::Colon => f.write_str("contain \":\""),
        }
    }
}

impl Error for NameError {}

/// Whether something new may have this name.
///
/// Refused is what would break a line or a frame that carries the name: no bytes, more than
/// [`MAX_NAME`], a space, an ASCII control character and, for a process, a colon, which
/// separates the fields of an output frame. Bytes of 0x80 and above may be anything.
pub fn check(noun: Noun, name: &[u8]) -> Result<(), NameError> {
    let fault = if name.is_empty() {
        Fault::Empty
    } else if name.len() > MAX_NAME {
        Fault::TooLong
    } else if name.contains(&b' ') {
        Fault::Space
    } else if name.iter().any(u8::is_ascii_control) {
        Fault::Control
    } else if noun == Noun::Process && name.contains(&b':') {
        Fault::Colon
    } else {
        return Ok(());
    };
    Err(NameError { noun, fault })
}

/// The names that follow `list`, `remove` or `watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patterns {
    /// None at all stands for everything.
    words: Vec<Vec<u8>>,
}

impl Patterns {
    /// Patterns from the words after a command. No word, or a `*` among them, is everything.
    #[must_use]
    pub fn new(mut words: Vec<Vec<u8>>) -> Self {
        if words.iter().any(|word| word == b"*") {
            words.clear();
        }
        Self { words }
    }

    /// The words that these were made from; none if everything is meant.
    #[must_use]
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// Whether everything is meant, whatever its name.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.words.is_empty()
    }

    /// The patterns in the order they were given; [`Pattern::All`] alone when all is meant.
    pub fn iter(&self) -> impl Iterator<Item = Pattern<'_>> {
        let all = self.is_all().then_some(Pattern::All);
        all.into_iter().chain(self.words.iter().map(|word| Pattern::of(word)))
    }

    /// Whether one of the patterns is this name, or stands for it.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.iter().any(|pattern| pattern.matches(name))
    }
}

/// One name or wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern<'a> {
    /// Every name.
    All,
    /// Every name that begins with these bytes: a word that ended in `*`, without it.
    Prefix(&'a [u8]),
    /// This name alone. A pid or a file number is one of these too.
    Exact(&'a [u8]),
}

impl<'a> Pattern<'a> {
    fn of(word: &'a [u8]) -> Self {
        match word.strip_suffix(b"*") {
            Some(prefix) => Self::Prefix(prefix),
            None => Self::Exact(word),
        }
    }

    /// Whether the pattern stands for this name.
    #[must_use]
    pub fn matches(self, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => name.starts_with(prefix),
            Self::Exact(exact) => name == exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(words: &[&str]) -> Patterns {
        Patterns::new(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    fn refusal(noun: Noun, name: &[u8]) -> String {
        match check(noun, name) {
            Ok(()) => panic!("{name:?} should be refused"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "circus.web-1", "a=b", "100%", "caf\u{e9}"] {
            for noun in [Noun::Socket, Noun::Process, Noun::Value] {
                assert_eq!(check(noun, name.as_bytes()), Ok(()), "{name}");
            }
        }
        assert_eq!(check(Noun::Value, b"\xff"), Ok(()));
        assert_eq!(check(Noun::Process, &[b'a'; MAX_NAME]), Ok(()));
    }

    #[test]
    fn names_that_break_a_line_are_refused() {
        assert_eq!(refusal(Noun::Value, b""), "A value name must not be empty");
        assert_eq!(
            refusal(Noun::Socket, &[b'a'; MAX_NAME + 1]),
            "A socket name must not be longer than 255 bytes"
        );
        assert_eq!(refusal(Noun::Process, b"a b"), "A process name must not contain a space");
        for name in [b"a\nb", b"a\0b", b"a\tb", b"a\x7fb"] {
            let said = refusal(Noun::Socket, name);
            assert_eq!(said, "A socket name must not contain a control character");
        }
    }

    #[test]
    fn a_colon_is_refused_for_a_process_alone() {
        assert_eq!(refusal(Noun::Process, b"a:b"), "A process name must not contain \":\"");
        assert_eq!(check(Noun::Socket, b"a:b"), Ok(()));
        assert_eq!(check(Noun::Value, b"a:b"), Ok(()));
    }

    #[test]
    fn no_word_or_a_star_is_everything() {
        for all in [patterns(&[]), patterns(&["*"]), patterns(&["a", "*", "b*"])] {
            assert!(all.is_all());
            assert_eq!(all.iter().collect::<Vec<_>>(), [Pattern::All]);
            assert!(all.matches(b"anything"));
        }
    }

    #[test]
    fn names_and_wildcards_pick_what_they_say() {
        let some = patterns(&["web", "db.*", "*x", "a**"]);
        assert!(!some.is_all());
        assert_eq!(
            some.iter().collect::<Vec<_>>(),
            [
                Pattern::Exact(b"web"),
                Pattern::Prefix(b"db."),
                Pattern::Exact(b"*x"),
                Pattern::Prefix(b"a*"),
            ]
        );
        for name in ["web", "db.", "db.1", "*x", "a*b"] {
            assert!(some.matches(name.as_bytes()), "{name}");
        }
        for name in ["web2", "we", "db", "xx", "a"] {
            assert!(!some.matches(name.as_bytes()), "{name}");
        }
    }
}
