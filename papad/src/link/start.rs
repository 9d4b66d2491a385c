//! What a server is told when it starts.

use std::io;
use std::str::SplitAsciiWhitespace;

use super::{bad_message, number, on_one_line, rest};

/// What a server needs to know of papad's life so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// How many servers there were, this one included.
    pub(crate) starts: u64,
    /// How the last server ended: its exit status, or minus a signal's number.
    pub(crate) last_end: Option<i32>,
    /// The descriptor limits papad was started with, from which children's are made: soft and hard.
    pub(crate) descriptor_limit: (u64, u64),
    /// The OOM score adjustment papad was started with, which children get; `None` if it is
    /// papad's own, too.
    pub(crate) oom_score: Option<i32>,
    /// The limits on the size of files papad was started with, which children get: soft and hard;
    /// `None` if they are papad's own, too.
    pub(crate) file_size_limit: Option<(u64, u64)>,
    /// How many servers in a row have ended before they were ready.
    pub(crate) deaths: u64,
    /// What is held is in a store, too, which gives it to the next papad if this one ends.
    pub(crate) has_store: bool,
    /// How many keepers there were at least, this one included: 1 for the first, which is the
    /// parent of every hosted process.
    pub(crate) keepers: u64,
    /// If a new version was to take over and did not, why.
    pub(crate) put_back: Option<String>,
}

impl Start {
    pub(crate) fn from_text(text: &str) -> io::Result<Start> {
        Start::from_words(&mut text.split_ascii_whitespace())
    }

    /// `STARTS LAST_END SOFT HARD KEY=VALUE...`; `put_back` has the rest of the line.
    pub(crate) fn to_text(&self) -> String {
        use std::fmt::Write;
        let Start { starts, last_end, descriptor_limit: (soft, hard), .. } = self;
        let last_end = last_end.map_or_else(|| "none".to_owned(), |end| end.to_string());
        let mut text = format!("{starts} {last_end} {soft} {hard}");
        // Writing to a String cannot fail.
        let _ = write!(text, " store={} keepers={}", u8::from(self.has_store), self.keepers);
        let _ = write!(text, " deaths={}", self.deaths);
        if let Some(score) = self.oom_score {
            let _ = write!(text, " oom={score}");
        }
        if let Some((soft, hard)) = self.file_size_limit {
            let _ = write!(text, " fsize={soft}:{hard}");
        }
        if let Some(why) = &self.put_back {
            let _ = write!(text, " put_back={}", on_one_line(why));
        }
        text
    }

    /// Keys that are missing are those of a version that did not know them; unknown ones are
    /// passed over.
    pub(super) fn from_words(words: &mut SplitAsciiWhitespace) -> io::Result<Start> {
        let mut start = Start {
            starts: number(words)?,
            last_end: words.next().and_then(|word| word.parse().ok()),
            descriptor_limit: (number(words)?, number(words)?),
            oom_score: None,
            file_size_limit: None,
            deaths: 0,
            has_store: false,
            keepers: 1,
            put_back: None,
        };
        while let Some((key, value)) = words.next().and_then(|word| word.split_once('=')) {
            let to_number = || value.parse::<u64>().map_err(|_| bad_message());
            match key {
                "store" => start.has_store = to_number()? != 0,
                "keepers" => start.keepers = to_number()?,
                "deaths" => start.deaths = to_number()?,
                "oom" => start.oom_score = Some(value.parse().map_err(|_| bad_message())?),
                "fsize" => {
                    let (soft, hard) = value.split_once(':').ok_or_else(bad_message)?;
                    let number = |text: &str| text.parse().map_err(|_| bad_message());
                    start.file_size_limit = Some((number(soft)?, number(hard)?));
                }
                "put_back" => start.put_back = Some(format!("{value} {}", rest(words))),
                _ => {}
            }
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_back_as_it_was_written_and_what_a_version_does_not_say_is_as_it_was() {
        let start = Start {
            starts: 3,
            last_end: Some(-9),
            descriptor_limit: (1024, 4096),
            oom_score: Some(-17),
            file_size_limit: Some((0, u64::MAX)),
            deaths: 2,
            has_store: true,
            keepers: 2,
            put_back: Some("it ended".to_owned()),
        };
        assert_eq!(Start::from_text(&start.to_text()).unwrap(), start);
        let old = Start::from_text("3 -9 1024 4096 store=0 keepers=1 unheard=of").unwrap();
        assert_eq!((old.oom_score, old.deaths, old.put_back), (None, 0, None));
        assert_eq!(old.file_size_limit, None);
    }
}
