//! What all cases share.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::papad::Papad;
use crate::sizes::Sizes;

/// The programs to measure with, and how much to do.
#[derive(Debug)]
pub(crate) struct Setting {
    papad: PathBuf,
    own: PathBuf,
    pub(crate) sizes: Sizes,
}

/// Descriptors of a quiet process whose two outputs go together: a pipe and the file of its ring.
const DESCRIPTORS: u64 = 2;

/// Descriptors that papad keeps free for what a case does besides.
const SPARE: u64 = 1000;

impl Setting {
    /// Finds out how many processes papad has descriptors for here.
    pub(crate) fn new(papad: PathBuf, mut sizes: Sizes) -> Result<Self> {
        let status = Papad::start(&papad)?.papa()?.status()?;
        let free = status.descriptors_allowed.saturating_sub(status.descriptors + SPARE);
        // Rounded down to hundreds.
        let room = free / DESCRIPTORS / 100 * 100;
        sizes.hosted = sizes.hosted.min(usize::try_from(room)?);
        let own = std::env::current_exe().context("finding this program")?;
        Ok(Self { papad, own, sizes })
    }

    /// A papad of the case's own.
    pub(crate) fn papad(&self) -> Result<Papad> {
        Papad::start(&self.papad)
    }

    /// Where this program is, which has the [`roles`](crate::roles).
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// One of the [`roles`](crate::roles), to be started.
    pub(crate) fn role<A: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(&self.own);
        command.arg("role").args(words).env_clear().stdin(Stdio::null());
        command
    }
}
