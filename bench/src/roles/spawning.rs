//! The least that one can do to run processes.

use std::time::Instant;

use anyhow::Result;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, posix_spawn};
use nix::sys::wait::waitpid;

pub(super) fn spawn_loop(count: usize) -> Result<()> {
    let actions = PosixSpawnFileActions::init()?;
    let attributes = PosixSpawnAttr::init()?;
    let began = Instant::now();
    for _ in 0..count {
        let pid = posix_spawn(c"/bin/true", &actions, &attributes, &[c"/bin/true"], &[c""; 0])?;
        waitpid(pid, None)?;
    }
    println!("{}", began.elapsed().as_secs_f64());
    Ok(())
}
