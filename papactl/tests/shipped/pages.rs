//! The manual: a page for each command, and one about JSON.

use std::collections::BTreeMap;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::{files, json_page};

/// What roff is told first: which quote is straight.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

#[test]
fn the_manual_says_what_the_program_does() {
    let mut root = papactl::definition();
    root.build();
    let mut pages = BTreeMap::new();
    add(&root, &mut pages);
    pages.insert(json_page::NAME.to_owned(), json_page::render());
    files::compare("man", &pages);
}

/// Adds the page of a command, and those of the commands below it.
fn add(command: &Command, pages: &mut BTreeMap<String, String>) {
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        add(below, pages);
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    pages.insert(format!("{name}.1"), page(command, name));
}

fn page(command: &Command, name: &str) -> String {
    // Without a date of its own a page would show its source there.
    let man = Man::new(command.clone()).date(" ").source("papad").manual("papad");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    synopsis(command).to_writer(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    if command.get_arguments().any(|it| !it.is_hide_set()) {
        man.render_options_section(&mut page).unwrap();
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page).unwrap();
    }
    let mut rest = Roff::new();
    if let Some(text) = command.get_after_long_help().map(ToString::to_string) {
        match text.strip_prefix("Examples:\n") {
            Some(text) => examples(&mut rest, text),
            None => exit_status(&mut rest, &text),
        }
    }
    see_also(&mut rest, name);
    rest.to_writer(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap();
    // Each part begins with it; once is enough.
    let (_, rest) = page.split_once(PREAMBLE).expect("a page begins with it");
    format!("{PREAMBLE}{}", rest.replace(PREAMBLE, ""))
}

/// How it is called, in the words of `--help`.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").expect("that is how usage begins");
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let rest = usage.strip_prefix(name).expect("that is whose usage it is");
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text([bold(name), roman(rest)]);
    roff
}

/// The table of exit statuses: a line for each, below its heading.
fn exit_status(roff: &mut Roff, text: &str) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("Exit status:"));
    roff.control("SH", ["EXIT STATUS"]);
    for line in lines {
        match line.strip_prefix("  ").and_then(|line| line.split_once(' ')) {
            Some((status, meaning)) => {
                roff.control("TP", ["5"]);
                roff.text([bold(status)]).text([roman(meaning.trim())]);
            }
            None => {
                roff.control("PP", []).text([roman(line)]);
            }
        }
    }
}

/// What is typed, and below that what it does.
fn examples(roff: &mut Roff, text: &str) {
    roff.control("SH", ["EXAMPLES"]);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for example in lines.chunks(2) {
        let [line, what] = example else { panic!("an example has two lines: {example:?}") };
        roff.control("TP", []);
        roff.text([bold(*line)]).text([roman(*what)]);
    }
}

fn see_also(roff: &mut Roff, name: &str) {
    let pages = ["papactl(1)", "papactl-json(7)"].into_iter();
    let others: Vec<&str> = pages.filter(|page| *page != format!("{name}(1)")).collect();
    roff.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
}
