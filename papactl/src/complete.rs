//! Completion of names in a shell, from what papad has at that moment.

use std::env;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};
use papa_client::{Endpoint, Name, Papa, Result, Signal};

use crate::shape::Socket;

/// For how long a person who has pressed a key waits for names.
const PATIENCE: Duration = Duration::from_millis(500);

/// Completes names of processes.
pub(crate) fn processes() -> ArgValueCompleter {
    ArgValueCompleter::new(|start: &OsStr| {
        candidates(start, |papa| {
            let all = papa.processes("*")?.into_iter();
            Ok(all
                .map(|process| (process.name, crate::text::command_line(&process.command)))
                .collect())
        })
    })
}

/// Completes names of sockets.
pub(crate) fn sockets() -> ArgValueCompleter {
    ArgValueCompleter::new(|start: &OsStr| {
        candidates(start, |papa| {
            let all = papa.sockets("*")?.into_iter();
            Ok(all.map(|info| (info.name.clone(), Socket::new(&info).address)).collect())
        })
    })
}

/// Completes names of values.
pub(crate) fn values() -> ArgValueCompleter {
    ArgValueCompleter::new(|start: &OsStr| {
        candidates(start, |papa| {
            let all = papa.values("*")?.into_iter();
            Ok(all.map(|value| (value.name, crate::text::printable(&value.value))).collect())
        })
    })
}

/// Completes names of signals.
pub(crate) fn signals() -> ArgValueCandidates {
    let candidate = |signal: Signal| CompletionCandidate::new(signal.to_string());
    ArgValueCandidates::new(move || Signal::named().map(candidate).collect())
}

/// The names that begin like this, with what is told of each. Without papad there are none.
fn candidates(
    start: &OsStr,
    list: impl FnOnce(&Papa) -> Result<Vec<(Name, String)>>,
) -> Vec<CompletionCandidate> {
    let listed = endpoint(env::args_os())
        .and_then(|endpoint| Papa::connect(&endpoint.deadline(PATIENCE)).ok())
        .and_then(|papa| list(&papa).ok());
    let listed = listed.unwrap_or_default().into_iter();
    listed
        .filter_map(|(name, about)| {
            let name = name.to_str()?.to_owned();
            let is_match = name.starts_with(start.to_str()?);
            is_match.then(|| CompletionCandidate::new(name).help(Some(about.into())))
        })
        .collect()
}

/// Where papad is, as the command line that is being completed says it.
fn endpoint(words: impl Iterator<Item = OsString>) -> Option<Endpoint> {
    let words = whole(words);
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1).cloned()
    };
    let joined = words.iter().filter_map(|word| {
        let word = word.to_str()?;
        let short = || word.strip_prefix("-e").map(|it| it.strip_prefix('=').unwrap_or(it));
        word.strip_prefix("--endpoint=").or_else(short).filter(|it| !it.is_empty())
    });
    let said = after("--endpoint").or_else(|| after("-e"));
    match said.or_else(|| joined.map(OsString::from).next()) {
        Some(text) => Endpoint::parse(text).ok(),
        None => Endpoint::from_env().ok(),
    }
}

/// Words as they were typed: bash makes words of their own of each `:` and `=`, see
/// `COMP_WORDBREAKS` in bash(1).
fn whole(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_break = |word: &OsStr| {
        let bytes = word.as_encoded_bytes();
        !bytes.is_empty() && bytes.iter().all(|byte| b":=".contains(byte))
    };
    let mut whole: Vec<OsString> = Vec::new();
    let mut goes_on = false;
    for word in words {
        let breaks = is_break(&word);
        match whole.last_mut() {
            Some(last) if breaks || goes_on => last.push(&word),
            _ => whole.push(word),
        }
        goes_on = breaks;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_that_of_the_line_being_completed() {
        for words in [
            &["papactl", "-e", "7000", "ps"][..],
            &["papactl", "-e7000", "ps"],
            &["papactl", "-e=7000", "ps"],
            &["papactl", "ps", "--endpoint=7000"],
        ] {
            let words = words.iter().map(OsString::from);
            assert_eq!(endpoint(words), Some(Endpoint::tcp(7000)));
        }
    }

    #[test]
    fn what_bash_has_taken_apart_is_put_together() {
        let words = ["papactl", "--endpoint", "=", "tcp", ":", "//[", "::", "1]", ":", "7", "ps"];
        let words = words.iter().map(OsString::from);
        assert_eq!(endpoint(words), Endpoint::parse("tcp://[::1]:7").ok());
    }
}
