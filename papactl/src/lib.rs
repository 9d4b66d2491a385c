//! papad at the command line, for people and for scripts.
//!
//! Everything is done through `papa_client`: what this tool can do, a program of yours can, too. The
//! commands are one type each, in `commands`, which is at once the definition that is parsed, that
//! completes in a shell, and that the manual pages are made from.
// The doc comments of commands and options are what `--help` and the manual print.
#![allow(clippy::doc_markdown, rustdoc::bare_urls, rustdoc::invalid_html_tags)]

mod answers;
mod cli;
mod commands;
mod complete;
mod context;
mod descriptors;
mod escape;
mod examples;
mod exit;
mod failure;
mod finding;
mod interrupts;
mod left_over;
mod live;
mod names;
mod output;
mod parsing;
mod procfs;
mod readiness;
mod screen;
mod shape;
mod specification;
mod stopping;
#[expect(unsafe_code, reason = "the kernel is asked before main")]
mod sys;
mod text;
mod time;
mod usage;
mod users;
mod waiter;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;

pub use crate::answers::Answers;
use crate::cli::Cli;

/// Parses the command line, does what it says, and tells how that went: see `EXIT STATUS` in the
/// manual page.
#[must_use]
pub fn main() -> ExitCode {
    // A shell that asks for completions is answered here, and nothing else is done.
    CompleteEnv::with_factory(Cli::command).complete();
    let parsed = definition().try_get_matches();
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli.run().into(),
        Err(error) => parsing::said(&error).into(),
    }
}

/// The definition of the command line, for what is generated from it.
#[must_use]
pub fn definition() -> clap::Command {
    examples::add_to(Cli::command())
}

/// The shapes of what is written with `--json`, for what is generated from them.
#[must_use]
pub fn answers() -> Answers {
    Answers::collect()
}
