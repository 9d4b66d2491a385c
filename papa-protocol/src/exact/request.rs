//! Requests: what a line of a session asks for.

use super::failure::Failure;
use super::line::Line;
use super::value::{Set, read_unset, write_unset};
use super::watch::Watch;
use super::words::{Words, insert, new_name, only, refuse_nul, split_pair, wrong_form};
use super::{process, socket};
use crate::command::{MakeProcess, MakeSocket};
use crate::name::{Noun, Pattern, Patterns};
use crate::options::Pairs;
use crate::quoted;
use crate::text::shown;

const LIST: &str = "list sockets|processes|previous|members|values [NAME...]";
const MAKE: &str =
    "make socket NAME [OPTION...], or make process NAME [OPTION...] -- COMMAND [ARGUMENT...]";
const MAKE_SOCKET: &str = "make socket NAME [KEY=VALUE...]";
const MAKE_PROCESS: &str = "make process NAME [KEY=VALUE...] -- COMMAND [ARGUMENT...]";
/// What follows `list` and `remove` for processes that others have replaced.
const PREVIOUS: &[u8] = b"previous";
/// What follows `list` for the members of sessions.
const MEMBERS: &[u8] = b"members";
const SHOW: &str = "show process NAME";
const REMOVE: &str = "remove sockets|processes|previous|values NAME...";
const ADOPT: &str = "adopt socket NAME";
const FETCH: &str = "fetch socket NAME, or fetch pidfd NAME";

/// One request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `help`
    Help,
    /// `list NOUN [NAME...]`
    List {
        /// What is listed.
        noun: Noun,
        /// Which of them. A name that is not there is no failure.
        names: Patterns,
    },
    /// `list previous [NAME...]`: processes that others have replaced.
    ListPrevious {
        /// Of which names.
        names: Patterns,
    },
    /// `list members [NAME...]`: the members of the sessions that processes lead.
    ListMembers {
        /// Of which processes.
        names: Patterns,
    },
    /// `make socket NAME [KEY=VALUE...]`
    MakeSocket(MakeSocket),
    /// `make process NAME [KEY=VALUE...] -- COMMAND [ARGUMENT...]`
    MakeProcess(Box<MakeProcess>),
    /// `show process NAME`
    ShowProcess {
        /// The process's name.
        name: Vec<u8>,
    },
    /// `remove NOUN NAME...`
    Remove {
        /// What is removed.
        noun: Noun,
        /// Which of them. Everything only when `*` was said.
        names: Patterns,
    },
    /// `remove previous NAME...`
    RemovePrevious {
        /// Of which names. Of all only when `*` was said.
        names: Patterns,
    },
    /// `get NAME`
    Get {
        /// The value's name.
        name: Vec<u8>,
    },
    /// `set NAME VALUE [CONDITION] [for=session]`
    Set(Set),
    /// `unset NAME [CONDITION]`
    Unset {
        /// The value's name.
        name: Vec<u8>,
        /// What the value must be, if it matters.
        condition: Option<Vec<u8>>,
    },
    /// `watch NAME... [KEY=VALUE...]`
    Watch(Watch),
    /// `adopt socket NAME`, which comes with a descriptor.
    AdoptSocket {
        /// The socket's name, which has passed [`name::check`](crate::name::check).
        name: Vec<u8>,
    },
    /// `fetch socket NAME` or `fetch pidfd NAME`
    Fetch {
        /// What descriptor is asked for.
        what: Fetched,
        /// The name of the socket or process.
        name: Vec<u8>,
    },
    /// `status`
    Status,
    /// `upgrade [PATH]`
    Upgrade {
        /// The program that is to take over; that which papad was started from if `None`.
        path: Option<Vec<u8>>,
    },
    /// `exit-if-idle`
    ExitIfIdle,
    /// `quit`
    Quit,
}

/// A descriptor that can be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fetched {
    /// A hosted socket.
    Socket,
    /// A pidfd of a hosted process: see `pidfd_open(2)`.
    Pidfd,
}

impl Fetched {
    /// `socket` or `pidfd`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Pidfd => "pidfd",
        }
    }
}

