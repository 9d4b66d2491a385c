//! A process writes, and a watcher takes every byte.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use papa_client::{Event, Overflow};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::Unit;

/// What a client reads at once.
const BLOCK: usize = 256 << 10;

/// One process writes as fast as it can, and waits where its watcher is slower; all of it comes
/// through a TCP connection, and is acknowledged.
pub(crate) struct Watched {
    /// How much it writes.
    pub(crate) bytes: u64,
}

impl Case for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn lines(&self) -> Vec<Line> {
        vec![
            Line::new("watched over TCP, nothing lost (overflow=block)", Unit::BytesPerSecond)
                .against(Subject::Relay, Bound::AtLeast(0.8)),
        ]
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        let seconds = match subject {
            Subject::Papad => self.papad(setting)?,
            Subject::Relay => self.relay(setting)?,
            _ => bail!("{subject} has no part in this"),
        };
        Ok(all([self.bytes as f64 / seconds]))
    }
}

impl Watched {
    fn papad(&self, setting: &Setting) -> Result<f64> {
        let papad = setting.papad()?;
        let papa = papad.papa()?;
        let began = Instant::now();
        papa.process("flood", setting.own())
            .args(super::flood(self.bytes))
            .env_clear()
            .overflow(Overflow::Block)
            .make()?;
        let mut received = 0;
        for batch in papa.watch(["flood"]).start()? {
            let batch = batch?;
            for event in &batch {
                if let Event::Output { bytes, .. } = event {
                    received += bytes.len() as u64;
                }
            }
            batch.acknowledge();
        }
        let seconds = super::since(began);
        ensure!(received == self.bytes, "{received} bytes came instead of {}", self.bytes);
        Ok(seconds)
    }

    fn relay(&self, setting: &Setting) -> Result<f64> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port().to_string();
        let own = setting.own().as_os_str();
        let mut command = setting.role(["relay", &port]);
        let command = command.arg(own).args(super::flood(self.bytes));
        let began = Instant::now();
        let mut relay = command.spawn()?;
        let (mut connection, _) = listener.accept()?;
        let mut block = vec![0; BLOCK];
        let mut received = 0;
        loop {
            match connection.read(&mut block)? {
                0 => break,
                count => received += count as u64,
            }
        }
        let seconds = super::since(began);
        relay.wait()?;
        ensure!(received == self.bytes, "{received} bytes came instead of {}", self.bytes);
        Ok(seconds)
    }
}
