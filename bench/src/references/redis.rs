//! Redis, as Debian packs it, keeping its values in memory alone.

use std::process::Command;

use anyhow::Result;

use super::started::{Started, free_port};
use crate::lines::Lines;
use crate::waiting;

/// A running Redis.
#[derive(Debug)]
pub(crate) struct Redis {
    _process: Started,
    port: u16,
}

impl Redis {
    pub(crate) fn start() -> Result<Self> {
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port"]);
        let process = Started::new(command.arg(port.to_string()))?;
        waiting::until("Redis answers", || Ok(Lines::connect(port).ok()))?;
        Ok(Self { _process: process, port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

pub(crate) fn missing() -> Option<String> {
    super::missing_package("redis-server", "redis-server")
}
