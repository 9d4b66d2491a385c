//! A command line that makes no sense, and what is written instead of doing anything.

use std::env;

use clap::error::ErrorKind;
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
            let failure = failure(&error.render().to_string());
            cli::told(&failure, &Endpoint::of_user(), is_json)
        }
    }
}

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
