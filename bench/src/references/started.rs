//! A reference that runs.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::procfs;

/// A process that is killed, with its children, when dropped.
#[derive(Debug)]
pub(super) struct Started {
    child: Child,
}

impl Started {
    pub(super) fn new(command: &mut Command) -> Result<Self> {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().with_context(|| format!("{command:?}"))?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id() as i32
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Stopped, it starts nothing.
        let _ = kill(Pid::from_raw(self.pid()), Signal::SIGSTOP);
        let children = procfs::children(self.pid()).unwrap_or_default();
        for child in &children {
            let _ = kill(Pid::from_raw(*child), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = procfs::wait_until_gone(&children);
    }
}

/// A port of 127.0.0.1 that was free just now.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
