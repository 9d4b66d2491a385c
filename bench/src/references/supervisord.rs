//! supervisord.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::started::Started;
use crate::papad::QUIET;
use crate::scratch::Scratch;
use crate::{procfs, waiting};

/// A running supervisord.
#[derive(Debug)]
pub(crate) struct Supervisord {
    process: Started,
    _scratch: Scratch,
}

impl Supervisord {
    /// Starts one with so many quiet processes, and returns when they run.
    pub(crate) fn start(count: usize) -> Result<Self> {
        let scratch = Scratch::new()?;
        let at = scratch.path().display();
        let own = format!(
            "[supervisord]\nnodaemon=true\nlogfile={at}/log\npidfile={at}/pid\nchildlogdir={at}\n"
        );
        let command = QUIET.join(" ");
        let programs = format!(
            "[program:quiet]\ncommand={command}\nnumprocs={count}\n\
             process_name=%(program_name)s_%(process_num)d\n"
        );
        let text = if count == 0 { own } else { own + &programs };
        let configuration = scratch.join("conf");
        fs::write(&configuration, text)?;
        let process = Started::new(Command::new("supervisord").arg("-c").arg(configuration))?;
        waiting::until("supervisord has started its processes", || {
            let log = fs::read_to_string(scratch.join("log")).unwrap_or_default();
            let is_up = log.contains("supervisord started with pid");
            Ok((is_up && procfs::children(process.pid())?.len() >= count).then_some(()))
        })?;
        Ok(Self { process, _scratch: scratch })
    }

    pub(crate) fn memory(&self) -> Result<f64> {
        procfs::memory(self.process.pid())
    }
}

pub(crate) fn missing() -> Option<String> {
    super::missing_package("supervisord", "supervisor")
}
