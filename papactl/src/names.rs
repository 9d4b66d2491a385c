//! Which processes, sockets and values are meant.

use std::fmt::Display;

use papa_client::{Papa, Process, ProcessInfo};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The processes of these names and wildcards, each once and in the order of names; all if there
/// are none.
///
/// # Errors
/// A name without a wildcard that is not there.
pub(crate) fn processes(papa: &Papa, names: &[String]) -> Result<Vec<ProcessInfo>> {
    let all = papa.processes("*")?;
    if names.is_empty() {
        return Ok(all);
    }
    for name in names {
        if !is_wildcard(name) && !all.iter().any(|process| is_meant(name, process)) {
            return Err(no_process(name));
        }
    }
    let is_one = |process: &ProcessInfo| names.iter().any(|name| is_meant(name, process));
    Ok(all.into_iter().filter(is_one).collect())
}

/// The same, to signal and to wait for, and in the order in which they were named. One that has
/// left papad's list since is told of by what is done to it.
pub(crate) fn handles(papa: &Papa, names: &[String]) -> Result<Vec<Process>> {
    let mut left = processes(papa, names)?;
    let mut handles = Vec::new();
    for name in names {
        let meant = left.extract_if(.., |process| is_meant(name, process));
        handles.extend(meant.map(|info| papa.process_listed(info)));
    }
    Ok(handles)
}

/// Whether this may stand for any number of names.
pub(crate) fn is_wildcard(name: &str) -> bool {
    name.ends_with('*')
}

/// Names in a sentence: `a`, `a and b`, `a, b and c`.
pub(crate) fn in_a_row(names: &[impl Display]) -> String {
    match names {
        [] => String::new(),
        [name] => name.to_string(),
        [names @ .., last] => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            format!("{} and {last}", names.join(", "))
        }
    }
}

/// Whether a name or wildcard stands for this process.
fn is_meant(name: &str, process: &ProcessInfo) -> bool {
    matches(name, process.name.as_bytes())
}

/// Whether a name or wildcard stands for this name.
pub(crate) fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

pub(crate) fn no_process(name: &str) -> Failure {
    let what = format!("there is no process of the name {name}");
    Failure::new(Exit::NOT_FOUND, what).hint("\"papactl ps\" shows those that there are")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_said_in_a_row() {
        assert_eq!(in_a_row(&["a"]), "a");
        assert_eq!(in_a_row(&["a", "b", "c"]), "a, b and c");
    }

    #[test]
    fn a_star_at_the_end_stands_for_any_rest() {
        assert!(matches("web.*", b"web.1") && matches("*", b"web") && matches("web", b"web"));
        assert!(!matches("web.*", b"web") && !matches("web", b"web.1") && !matches("a*b", b"aab"));
    }
}
