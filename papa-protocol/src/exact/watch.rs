//! `watch`, and what a client says while it watches.

use super::failure::Failure;
use super::line::Line;
use super::words::{
    Words, bad_value, insert, only, parse_number, split_pair, unknown_option, wrong_form, yes_or_no,
};
use super::{DEFAULT_WINDOW, MAX_WINDOW, MIN_WINDOW, request};
use crate::options::Pairs;
use crate::size;
use crate::text::shown;

const WATCH: &str = "watch NAME... [mode=take|peek] [from=POSITION|oldest|newest] \
                     [follow=no] [data=no] [window=BYTES] [id=ID]";
const OPTIONS: &str = "mode=, from=, follow=, data=, window= and id=; \
                       a name with a \"=\" comes after \"--\"";
const ACK: &str = "ack NAME POSITION|closed";

/// `watch NAME... [OPTION...]`
///
/// Options may stand anywhere among the names. What follows `--` is names, so that one with a
/// `=` in it can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// As written: at least one, and any may end in `*`.
    pub names: Vec<Vec<u8>>,
    /// `mode=`
    pub mode: Mode,
    /// `from=`
    pub from: From,
    /// `follow=`: whether to wait for more when all output is sent.
    pub follow: bool,
    /// `data=`: whether output is sent, or ends alone.
    pub data: bool,
    /// `window=`: the server sends as long as less bytes than these are sent and not acknowledged.
    /// From [`MIN_WINDOW`] to [`MAX_WINDOW`].
    pub window: u64,
    /// `id=`: the process of this id alone, also if another has replaced it. The watch then has one
    /// name, without `*`.
    pub id: Option<u64>,
}

/// Whether a watcher is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Mode {
    /// Output is kept until this watcher has acknowledged it.
    #[default]
    Take,
    /// Output is shown for as long as it is kept for others.
    Peek,
}

/// Where in a process's output a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum From {
    /// At the oldest byte that is kept.
    #[default]
    Oldest,
    /// At the end, as it is now.
    Newest,
    /// At this position. The watch then has one name, without `*`.
    Position(u64),
}

impl Watch {
    /// A watch of these names with every option at its default.
    #[must_use]
    pub fn new(names: Vec<Vec<u8>>) -> Self {
        Self {
            names,
            mode: Mode::default(),
            from: From::default(),
            follow: true,
            data: true,
            window: DEFAULT_WINDOW,
            id: None,
        }
    }

