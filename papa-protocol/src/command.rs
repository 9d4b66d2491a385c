//! Commands: what the words of a line ask for.

pub use crate::error::CommandError;
use crate::help::HelpText;
use crate::lookup::{Topic, look_up};
use crate::name::{self, Noun, Patterns};
use crate::options::{self, ProcessOptions, SocketOptions};
use crate::text::shown;

/// One request of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `list NOUN [NAME...]`
    List {
        /// What is listed.
        noun: Noun,
        /// Which of them. A name that is not there is no error.
        names: Patterns,
    },
    /// `make socket NAME [OPTION...]`
    MakeSocket(MakeSocket),
    /// `make process NAME [OPTION...] COMMAND [ARGUMENT...]`
    MakeProcess(Box<MakeProcess>),
    /// `remove NOUN [NAME...]`
    Remove {
        /// What is removed.
        noun: Noun,
        /// Which of them. For values never everything by default.
        names: Patterns,
    },
    /// `watch processes [NAME...]`
    Watch(Patterns),
    /// `set NAME [WORD...]`
    Set {
        /// The value's name. It has passed [`name::check`] if there is a value.
        name: Vec<u8>,
        /// The words joined by single spaces; `None` clears the value.
        value: Option<Vec<u8>>,
    },
    /// `get NAME`
    Get {
        /// The value's name.
        name: Vec<u8>,
    },
    /// `quit`
    Quit,
    /// `upgrade [PATH]`
    Upgrade {
        /// The program that is to take over; that which papad was started from if `None`.
        path: Option<Vec<u8>>,
    },
    /// `exit-if-idle`
    ExitIfIdle,
    /// `help [WORD...]`, already answered.
    Help(HelpText),
}

/// A socket that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeSocket {
    /// Its name, which has passed [`name::check`].
    pub name: Vec<u8>,
    /// How it is to be made.
    pub options: SocketOptions,
}

/// A process that is to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeProcess {
    /// Its name, which has passed [`name::check`].
    pub name: Vec<u8>,
    /// How it is to be started.
    pub options: ProcessOptions,
    /// The command and its arguments, as given: at least one word, and no NUL byte in any.
    pub command: Vec<Vec<u8>>,
}

/// Reads the words of a line. A line without words is an unknown command; a session answers it
/// before it comes here.
///
/// Command words may be in any case and abbreviated to any prefix, except `upgrade` and `exit-if-idle`. Words
/// beyond what a command needs are ignored, as in papa, except after the options of a socket.
pub fn parse(words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
    let mut words = words.into_iter();
    match look_up(&mut words)? {
        Topic::Group(group) => Err(group.alone()),
        Topic::List(noun) => Ok(Command::List { noun, names: Patterns::new(words.collect()) }),
        Topic::MakeProcess => make_process(words.collect()),
        Topic::MakeSocket => make_socket(words.collect()),
        Topic::Remove(noun) => remove(noun, words.collect()),
        Topic::WatchProcesses => Ok(Command::Watch(Patterns::new(words.collect()))),
        Topic::Set => set(words.collect()),
        Topic::Get => match words.next() {
            Some(name) => Ok(Command::Get { name }),
            None => Err(CommandError::new("Value requires a name")),
        },
        Topic::Quit => Ok(Command::Quit),
        Topic::Upgrade => Ok(Command::Upgrade { path: words.next() }),
        Topic::ExitIfIdle => Ok(Command::ExitIfIdle),
        Topic::Help => Ok(Command::Help(HelpText::about(words))),
    }
}

/// Whether words begin with a command's, whatever follows: all of its own words are there, and may be
/// abbreviated as for [`parse`].
#[must_use]
pub fn is_named(words: &[Vec<u8>]) -> bool {
    let topic = look_up(&mut words.iter().cloned());
    topic.is_ok_and(|topic| !matches!(topic, Topic::Group(_)))
}

fn make_socket(words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
    let mut words = words.into_iter().peekable();
    let name = words.next().ok_or_else(|| CommandError::new("Socket requires a name"))?;
    name::check(Noun::Socket, &name)?;
    let options = SocketOptions::from_pairs(options::take_pairs(&mut words)?)?;
    // papa ignored such a word, and so made another socket than was meant: `make socket web 80`.
    if let Some(word) = words.next() {
        let word = shown(&word);
        return Err(CommandError::new(format!("Option \"{word}\" for make socket has no \"=\"")));
    }
    Ok(Command::MakeSocket(MakeSocket { name, options }))
}

fn make_process(words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
    let mut words = words.into_iter().peekable();
    let name = words.next().ok_or_else(|| CommandError::new("Process requires a name"))?;
    name::check(Noun::Process, &name)?;
    let options = ProcessOptions::from_pairs(options::take_pairs(&mut words)?)?;
    let command: Vec<Vec<u8>> = words.collect();
    if command.is_empty() {
        return Err(CommandError::new("No command"));
    }
    for word in &command {
        options::refuse_nul("The command", word)?;
    }
    Ok(Command::MakeProcess(Box::new(MakeProcess { name, options, command })))
}

fn remove(noun: Noun, words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
    let all = words.is_empty() || words == [b"*"];
    if noun == Noun::Value && all {
        return Err(CommandError::new("You cannot remove all variables"));
    }
    Ok(Command::Remove { noun, names: Patterns::new(words) })
}

fn set(mut words: Vec<Vec<u8>>) -> Result<Command, CommandError> {
    if words.first().is_none_or(|name| name == b"*") {
        return Err(CommandError::new("Value requires a name"));
    }
    let value = words.split_off(1);
    let name = words.remove(0);
    if value.is_empty() {
        return Ok(Command::Set { name, value: None });
    }
    name::check(Noun::Value, &name)?;
    Ok(Command::Set { name, value: Some(value.join(&b' ')) })
}