/// Reads a line without its newline; a `\r` at its end does not count. `None` for a line without
/// words.
///
/// # Errors
/// [`super::Code::Usage`]: it is not to be understood, or its options contradict each other.
pub fn parse(line: &[u8]) -> Result<Option<Request>, Failure> {
    let mut words = split(line)?;
    match words.next() {
        Some(verb) => request(&verb, words).map(Some),
        None => Ok(None),
    }
}

/// The words of a client's line.
pub(super) fn split(line: &[u8]) -> Result<Words, Failure> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(quoted::split(line)?.into_iter())
}

fn request(verb: &[u8], words: Words) -> Result<Request, Failure> {
    match verb {
        b"help" => alone(Request::Help, &words, "help"),
        b"list" => list(words),
        b"make" => make(words),
        b"show" => match after(words, b"process") {
            Some(words) => Ok(Request::ShowProcess { name: only(words, SHOW)? }),
            None => Err(wrong_form(SHOW)),
        },
        b"remove" => remove(words),
        b"get" => Ok(Request::Get { name: only(words, "get NAME")? }),
        b"set" => Set::read(words).map(Request::Set),
        b"unset" => {
            let (name, condition) = read_unset(words)?;
            Ok(Request::Unset { name, condition })
        }
        b"watch" => Watch::read(words).map(Request::Watch),
        b"adopt" => {
            let words = after(words, b"socket").ok_or_else(|| wrong_form(ADOPT))?;
            let name = only(words, ADOPT)?;
            new_name(Noun::Socket, &name)?;
            Ok(Request::AdoptSocket { name })
        }
        b"fetch" => fetch(words),
        b"status" => alone(Request::Status, &words, "status"),
        b"upgrade" => upgrade(words),
        b"exit-if-idle" => alone(Request::ExitIfIdle, &words, "exit-if-idle"),
        b"quit" => alone(Request::Quit, &words, "quit"),
        b"ack" | b"stop" => {
            Err(Failure::usage("ack and stop must be said in a session that watches"))
        }
        _ => {
            let what = "A line must begin with a request that \"help\" names";
            Err(Failure::usage(format!("{what}, not \"{}\"", shown(verb))))
        }
    }
}

fn upgrade(words: Words) -> Result<Request, Failure> {
    if words.len() == 0 {
        return Ok(Request::Upgrade { path: None });
    }
    Ok(Request::Upgrade { path: Some(only(words, "upgrade [PATH]")?) })
}

/// A request that no word follows.
fn alone(request: Request, words: &Words, form: &str) -> Result<Request, Failure> {
    if words.len() == 0 { Ok(request) } else { Err(wrong_form(form)) }
}

/// What follows a word that must be there.
fn after(mut words: Words, word: &[u8]) -> Option<Words> {
    (words.next()? == word).then_some(words)
}

fn noun(word: &[u8]) -> Option<Noun> {
    let nouns = [Noun::Socket, Noun::Process, Noun::Value];
    nouns.into_iter().find(|noun| noun.plural().as_bytes() == word)
}

fn list(mut words: Words) -> Result<Request, Failure> {
    let what = words.next().ok_or_else(|| wrong_form(LIST))?;
    let names = Patterns::new(words.collect());
    match what.as_slice() {
        PREVIOUS => Ok(Request::ListPrevious { names }),
        MEMBERS => Ok(Request::ListMembers { names }),
        noun_word => {
            let noun = noun(noun_word).ok_or_else(|| wrong_form(LIST))?;
            Ok(Request::List { noun, names })
        }
    }
}

fn remove(mut words: Words) -> Result<Request, Failure> {
    let what = words.next().ok_or_else(|| wrong_form(REMOVE))?;
    // No name would stand for everything, and that is asked for with "*" only.
    if words.len() == 0 {
        return Err(wrong_form(REMOVE));
    }
    let names = Patterns::new(words.collect());
    if what == PREVIOUS {
        return Ok(Request::RemovePrevious { names });
    }
    let noun = noun(&what).ok_or_else(|| wrong_form(REMOVE))?;
    Ok(Request::Remove { noun, names })
}

fn fetch(mut words: Words) -> Result<Request, Failure> {
    let what = match words.next().as_deref() {
        Some(b"socket") => Fetched::Socket,
        Some(b"pidfd") => Fetched::Pidfd,
        _ => return Err(wrong_form(FETCH)),
    };
    Ok(Request::Fetch { what, name: only(words, FETCH)? })
}

