//! papad's own bounds: what each is, by which option it is set, and how near it is.
//!
//! One table has all of them. The command line, `--help` and `status` go by it, and a test holds
//! the documents to it. A bound is for new requests: what is held already is never given up for one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::available;
use papa_protocol::exact::{Code, Failure, MAX_LINE};
use papa_protocol::name::MAX_NAME;
use papa_protocol::size;

/// What is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Bytes of a line, without its end.
    Line,
    /// Words of a line.
    Words,
    /// Bytes of a new name.
    Name,
    /// Bytes of a process's words and environment, as exec(2) counts them.
    Args,
    /// Bytes of one answer that says something of each of many things.
    Answer,
    /// Seconds for which a client may leave a line unfinished, or read nothing of what waits.
    ClientTimeout,
    Sessions,
    SessionsPerUser,
    /// Bytes that all sessions keep for clients that do not read, or do not finish a line.
    Backlog,
    /// Processes that one session watches, and wildcards by which others join.
    Watched,
    /// Processes on the list, and others whose descendants hold their pipes.
    Processes,
    /// Bytes that all rings together may come to hold.
    Buffers,
    /// Bytes of memory that all rings together hold.
    OutputMemory,
    Sockets,
    Values,
    /// Bytes of one value, without its name.
    Value,
    /// Bytes of all values, with their names.
    ValuesTotal,
}

/// What a bound counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Number,
    Bytes,
    Seconds,
    /// Bytes, percents of the memory that there is for papad, or no bound.
    Memory,
}