    /// Reads what follows `watch`.
    pub(super) fn read(mut words: Words) -> Result<Self, Failure> {
        let mut names = Vec::new();
        let mut pairs = Pairs::new();
        for word in words.by_ref().take_while(|word| word != b"--") {
            match split_pair(&word) {
                Some((key, value)) => insert(&mut pairs, key, value)?,
                None => names.push(word),
            }
        }
        names.extend(words);
        let mut watch = Self::new(names);
        for (key, value) in pairs {
            watch.set(&key, &value)?;
        }
        watch.check()?;
        Ok(watch)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        match key {
            b"mode" => self.mode = mode(value)?,
            b"from" => self.from = from(value)?,
            b"follow" => self.follow = yes_or_no("follow", value)?,
            b"data" => self.data = yes_or_no("data", value)?,
            b"window" => self.window = window(value)?,
            b"id" => self.id = Some(id(value)?),
            _ => return Err(unknown_option(key, "watch", OPTIONS)),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        match (&self.names[..], self.from, self.id) {
            ([], ..) => Err(wrong_form(WATCH)),
            ([name], ..) if !name.ends_with(b"*") => Ok(()),
            (_, From::Position(_), _) => {
                Err(Failure::usage("from=POSITION must be for one name, and without a \"*\""))
            }
            (_, _, Some(_)) => Err(Failure::usage("id= must be for one name, and without a \"*\"")),
            _ => Ok(()),
        }
    }

    /// Adds what [`Watch::read`] reads.
    pub(super) fn write(&self, line: Line) -> Line {
        let looks_like_an_option = |name: &Vec<u8>| name.contains(&b'=') || name == b"--";
        if self.names.iter().any(looks_like_an_option) {
            return self.write_options(line).rest(&self.names);
        }
        self.write_options(line.words(&self.names))
    }

    fn write_options(&self, mut line: Line) -> Line {
        if self.mode == Mode::Peek {
            line = line.word("mode=peek");
        }
        line = match self.from {
            From::Oldest => line,
            From::Newest => line.word("from=newest"),
            From::Position(position) => line.number("from", position),
        };
        if !self.follow {
            line = line.word("follow=no");
        }
        if !self.data {
            line = line.word("data=no");
        }
        if self.window != DEFAULT_WINDOW {
            line = line.number("window", self.window);
        }
        match self.id {
            Some(id) => line.number("id", id),
            None => line,
        }
    }
}

fn mode(value: &[u8]) -> Result<Mode, Failure> {
    match value {
        b"take" => Ok(Mode::Take),
        b"peek" => Ok(Mode::Peek),
        _ => Err(bad_value("mode", "take or peek", value)),
    }
}

fn from(value: &[u8]) -> Result<From, Failure> {
    match value {
        b"oldest" => Ok(From::Oldest),
        b"newest" => Ok(From::Newest),
        _ => parse_number(value)
            .map(From::Position)
            .ok_or_else(|| bad_value("from", "a position, oldest or newest", value)),
    }
}

fn id(value: &[u8]) -> Result<u64, Failure> {
    parse_number(value).ok_or_else(|| bad_value("id", "a process's number", value))
}

fn window(value: &[u8]) -> Result<u64, Failure> {
    size::parse(value)
        .filter(|bytes| (MIN_WINDOW..=MAX_WINDOW).contains(bytes))
        .ok_or_else(|| bad_value("window", "from 4k to 64m bytes", value))
}

/// What a client may say while it watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchRequest {
    /// `ack NAME POSITION|closed`. It is answered only if it is wrong.
    Ack {
        /// The process's name.
        name: Vec<u8>,
        /// What is taken.
        to: AckTo,
    },
    /// `watch ...`: more processes to watch.
    Watch(Watch),
    /// `stop`
    Stop,
}

/// What of a process's output is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckTo {
    /// All before this position.
    Position(u64),
    /// All of it, and the process's end.
    Closed,
}

/// Reads a line of a watching session, without its newline; a `\r` at its end does not count.
/// `None` for a line without words.
///
/// # Errors
/// [`super::Code::Usage`]: it is not to be understood.
pub fn parse_in_watch(line: &[u8]) -> Result<Option<WatchRequest>, Failure> {
    let mut words = request::split(line)?;
    let Some(verb) = words.next() else {
        return Ok(None);
    };
    match verb.as_slice() {
        b"ack" => ack(words).map(Some),
        b"watch" => Watch::read(words).map(WatchRequest::Watch).map(Some),
        b"stop" if words.len() == 0 => Ok(Some(WatchRequest::Stop)),
        b"stop" => Err(wrong_form("stop")),
        _ => {
            let what = "A session that watches must say ack, watch or stop";
            Err(Failure::usage(format!("{what}, not \"{}\"", shown(&verb))))
        }
    }
}

fn ack(mut words: Words) -> Result<WatchRequest, Failure> {
    let name = words.next().ok_or_else(|| wrong_form(ACK))?;
    let to = match only(words, ACK)?.as_slice() {
        b"closed" => AckTo::Closed,
        word => AckTo::Position(parse_number(word).ok_or_else(|| wrong_form(ACK))?),
    };
    Ok(WatchRequest::Ack { name, to })
}

impl WatchRequest {
    /// Appends the request's line and its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        let line = match self {
            Self::Ack { name, to: AckTo::Closed } => {
                Line::new().word("ack").word(name).word("closed")
            }
            Self::Ack { name, to: AckTo::Position(position) } => {
                Line::new().word("ack").word(name).word(position.to_string())
            }
            Self::Watch(watch) => watch.write(Line::new().word("watch")),
            Self::Stop => Line::new().word("stop"),
        };
        out.extend_from_slice(&line.into_bytes());
        out.push(b'\n');
    }
}
