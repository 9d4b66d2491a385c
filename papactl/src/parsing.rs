//! A command line that makes no sense, and what is written instead of doing anything.

use std::env;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use papa_client::Endpoint;

use crate::cli;
use crate::descriptors::{self, Standard};
use crate::exit::Exit;
use crate::failure::Failure;

/// Prints what was asked for by `--help` and `--version`, or says what is wrong.
pub(crate) fn said(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            if error.use_stderr() {
                // Where that cannot be written, nobody reads it.
                let _ = error.print();
                return Exit::USAGE;
            }
            let printed = descriptors::check(&[Standard::Output])
                .and_then(|()| error.print().map_err(Failure::from));
            match printed {
                Ok(()) => Exit::DONE,
                Err(failure) => cli::told(&failure, &Endpoint::of_user(), false),
            }
        }
        _ => {
            // What follows -- is a command of somebody else's.
            let is_json = env::args_os().take_while(|it| it != "--").any(|it| it == "--json");
            // A word that is no text is one of what may be wrong.
            let words = env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned());
            let failure =
                guessed(error, words).unwrap_or_else(|| failure(&error.render().to_string()));
            cli::told(&failure, &Endpoint::of_user(), is_json)
        }
    }
}

/// What to say to somebody who has used the words of another tool, or has left out the `--` before a
/// command.
fn guessed(error: &clap::Error, words: impl Iterator<Item = String>) -> Option<Failure> {
    if error.kind() == ErrorKind::InvalidSubcommand {
        let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
            return None;
        };
        let (_, hint) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere.contains(&&**word))?;
        let what = format!("papactl has no command {word}");
        return Some(Failure::new(Exit::USAGE, what).hint(*hint));
    }
    let words: Vec<String> = words.collect();
    let command = words.iter().position(|word| word == "run" || word == "lock")?;
    if words.iter().any(|word| word == "--") {
        return None;
    }
    let verb = words.get(command)?;
    let (name, rest) = words.get(command + 1..)?.split_first()?;
    if name.starts_with('-') || rest.is_empty() {
        return None;
    }
    let hint =
        format!("say \"papactl {verb} NAME -- COMMAND\", as in {}", example(verb, name, rest));
    Some(Failure::new(Exit::USAGE, "the command to run has no -- before it").hint(hint))
}

/// What was probably meant, with what stands for a name where none was given.
fn example(verb: &str, name: &str, rest: &[String]) -> String {
    // A first word with options behind it is a program, and the name was left out.
    let is_program = rest.first().is_some_and(|it| it.starts_with('-'));
    let words = is_program.then_some(name).into_iter().chain(rest.iter().map(String::as_str));
    let words: Vec<String> = words.map(|it| shell_words::quote(it).into_owned()).collect();
    format!("\"papactl {verb} {} -- {}\"", shell_words::quote(name), words.join(" "))
}

/// Words of other tools, and what does the same here.
const ELSEWHERE: [(&[&str], &str); 9] = [
    (
        &["kill"],
        "\"papactl signal KILL NAME\" sends a signal, and \"papactl stop --kill NAME\" waits, too",
    ),
    (
        &["start", "exec", "create", "add", "spawn"],
        "\"papactl run NAME -- COMMAND\" starts a process, and \"papactl restart NAME\" one that has ended",
    ),
    (&["tail", "follow", "attach"], "\"papactl logs -f NAME\" follows what a process writes"),
    (&["journal", "output"], "\"papactl logs NAME\" shows what a process has written"),
    (&["delete", "remove", "del"], "\"papactl rm NAME\" removes a process that has ended"),
    (
        &["show", "info", "describe", "cat"],
        "\"papactl inspect NAME\" shows all there is to know of a process",
    ),
    (
        &["reload", "hup"],
        "\"papactl signal HUP NAME\" has a process reload, and \"papactl restart NAME\" starts it anew",
    ),
    (&["daemon", "serve"], "\"papad --daemonize\" starts a papad, and \"papactl run\" does, too"),
    (&["exit", "quit"], "\"papactl shutdown\" ends papad"),
];

/// What clap says in several paragraphs, as one line: what is wrong, and its tip.
fn failure(text: &str) -> Failure {
    let mut paragraphs = text.split("\n\n");
    let what = in_one_line(paragraphs.next().unwrap_or_default());
    let tip = paragraphs.find_map(|it| it.trim_start().strip_prefix("tip: "));
    let hint = tip.map_or_else(|| "see --help".to_owned(), in_one_line);
    Failure::new(Exit::USAGE, what.strip_prefix("error: ").unwrap_or(&what)).hint(hint)
}

fn in_one_line(paragraph: &str) -> String {
    let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_of(words: &[&str]) -> String {
        let error = crate::definition().try_get_matches_from(words).unwrap_err();
        let failure = failure(&error.render().to_string());
        failure.report(&Endpoint::tcp(1)).unwrap().to_string()
    }

    fn guessed_of(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = crate::definition().try_get_matches_from(&words).unwrap_err();
        let failure = guessed(&error, words.into_iter().skip(1))?;
        Some(failure.report(&Endpoint::tcp(1)).unwrap().to_string())
    }

    #[test]
    fn a_command_without_its_dashes_is_told_with_them() {
        for (line, meant) in [
            ("papactl run a b c", "papactl run a -- b c"),
            ("papactl run python3 -m x", "papactl run python3 -- python3 -m x"),
            ("papactl -e 7 run a b", "papactl run a -- b"),
            ("papactl lock a make", "papactl lock a -- make"),
        ] {
            let said = guessed_of(line).unwrap();
            assert!(said.ends_with(&format!("as in \"{meant}\"")), "{said}");
        }
        for line in ["papactl run", "papactl run --rm a -- b", "papactl run a", "papactl wait"] {
            assert_eq!(guessed_of(line), None, "{line}");
        }
    }

    #[test]
    fn words_of_other_tools_lead_to_what_does_the_same() {
        for (word, meant) in
            [("kill", "signal"), ("start", "run"), ("tail", "logs -f"), ("show", "inspect")]
        {
            let said = guessed_of(&format!("papactl {word} a")).unwrap();
            assert!(said.contains(&format!("\"papactl {meant} ")), "{said}");
        }
        let known: Vec<String> =
            crate::definition().get_subcommands().map(|it| it.get_name().to_owned()).collect();
        let elsewhere = ELSEWHERE.iter().flat_map(|(words, _)| *words);
        assert!(elsewhere.clone().all(|word| !known.iter().any(|it| it == word)));
    }

    #[test]
    fn it_is_one_line_with_claps_own_tip() {
        assert_eq!(
            said_of(&["papactl", "run"]),
            "papactl: the following required arguments were not provided: <NAME> <COMMAND>...; \
             see --help"
        );
        assert_eq!(
            said_of(&["papactl", "set", "n", "-5"]),
            "papactl: unexpected argument '-5' found; to pass '-5' as a value, use '-- -5'"
        );
    }
}