/// All there is to say of a bound.
struct Row {
    bound: Bound,
    option: &'static str,
    unit: Unit,
    default: u64,
    /// What the option takes.
    range: (u64, u64),
    /// Another bound: half of it is this one's default, and it is never above all of it.
    within: Option<Bound>,
    help: &'static str,
    /// Why a request is refused, as protocol 2 says it. `{}` is what is allowed.
    refusal: &'static str,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// More than any machine has, and far from what a sum of such could not hold.
const MOST_BYTES: u64 = 1 << 50;
const MOST: u64 = 10_000_000;

/// Stands for half of what another bound allows.
const HALF: u64 = u64::MAX;

/// Marks a number of percents.
const PERCENT: u64 = 1 << 63;
const YEAR: u64 = 365 * 24 * 60 * 60;

const COUNT: usize = 17;

/// In the order of [`Bound`].
const TABLE: [Row; COUNT] = [
    Row {
        bound: Bound::Line,
        option: "max-line",
        unit: Unit::Bytes,
        default: MAX_LINE as u64,
        range: (64, MAX_LINE as u64),
        within: None,
        help: "bytes of a line",
        refusal: "a line may have at most {} bytes",
    },
    Row {
        bound: Bound::Words,
        option: "max-words",
        unit: Unit::Number,
        // As many as there can be in the longest line.
        default: MAX_LINE as u64 / 2,
        range: (8, MAX_LINE as u64),
        within: None,
        help: "words of a line",
        refusal: "a line may have at most {} words",
    },
    Row {
        bound: Bound::Name,
        option: "max-name",
        unit: Unit::Bytes,
        default: MAX_NAME as u64,
        range: (1, MAX_NAME as u64),
        within: None,
        help: "bytes of a name",
        refusal: "a name may have at most {} bytes",
    },
    Row {
        bound: Bound::Args,
        option: "max-args",
        unit: Unit::Bytes,
        default: MAX_LINE as u64,
        range: (0, MAX_LINE as u64),
        within: None,
        help: "bytes of a process's words and environment",
        refusal: "the words and the environment of a process may have at most {} bytes",
    },
    Row {
        bound: Bound::Answer,
        option: "max-answer",
        unit: Unit::Bytes,
        default: 64 * MIB,
        range: (0, MOST_BYTES),
        within: None,
        help: "bytes of the answer to a list or watch",
        refusal: "an answer may have at most {} bytes: ask for fewer names",
    },
    Row {
        bound: Bound::ClientTimeout,
        option: "client-timeout",
        unit: Unit::Seconds,
        default: 600,
        range: (1, YEAR),
        within: None,
        help: "a client may take to finish a line, or read nothing",
        refusal: "a line must be finished within {} seconds",
    },
    Row {
        bound: Bound::Sessions,
        option: "max-sessions",
        unit: Unit::Number,
        default: 2000,
        range: (1, MOST),
        within: None,
        help: "sessions served at once",
        refusal: "papad serves at most {} sessions",
    },
    Row {
        bound: Bound::SessionsPerUser,
        option: "max-sessions-per-user",
        unit: Unit::Number,
        default: HALF,
        range: (1, MOST),
        within: Some(Bound::Sessions),
        help: "those of one user",
        refusal: "papad serves at most {} sessions of one user",
    },
    Row {
        bound: Bound::Backlog,
        option: "max-backlog",
        unit: Unit::Bytes,
        default: 256 * MIB,
        range: (0, MOST_BYTES),
        within: None,
        help: "bytes of all unread answers and unfinished lines",
        refusal: "unread answers and unfinished lines may have at most {} bytes together",
    },
    Row {
        bound: Bound::Watched,
        option: "max-watched",
        unit: Unit::Number,
        default: 100_000,
        range: (1, MOST),
        within: None,
        help: "processes and wildcards that a session watches",
        refusal: "a session watches at most {} processes and wildcards",
    },
    Row {
        bound: Bound::Processes,
        option: "max-processes",
        unit: Unit::Number,
        default: 100_000,
        range: (0, MOST),
        within: None,
        help: "processes",
        refusal: "papad hosts at most {} processes",
    },
    Row {
        bound: Bound::Buffers,
        option: "max-buffers",
        unit: Unit::Bytes,
        default: 1024 * GIB,
        range: (0, MOST_BYTES),
        within: None,
        help: "bytes of all processes' buffers together",
        refusal: "the buffers of all processes may have at most {} bytes together",
    },
    Row {
        bound: Bound::OutputMemory,
        option: "output-memory",
        unit: Unit::Memory,
        default: PERCENT + 25,
        range: (MIB, MOST_BYTES),
        within: None,
        help: "memory that all output takes, or percent of all",
        refusal: "the output of all processes may hold at most {} bytes of memory",
    },
    Row {
        bound: Bound::Sockets,
        option: "max-sockets",
        unit: Unit::Number,
        default: 10_000,
        range: (0, MOST),
        within: None,
        help: "sockets",
        refusal: "papad hosts at most {} sockets",
    },
    Row {
        bound: Bound::Values,
        option: "max-values",
        unit: Unit::Number,
        default: 100_000,
        range: (0, MOST),
        within: None,
        help: "values",
        refusal: "papad keeps at most {} values",
    },
    Row {
        bound: Bound::Value,
        option: "max-value",
        unit: Unit::Bytes,
        default: MAX_LINE as u64,
        range: (0, MAX_LINE as u64),
        within: None,
        help: "bytes of a value",
        refusal: "a value may have at most {} bytes",
    },
    Row {
        bound: Bound::ValuesTotal,
        option: "max-values-total",
        unit: Unit::Bytes,
        default: 64 * MIB,
        range: (0, MOST_BYTES),
        within: None,
        help: "bytes of all values and their names together",
        refusal: "all values and their names may have at most {} bytes together",
    },
];

impl Unit {
    /// What stands for a number of these behind an option.
    fn word(self) -> &'static str {
        match self {
            Unit::Number => "N",
            Unit::Bytes => "SIZE",
            Unit::Seconds => "SECONDS",
            Unit::Memory => "SIZE|N%|none",
        }
    }

    fn parse(self, text: &str) -> Option<u64> {
        match self {
            Unit::Number | Unit::Seconds => text.parse().ok().filter(|_| !text.starts_with('+')),
            Unit::Bytes => size::parse(text.as_bytes()),
            Unit::Memory if text == "none" => Some(MOST_BYTES),
            Unit::Memory => match text.strip_suffix('%') {
                Some(percents) => Unit::Number.parse(percents).map(|percents| PERCENT | percents),
                None => size::parse(text.as_bytes()),
            },
        }
    }

