//! What `/proc` tells, see proc(5). Memory is in bytes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::waiting;

/// Each process there is and its parent.
fn parents() -> Result<Vec<(i32, i32)>> {
    let pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(|pid| Some((pid, parent(pid)?))).collect())
}

/// The parent of a process that runs; it may end at any time.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may itself contain any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let is_zombie = fields.next()? == "Z";
    (!is_zombie).then_some(fields.next()?.parse().ok()?)
}

/// The children of a process that run.
pub(crate) fn children(pid: i32) -> Result<Vec<i32>> {
    let of_it = parents()?.into_iter().filter(|(_, parent)| *parent == pid);
    Ok(of_it.map(|(child, _)| child).collect())
}

/// Waits until none of these is there any more.
pub(crate) fn wait_until_gone(pids: &[i32]) -> Result<()> {
    waiting::until("the processes are gone", || {
        Ok((!pids.iter().any(|pid| parent(*pid).is_some())).then_some(()))
    })
}

/// Memory that a process has for itself, and its share of what it has together with others.
pub(crate) fn memory(pid: i32) -> Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    kilobytes(&text, "Pss:").with_context(|| format!("{path} has no Pss"))
}

/// Memory that is left for new programs, by the kernel's estimate. It lags: this waits until it
/// stands still.
pub(crate) fn memory_available() -> Result<f64> {
    /// Between two looks, and what may change between them.
    const STILL: (Duration, f64) = (Duration::from_millis(200), 1e6);
    let look = || -> Result<f64> {
        let text = fs::read_to_string("/proc/meminfo")?;
        kilobytes(&text, "MemAvailable:").context("/proc/meminfo has no MemAvailable")
    };
    let mut before = look()?;
    for _ in 0..20 {
        std::thread::sleep(STILL.0);
        let now = look()?;
        if (now - before).abs() < STILL.1 {
            return Ok(now);
        }
        before = now;
    }
    Ok(before)
}

fn kilobytes(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(number * 1024.0)
}

/// How many threads a process has, and how often they were given the processor so far.
pub(crate) fn threads(pid: i32) -> Result<(usize, u64)> {
    let mut count = 0;
    let mut switches = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end at any time.
        let Ok(status) = fs::read_to_string(entry?.path().join("status")) else { continue };
        count += 1;
        for field in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            switches += line.context("no count of switches")?.trim().parse::<u64>()?;
        }
    }
    Ok((count, switches))
}
