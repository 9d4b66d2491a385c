//! s6-supervise, of which there is one for each process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Result;

use super::started::Started;
use crate::papad::QUIET;
use crate::scratch::Scratch;
use crate::{procfs, waiting};

/// Some of them, each with a quiet process.
#[derive(Debug)]
pub(crate) struct S6 {
    supervisors: Vec<Started>,
    _scratch: Scratch,
}

impl S6 {
    pub(crate) fn start(count: usize) -> Result<Self> {
        let scratch = Scratch::new()?;
        let mut supervisors = Vec::new();
        for number in 0..count {
            let service = scratch.join(&number.to_string());
            fs::create_dir(&service)?;
            let run = service.join("run");
            fs::write(&run, format!("#!/bin/sh\nexec {}\n", QUIET.join(" ")))?;
            fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
            supervisors.push(Started::new(Command::new("s6-supervise").arg(service))?);
        }
        waiting::until("s6-supervise has started its process", || {
            let is_up = |it: &Started| procfs::children(it.pid()).map(|it| !it.is_empty());
            Ok(supervisors.last().map_or(Ok(true), is_up)?.then_some(()))
        })?;
        Ok(Self { supervisors, _scratch: scratch })
    }

    /// Memory of all.
    pub(crate) fn memory(&self) -> Result<f64> {
        self.supervisors.iter().map(|it| procfs::memory(it.pid())).sum()
    }
}

pub(crate) fn missing() -> Option<String> {
    super::missing_package("s6-supervise", "s6")
}