    fn show(self, number: u64) -> String {
        match self {
            Unit::Memory if number == MOST_BYTES => "none".to_owned(),
            Unit::Memory if number & PERCENT != 0 => format!("{}%", number & !PERCENT),
            Unit::Memory => Unit::Bytes.show(number),
            Unit::Bytes if number > 0 && number.is_multiple_of(GIB) => format!("{}g", number / GIB),
            Unit::Bytes if number > 0 && number.is_multiple_of(MIB) => format!("{}m", number / MIB),
            Unit::Bytes if number > 0 && number.is_multiple_of(KIB) => format!("{}k", number / KIB),
            Unit::Number | Unit::Bytes | Unit::Seconds => number.to_string(),
        }
    }
}

impl Row {
    fn default_shown(&self) -> String {
        match self.within {
            Some(other) => format!("half of --{}", other.row().option),
            None => self.unit.show(self.default),
        }
    }

    /// The line of `--help`, without indentation.
    fn help_line(&self) -> String {
        let option = format!("--{} {}", self.option, self.unit.word());
        format!("{option:<28} {} (default {})", self.help, self.default_shown())
    }
}

impl Bound {
    /// All of them, in the order in which they are told of.
    pub(crate) fn all() -> impl Iterator<Item = Bound> {
        TABLE.iter().map(|row| row.bound)
    }

    /// The one that is set by `--OPTION`.
    pub(crate) fn of_option(option: &str) -> Option<Bound> {
        TABLE.iter().find(|row| row.option == option).map(|row| row.bound)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// What `status` calls it.
    pub(crate) fn name(self) -> &'static str {
        let option = self.row().option;
        option.strip_prefix("max-").unwrap_or(option)
    }

    /// What a word behind its option stands for.
    pub(crate) fn parse(self, text: &str) -> Result<u64, String> {
        let Row { unit, range: (least, most), .. } = self.row();
        let is_allowed = |number: &u64| match number & PERCENT {
            0 => (least..=most).contains(&number),
            _ => (1..=100).contains(&(number & !PERCENT)),
        };
        let number = unit.parse(text).filter(is_allowed);
        number.ok_or_else(|| format!("not from {} to {}", unit.show(*least), unit.show(*most)))
    }
}

/// The part of `--help` that tells of bounds.
pub(crate) fn help() -> String {
    TABLE.iter().flat_map(|row| ["      ".to_owned(), row.help_line(), "\n".to_owned()]).collect()
}

/// What is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed([u64; COUNT]);

impl Default for Allowed {
    fn default() -> Allowed {
        Allowed(TABLE.map(|row| row.default))
    }
}

impl Allowed {
    pub(crate) fn set(&mut self, bound: Bound, allowed: u64) {
        self.0[bound as usize] = allowed;
    }

    pub(crate) fn get(&self, bound: Bound) -> u64 {
        let allowed = self.0[bound as usize];
        match bound.row().within {
            Some(other) if allowed == HALF => (self.get(other) / 2).max(1),
            Some(other) => allowed.min(self.get(other)),
            None => allowed,
        }
    }
}

/// What is allowed to this server's clients, and the most there has been.
pub(crate) struct Bounds {
    allowed: Allowed,
    most: [AtomicU64; COUNT],
}

impl Bounds {
    pub(crate) fn new(mut allowed: Allowed) -> Bounds {
        let memory = allowed.0[Bound::OutputMemory as usize];
        if memory & PERCENT != 0 {
            let percents = memory & !PERCENT;
            allowed.set(Bound::OutputMemory, available::memory() / 100 * percents);
        }
        Bounds { allowed, most: Default::default() }
    }

    pub(crate) fn allowed(&self, bound: Bound) -> u64 {
        self.allowed.get(bound)
    }

    /// How long a client is waited for.
    pub(crate) fn client_timeout(&self) -> Duration {
        Duration::from_secs(self.allowed(Bound::ClientTimeout))
    }

    /// Notes so many, if they may be.
    ///
    /// # Errors
    /// They are too many: a `limit`, and one sentence with the number.
    pub(crate) fn check(&self, bound: Bound, wanted: usize) -> Result<(), Failure> {
        self.check_bytes(bound, wanted as u64)
    }