fn make(mut words: Words) -> Result<Request, Failure> {
    match words.next().as_deref() {
        Some(b"socket") => make_socket(words),
        Some(b"process") => make_process(words),
        _ => Err(wrong_form(MAKE)),
    }
}

fn make_socket(mut words: Words) -> Result<Request, Failure> {
    let name = words.next().ok_or_else(|| wrong_form(MAKE_SOCKET))?;
    new_name(Noun::Socket, &name)?;
    let options = socket::read(pairs(&mut words, MAKE_SOCKET)?)?;
    Ok(Request::MakeSocket(MakeSocket { name, options }))
}

fn make_process(mut words: Words) -> Result<Request, Failure> {
    let name = words.next().ok_or_else(|| wrong_form(MAKE_PROCESS))?;
    new_name(Noun::Process, &name)?;
    let mut is_ended = false;
    let mut before = words.by_ref().take_while(|word| {
        is_ended = word == b"--";
        !is_ended
    });
    let options = process::read(pairs(&mut before, MAKE_PROCESS)?)?;
    if !is_ended || words.len() == 0 {
        return Err(wrong_form(MAKE_PROCESS));
    }
    let command: Vec<Vec<u8>> = words.collect();
    command.iter().try_for_each(|word| refuse_nul("The command", word))?;
    Ok(Request::MakeProcess(Box::new(MakeProcess { name, options, command })))
}

/// Words that must all be `key=value`.
fn pairs(words: &mut impl Iterator<Item = Vec<u8>>, form: &str) -> Result<Pairs, Failure> {
    let mut pairs = Pairs::new();
    for word in words {
        let (key, value) = split_pair(&word).ok_or_else(|| wrong_form(form))?;
        insert(&mut pairs, key, value)?;
    }
    Ok(pairs)
}

impl Request {
    /// Appends the request's line and its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.line().into_bytes());
        out.push(b'\n');
    }

    /// The request's line, without its newline. `show process` answers with one.
    #[must_use]
    pub fn line(&self) -> Line {
        match self {
            Self::Help => Line::new().word("help"),
            Self::List { noun, names } => write_list(noun.plural().as_bytes(), names),
            Self::ListPrevious { names } => write_list(PREVIOUS, names),
            Self::ListMembers { names } => write_list(MEMBERS, names),
            Self::MakeSocket(MakeSocket { name, options }) => {
                Line::new().word("make").word("socket").word(name).socket_options(options)
            }
            Self::MakeProcess(request) => {
                let MakeProcess { name, options, command } = &**request;
                let line = Line::new().word("make").word("process").word(name);
                line.process_options(options).rest(command)
            }
            Self::ShowProcess { name } => Line::new().word("show").word("process").word(name),
            Self::Remove { noun, names } => {
                write_patterns(Line::new().word("remove").word(noun.plural()), names)
            }
            Self::RemovePrevious { names } => {
                write_patterns(Line::new().word("remove").word(PREVIOUS), names)
            }
            Self::Get { name } => Line::new().word("get").word(name),
            Self::Set(set) => set.write(Line::new().word("set")),
            Self::Unset { name, condition } => {
                write_unset(Line::new().word("unset"), name, condition.as_ref())
            }
            Self::Watch(watch) => watch.write(Line::new().word("watch")),
            Self::AdoptSocket { name } => Line::new().word("adopt").word("socket").word(name),
            Self::Fetch { what, name } => Line::new().word("fetch").word(what.as_str()).word(name),
            Self::Status => Line::new().word("status"),
            Self::Upgrade { path } => {
                let line = Line::new().word("upgrade");
                path.iter().fold(line, Line::word)
            }
            Self::ExitIfIdle => Line::new().word("exit-if-idle"),
            Self::Quit => Line::new().word("quit"),
        }
    }
}

fn write_list(what: &[u8], names: &Patterns) -> Line {
    let line = Line::new().word("list").word(what);
    // Everything is what no name at all stands for.
    if names.is_all() { line } else { write_patterns(line, names) }
}

fn write_patterns(line: Line, names: &Patterns) -> Line {
    names.iter().fold(line, |line, pattern| match pattern {
        Pattern::All => line.word("*"),
        Pattern::Prefix(prefix) => line.word([prefix, b"*"].concat()),
        Pattern::Exact(name) => line.word(name),
    })
}
