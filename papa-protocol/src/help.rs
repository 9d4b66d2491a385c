//! The texts of `help`: enough to use papad by hand.

mod texts;

use std::borrow::Cow;

use crate::lookup::{Group, Topic, look_up};
use crate::name::Noun;

/// An answer to `help`: lines for people, each with its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelpText(pub Cow<'static, str>);

impl HelpText {
    /// The text about a command, whose words may be abbreviated and may be the first of two.
    ///
    /// No words give the overview. Words that are no command give the sentence of the error, as
    /// in papa: a question about an unknown word is answered, it does not fail.
    pub(crate) fn about(words: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut words = words.peekable();
        if words.peek().is_none() {
            return Self(Cow::Borrowed(texts::OVERVIEW));
        }
        match look_up(&mut words) {
            Ok(topic) => Self(Cow::Borrowed(text(topic))),
            Err(error) => Self(Cow::Owned(format!("{error}\n"))),
        }
    }
}

const fn text(topic: Topic) -> &'static str {
    match topic {
        Topic::ExitIfIdle => texts::EXIT_IF_IDLE,
        Topic::Get => texts::GET,
        Topic::Group(Group::List) => texts::LIST,
        Topic::Group(Group::Make) => texts::MAKE,
        Topic::Group(Group::Remove) => texts::REMOVE,
        Topic::Group(Group::Watch) | Topic::WatchProcesses => texts::WATCH,
        Topic::Help => texts::HELP,
        Topic::List(Noun::Process) => texts::LIST_PROCESSES,
        Topic::List(Noun::Socket) => texts::LIST_SOCKETS,
        Topic::List(Noun::Value) => texts::LIST_VALUES,
        Topic::MakeProcess => texts::MAKE_PROCESS,
        Topic::MakeSocket => texts::MAKE_SOCKET,
        Topic::Quit => texts::QUIT,
        Topic::Remove(Noun::Process) => texts::REMOVE_PROCESSES,
        Topic::Remove(Noun::Socket) => texts::REMOVE_SOCKETS,
        Topic::Remove(Noun::Value) => texts::REMOVE_VALUES,
        Topic::Set => texts::SET,
        Topic::Upgrade => texts::UPGRADE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(line: &str) -> String {
        HelpText::about(crate::words::split(line.as_bytes()).into_iter()).0.into_owned()
    }

    const QUESTIONS: [&str; 21] = [
        "",
        "exit-if-idle",
        "get",
        "help",
        "list",
        "list processes",
        "list sockets",
        "list values",
        "make",
        "make process",
        "make socket",
        "quit",
        "remove",
        "remove processes",
        "remove sockets",
        "remove values",
        "set",
        "watch",
        "watch processes",
        "nonsense",
        "upgrade",
    ];

    #[test]
    fn every_text_is_fit_for_a_reply_and_a_terminal() {
        for question in QUESTIONS {
            let text = help(question);
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "help {question}");
            for line in text.lines() {
                assert!(line.is_ascii() && line.len() <= 79, "help {question}: {line}");
                assert!(!line.starts_with("> ") && line != ">", "help {question}: {line}");
                assert!(!line.ends_with(' ') && !line.contains('\t'), "help {question}: {line}");
            }
        }
    }

    #[test]
    fn every_command_has_a_text_that_begins_with_its_own_usage() {
        for question in &QUESTIONS[1..19] {
            assert!(help(question).starts_with(question), "help {question}");
        }
    }

    #[test]
    fn the_overview_names_every_command() {
        let overview = help("");
        for command in &QUESTIONS[1..19] {
            assert!(overview.contains(&format!("\n  {command} ")), "{command}");
        }
    }

    #[test]
    fn words_may_be_abbreviated() {
        assert_eq!(help("h"), texts::HELP);
        assert_eq!(help("l p"), texts::LIST_PROCESSES);
        assert_eq!(help("M S"), texts::MAKE_SOCKET);
        assert_eq!(help("w"), texts::WATCH);
        assert_eq!(help("set anything"), texts::SET);
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_sentence_of_the_error() {
        assert_eq!(help("nonsense"), "Unknown command \"nonsense\"\n");
        assert_eq!(help("exit"), "You cannot abbreviate \"exit-if-idle\"\n");
        assert_eq!(
            help("l x"),
            "Bad \"list\" command. The following word must be one of: \
             processes, sockets, values\n"
        );
    }

    #[test]
    fn every_option_is_explained() {
        let process = "uid= gid= working_dir= bufsize= stdout= stderr= env. rlimit. shell= watch=";
        for key in process.split(' ') {
            assert!(texts::MAKE_PROCESS.contains(&format!("\n  {key}")), "{key}");
        }
        let socket = "family= type= backlog= path= umask= host= port= interface= reuseport=";
        for key in socket.split(' ') {
            assert!(texts::MAKE_SOCKET.contains(&format!("\n  {key}")), "{key}");
        }
    }
}
