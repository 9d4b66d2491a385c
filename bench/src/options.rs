//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::roles::Role;

/// Measures papad side by side with papa 1.0.6, Redis, and the machine itself.
///
/// Everything is started here, at ports and in directories of its own, and papad and its references
/// take turns, so that the ratios hold on a machine that does other things as well.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// How often each case is measured; the table shows medians.
    #[arg(long, value_name = "N", default_value = "5")]
    pub(crate) repeats: NonZeroUsize,

    /// Measures this case alone; may be given several times.
    #[arg(long, value_name = "CASE")]
    pub(crate) only: Vec<String>,

    /// Small sizes and one repeat: shows that everything runs, and says nothing about speed.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Names the cases and ends.
    #[arg(long)]
    pub(crate) list: bool,

    /// Writes all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Draws the ratios into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// What else this program can be.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// One of the small programs that a measurement is made of; see `roles`.
    #[command(hide = true, subcommand)]
    Role(Role),
}
