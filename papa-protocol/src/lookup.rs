//! From the words a person types, which may be abbreviated, to the command they mean.

use crate::error::CommandError;
use crate::name::Noun;
use crate::text::shown;

/// A command, or a group of them when its second word was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    ExitIfIdle,
    Get,
    Group(Group),
    Help,
    List(Noun),
    MakeProcess,
    MakeSocket,
    Quit,
    Remove(Noun),
    Set,
    Upgrade,
    WatchProcesses,
}

impl Topic {
    /// Whether it cannot be abbreviated: a slip of the finger must not end or change the daemon.
    const fn is_written_out(self) -> bool {
        matches!(self, Self::ExitIfIdle | Self::Upgrade)
    }
}

/// A command word that another one must follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    List,
    Make,
    Remove,
    Watch,
}

/// Words and what they mean. In sorted order: the first word with the prefix wins.
type Table = &'static [(&'static str, Topic)];

const COMMANDS: Table = &[
    ("exit-if-idle", Topic::ExitIfIdle),
    ("get", Topic::Get),
    ("help", Topic::Help),
    ("list", Topic::Group(Group::List)),
    ("make", Topic::Group(Group::Make)),
    ("quit", Topic::Quit),
    ("remove", Topic::Group(Group::Remove)),
    ("set", Topic::Set),
    ("upgrade", Topic::Upgrade),
    ("watch", Topic::Group(Group::Watch)),
];

impl Group {
    const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Make => "make",
            Self::Remove => "remove",
            Self::Watch => "watch",
        }
    }

    const fn members(self) -> Table {
        match self {
            Self::List => &[
                ("processes", Topic::List(Noun::Process)),
                ("sockets", Topic::List(Noun::Socket)),
                ("values", Topic::List(Noun::Value)),
            ],
            Self::Make => &[("process", Topic::MakeProcess), ("socket", Topic::MakeSocket)],
            Self::Remove => &[
                ("processes", Topic::Remove(Noun::Process)),
                ("sockets", Topic::Remove(Noun::Socket)),
                ("values", Topic::Remove(Noun::Value)),
            ],
            Self::Watch => &[("processes", Topic::WatchProcesses)],
        }
    }

    /// The words that may follow, as errors list them.
    fn member_names(self) -> String {
        let names: Vec<&str> = self.members().iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// The error for a command that ends after the group's own word.
    pub(crate) fn alone(self) -> CommandError {
        let (name, members) = (self.name(), self.member_names());
        CommandError::new(format!("\"{name}\" must be followed by one of: {members}"))
    }
}

/// Takes one or two command words. What is left are the command's own.
pub(crate) fn look_up(words: &mut impl Iterator<Item = Vec<u8>>) -> Result<Topic, CommandError> {
    let word = words.next().unwrap_or_default().to_ascii_lowercase();
    let Some((name, topic)) = first_with_prefix(COMMANDS, &word) else {
        return Err(CommandError::new(format!("Unknown command \"{}\"", shown(&word))));
    };
    if topic.is_written_out() && word != name.as_bytes() {
        return Err(CommandError::new(format!("You cannot abbreviate \"{name}\"")));
    }
    let Topic::Group(group) = topic else {
        return Ok(topic);
    };
    let Some(word) = words.next() else {
        return Ok(topic);
    };
    match first_with_prefix(group.members(), &word.to_ascii_lowercase()) {
        Some((_, topic)) => Ok(topic),
        None => Err(CommandError::new(format!(
            "Bad \"{}\" command. The following word must be one of: {}",
            group.name(),
            group.member_names()
        ))),
    }
}

fn first_with_prefix(table: Table, prefix: &[u8]) -> Option<(&'static str, Topic)> {
    if prefix.is_empty() {
        return None;
    }
    table.iter().copied().find(|(name, _)| name.as_bytes().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up_line(line: &str) -> Result<Topic, String> {
        let mut words = crate::words::split(line.as_bytes()).into_iter();
        look_up(&mut words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_tables_are_sorted() {
        let groups = [Group::List, Group::Make, Group::Remove, Group::Watch];
        for table in groups.map(Group::members).into_iter().chain([COMMANDS]) {
            assert!(table.is_sorted_by(|(one, _), (next, _)| one < next), "{table:?}");
        }
    }

    #[test]
    fn every_prefix_of_every_command_is_understood() {
        for &(name, topic) in COMMANDS {
            for end in 1..=name.len() {
                let found = look_up_line(&name[..end]);
                if topic.is_written_out() && end < name.len() {
                    assert_eq!(found, Err(format!("You cannot abbreviate \"{name}\"")));
                } else {
                    assert_eq!(found, Ok(topic));
                }
            }
        }
    }

    #[test]
    fn the_second_word_may_be_abbreviated_too() {
        assert_eq!(look_up_line("l p"), Ok(Topic::List(Noun::Process)));
        assert_eq!(look_up_line("li proc"), Ok(Topic::List(Noun::Process)));
        assert_eq!(look_up_line("LIST Sockets"), Ok(Topic::List(Noun::Socket)));
        assert_eq!(look_up_line("r v"), Ok(Topic::Remove(Noun::Value)));
        assert_eq!(look_up_line("m s"), Ok(Topic::MakeSocket));
        assert_eq!(look_up_line("make process"), Ok(Topic::MakeProcess));
        assert_eq!(look_up_line("w process"), Ok(Topic::WatchProcesses));
        assert_eq!(look_up_line("Exit-If-Idle"), Ok(Topic::ExitIfIdle));
    }

    #[test]
    fn unknown_words_are_named() {
        let unknown = |word: &str| Err(format!("Unknown command \"{word}\""));
        assert_eq!(look_up_line("x"), unknown("x"));
        assert_eq!(look_up_line("Lists"), unknown("lists"));
        assert_eq!(look_up_line("a\tb"), unknown("a\\x09b"));
        assert_eq!(look_up_line(""), unknown(""));
    }

    #[test]
    fn an_unknown_second_word_is_told_what_it_may_be() {
        let bad = |group: &str, words: &str| {
            let hint = "The following word must be one of:";
            Err(format!("Bad \"{group}\" command. {hint} {words}"))
        };
        assert_eq!(look_up_line("l x"), bad("list", "processes, sockets, values"));
        assert_eq!(look_up_line("make processes"), bad("make", "process, socket"));
        assert_eq!(look_up_line("r all"), bad("remove", "processes, sockets, values"));
        assert_eq!(look_up_line("watch sockets"), bad("watch", "processes"));
    }

    #[test]
    fn an_empty_word_abbreviates_nothing() {
        let mut words = vec![b"list".to_vec(), Vec::new()].into_iter();
        assert!(look_up(&mut words).is_err());
    }
}
