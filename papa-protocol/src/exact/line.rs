//! Building a line of exact words.

use std::fmt::Display;

use crate::quoted;

/// A line of exact words that is being written, without its line end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line(Vec<u8>);

impl Line {
    /// A line without words.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a word.
    #[must_use]
    pub fn word(mut self, word: impl AsRef<[u8]>) -> Self {
        quoted::push(&mut self.0, word.as_ref());
        self
    }

    /// Adds one word after another.
    #[must_use]
    pub fn words<W: AsRef<[u8]>>(self, words: impl IntoIterator<Item = W>) -> Self {
        words.into_iter().fold(self, Self::word)
    }

    /// Adds `key=value`. The key holds no `=`.
    #[must_use]
    pub fn pair(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        quoted::push_pair(&mut self.0, key, value.as_ref());
        self
    }

    /// Adds `key=value`, if there is a value.
    #[must_use]
    pub fn maybe(self, key: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        match value {
            Some(value) => self.pair(key, value),
            None => self,
        }
    }

    /// Adds `key=number`.
    #[must_use]
    pub fn number(self, key: &str, number: impl Display) -> Self {
        self.pair(key, number.to_string())
    }

    /// Adds `--` and what follows it. Nothing but words can come after that.
    #[must_use]
    pub fn rest<W: AsRef<[u8]>>(self, words: impl IntoIterator<Item = W>) -> Self {
        self.word("--").words(words)
    }

    /// The line: printable ASCII.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
