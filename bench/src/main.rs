//! Measures papad side by side with papa 1.0.6, Redis, and the machine itself.
//!
//! Each [`case`] is measured on papad and on what it is held against in turn, several
//! times; the table shows medians and their ratios. `bench --help` tells how to run it.
#![allow(clippy::cast_precision_loss, reason = "no figure here has 53 bits that count")]

mod case;
mod cases;
mod lines;
mod load;
mod measure;
mod options;
mod papad;
mod procfs;
mod references;
mod report;
mod roles;
mod scratch;
mod setting;
mod sizes;
mod subject;
mod unit;
mod waiting;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::options::{Options, Part};
use crate::setting::Setting;
use crate::sizes::Sizes;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    match options.part {
        Some(Part::Role(role)) => role.play().map(|()| ExitCode::SUCCESS),
        None => run(&options),
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    if cfg!(debug_assertions) && !options.quick {
        eprintln!("This is not a release build: its figures are of no use.");
    }
    let sizes = if options.quick { Sizes::quick() } else { Sizes::full() };
    let repeats = if options.quick { 1 } else { options.repeats.get() };
    let setting = Setting::new(papad::program()?, sizes)?;
    let mut cases = cases::all(&setting);
    if options.list {
        for case in &cases {
            println!("{}", case.name());
        }
        return Ok(ExitCode::SUCCESS);
    }
    for name in &options.only {
        let is_there = cases.iter().any(|case| case.name() == name);
        ensure!(is_there, "there is no case {name}; --list names them");
    }
    cases.retain(|case| options.only.is_empty() || options.only.iter().any(|it| it == case.name()));

    let mut measured = Vec::new();
    for case in cases {
        measured.push(measure::measure(&*case, &setting, repeats));
        // After each case: a run takes long, and may be cut short.
        if let Some(path) = &options.json {
            let json = report::json(&measured, options.quick);
            let text = serde_json::to_string_pretty(&json)? + "\n";
            fs::write(path, text).with_context(|| path.display().to_string())?;
        }
    }
    let rows = report::rows(&measured);
    println!("{}", report::table(&rows));
    if let Some(path) = &options.plot {
        fs::write(path, report::plot(&rows)).with_context(|| path.display().to_string())?;
    }
    let has_failed = measured.iter().any(measure::Measured::has_failed);
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
