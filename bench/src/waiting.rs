//! Waiting for what others do.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything but a measurement may take. Starting thousands of processes is the longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks.
const GLANCE: Duration = Duration::from_millis(1);

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("{what}: this has not come about within {} seconds", PATIENCE.as_secs());
        }
        thread::sleep(GLANCE);
    }
}