    /// As [`Bounds::check`], for what may be more than memory can hold.
    pub(crate) fn check_bytes(&self, bound: Bound, wanted: u64) -> Result<(), Failure> {
        if wanted > self.allowed(bound) {
            return Err(self.refusal(bound));
        }
        self.note(bound, wanted);
        Ok(())
    }

    /// Why more is refused.
    pub(crate) fn refusal(&self, bound: Bound) -> Failure {
        let allowed = self.allowed(bound).to_string();
        Failure::new(Code::Limit, bound.row().refusal.replace("{}", &allowed))
    }

    /// There are so many.
    pub(crate) fn note(&self, bound: Bound, used: u64) {
        let most = &self.most[bound as usize];
        // Most are less than what was noted, and need not be written.
        if most.load(Ordering::Relaxed) < used {
            most.fetch_max(used, Ordering::Relaxed);
        }
    }

    /// The most that was noted since this server started.
    pub(crate) fn most(&self, bound: Bound) -> u64 {
        self.most[bound as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_default_may_be_given() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.bound as usize, at, "{}", row.option);
            let default = row.unit.show(row.default);
            if row.within.is_none() {
                assert_eq!(row.bound.parse(&default), Ok(row.default), "{}", row.option);
            }
            assert!(row.refusal.contains("{}"), "{}", row.option);
            assert_eq!(Bound::of_option(row.option), Some(row.bound));
        }
    }

    #[test]
    fn what_is_out_of_range_or_no_number_is_refused() {
        for (bound, text) in [
            (Bound::Line, "3m"),
            (Bound::Line, "1"),
            (Bound::Name, "256"),
            (Bound::Sessions, "0"),
            (Bound::Sessions, "1k"),
            (Bound::ClientTimeout, "+1"),
            (Bound::Buffers, "many"),
            (Bound::Buffers, ""),
        ] {
            let why = bound.parse(text).unwrap_err();
            assert!(why.starts_with("not from "), "{why}");
        }
        assert_eq!(Bound::Buffers.parse("64k"), Ok(65_536));
    }

    #[test]
    fn a_user_has_half_of_all_sessions_unless_it_is_said() {
        let mut allowed = Allowed::default();
        assert_eq!(allowed.get(Bound::SessionsPerUser), 1000);
        allowed.set(Bound::Sessions, 5000);
        assert_eq!(allowed.get(Bound::SessionsPerUser), 2500);
        allowed.set(Bound::Sessions, 1);
        assert_eq!(allowed.get(Bound::SessionsPerUser), 1);
        allowed.set(Bound::SessionsPerUser, 7);
        assert_eq!(allowed.get(Bound::SessionsPerUser), 1);
        allowed.set(Bound::Sessions, 5000);
        assert_eq!(allowed.get(Bound::SessionsPerUser), 7);
    }

    #[test]
    fn a_bound_is_met_by_as_many_and_no_more() {
        let mut allowed = Allowed::default();
        allowed.set(Bound::Words, 8);
        let bounds = Bounds::new(allowed);
        assert_eq!(bounds.check(Bound::Words, 8), Ok(()));
        let refusal = bounds.check(Bound::Words, 9).unwrap_err();
        assert_eq!(refusal, Failure::new(Code::Limit, "a line may have at most 8 words"));
        // What was refused was never there.
        assert_eq!(bounds.most(Bound::Words), 8);
    }

    #[test]
    fn the_documents_tell_of_every_bound_as_it_is() {
        let readme = include_str!("../../README.md");
        let protocol = include_str!("../../protocol.md");
        for row in &TABLE {
            let line = row.help_line();
            assert!(readme.contains(&format!("    {line}\n")), "README.md: {line}");
            let (name, option, default) = (row.bound.name(), row.option, row.default_shown());
            let begins = format!("\n| `{name}` | `--{option}` | {default} | ");
            assert!(protocol.contains(&begins), "protocol.md: {begins}");
            let refusal = row.refusal.replace("{}", "N");
            assert!(protocol.contains(&refusal), "protocol.md: {refusal}");
        }
    }
}
