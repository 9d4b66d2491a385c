//! Those who write.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::mkfifo;

use crate::scratch::Scratch;

/// Bytes of a line, its end included.
const LINE: usize = 100;

/// Bytes that [`flood`] writes at once.
const BLOCK: u64 = 64 << 10;

/// What [`burst`] writes first.
pub(crate) const READY: &[u8] = b"ready\n";

/// Between two lines of [`stamp`].
const PACE: Duration = Duration::from_millis(1);

/// Digits of a time in [`stamp`]'s lines, in nanoseconds.
const STAMP: usize = 20;

/// Standard output, without a buffer in between.
fn stdout() -> Result<File> {
    Ok(File::from(std::io::stdout().as_fd().try_clone_to_owned()?))
}

pub(super) fn flood(mut bytes: u64) -> Result<()> {
    let mut stdout = stdout()?;
    let block = vec![b'x'; BLOCK as usize];
    while bytes > 0 {
        let now = bytes.min(BLOCK);
        stdout.write_all(&block[..now as usize])?;
        bytes -= now;
    }
    Ok(())
}

pub(super) fn burst(lines: usize, start: &Path) -> Result<()> {
    let mut stdout = stdout()?;
    stdout.write_all(READY)?;
    // Opening a FIFO waits for its other side.
    let _start = File::open(start)?;
    let mut line = [b'x'; LINE];
    line[LINE - 1] = b'\n';
    for _ in 0..lines {
        stdout.write_all(&line)?;
    }
    Ok(())
}

pub(super) fn stamp(lines: usize, start: &Path) -> Result<()> {
    let mut stdout = stdout()?;
    let _start = File::open(start)?;
    for _ in 0..lines {
        let now = now()?.as_nanos();
        let line = format!("@{now:0STAMP$}{:>fill$}\n", "", fill = LINE - STAMP - 2);
        stdout.write_all(line.as_bytes())?;
        thread::sleep(PACE);
    }
    Ok(())
}

/// The times since the lines of [`stamp`] in this output were written, in seconds. A line that is
/// not whole yet stays in `output`.
pub(crate) fn ages(output: &mut Vec<u8>) -> Result<Vec<f64>> {
    let now = now()?;
    let mut ages = Vec::new();
    let mut read = 0;
    while let Some(at) = output[read..].iter().position(|byte| *byte == b'@') {
        let Some(line) = output.get(read + at..read + at + LINE) else { break };
        let stamp = std::str::from_utf8(&line[1..=STAMP])?;
        let written = Duration::from_nanos(stamp.parse().context(stamp.to_owned())?);
        ages.push(now.saturating_sub(written).as_secs_f64());
        read += at + LINE;
    }
    output.drain(..read);
    Ok(ages)
}

/// The time since some moment that is the same for all processes.
fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// A FIFO that [`burst`]s and [`stamp`]s wait at.
#[derive(Debug)]
pub(crate) struct Start {
    path: PathBuf,
    _scratch: Scratch,
}

impl Start {
    pub(crate) fn new() -> Result<Self> {
        let scratch = Scratch::new()?;
        let path = scratch.join("start");
        mkfifo(&path, Mode::S_IRWXU)?;
        Ok(Self { path, _scratch: scratch })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Releases all that wait, once there is one. Those that come later do not wait while the
    /// result lives.
    pub(crate) fn release(&self) -> Result<File> {
        Ok(fs::OpenOptions::new().write(true).open(&self.path)?)
    }
}
