//! `papactl shutdown`

use std::time::{Duration, Instant};

use clap::Args;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use papa_client::{Papa, Status};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::procfs;
use crate::shape::Shutdown as Shape;
use crate::time;

/// How often it is looked whether papad has ended.
const GLANCE: Duration = Duration::from_millis(10);

/// End papad
///
/// Processes that still run go on without it: nobody keeps what they write then, or knows how they
/// end, so papad is ended only if none run, or with --leave-processes. Sockets that it holds are
/// closed, and values are lost unless papad keeps them on disk. papactl stop --rm '*' ends processes
/// first.
#[derive(Debug, Args)]
pub(crate) struct Shutdown {
    /// Only if it holds no processes, sockets and values; it ends with its last session then
    #[arg(long, conflicts_with = "leave_processes")]
    if_idle: bool,

    /// End it though processes run, and leave those alone
    #[arg(long)]
    leave_processes: bool,

    /// Wait no longer than this for its end: 10s, 1m30s, 500ms, or a number of seconds
    #[arg(
        long,
        short = 't',
        value_name = "TIME",
        default_value = "30s",
        value_parser = time::duration
    )]
    timeout: Duration,
}

impl Shutdown {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        let status = papa.status()?;
        if self.if_idle {
            if !papa.exit_if_idle()? {
                return Err(busy(&status));
            }
        } else {
            if status.running > 0 && !self.leave_processes {
                return Err(runs(&status));
            }
            terminate(&papa, &status)?;
        }
        drop(papa);
        let begun = Instant::now();
        while runs_still(status.pid) {
            if begun.elapsed() >= self.timeout {
                let what = format!("papad (pid {}) still runs", status.pid);
                let hint =
                    "it ends with its last session: \"papactl status\" shows who is connected";
                return Err(Failure::new(Exit::TOO_LATE, what).hint(hint));
            }
            std::thread::sleep(GLANCE);
        }
        if context.output.is_json() {
            output::json(&Shape { pid: status.pid, left_running: status.running })?;
        } else {
            let left = match status.running {
                0 => String::new(),
                left => format!("; {left} processes run on without it"),
            };
            output::line(format_args!("papad (pid {}) has ended{left}", status.pid))?;
        }
        Ok(Exit::DONE)
    }
}

/// Asks papad's keeper to end.
fn terminate(papa: &Papa, status: &Status) -> Result<()> {
    // The pid is this papad's for as long as it is the one that answers.
    let again = papa.status()?;
    let is_same =
        again.pid == status.pid && procfs::seen(status.pid).is_some_and(|it| is_keeper(&it.name));
    if !is_same {
        let what = format!("the papad of pid {} cannot be seen from here", status.pid);
        let hint = "it may be in a container: run papactl in there";
        return Err(Failure::new(Exit::FAILED, what).hint(hint));
    }
    nix::sys::signal::kill(Pid::from_raw(status.pid), Signal::SIGTERM).map_err(|errno| {
        let failure =
            Failure::io(format!("papad (pid {}) cannot be ended", status.pid), &errno.into());
        match errno {
            Errno::EPERM => failure.hint("try as root, or as the user that papad runs as"),
            _ => failure,
        }
    })
}

/// Whether the keeper runs: one that has ended may stay as a zombie until it is reaped.
fn runs_still(pid: i32) -> bool {
    let stat = procfs::of(pid, "stat").unwrap_or_default();
    let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
    procfs::seen(pid).is_some_and(|it| is_keeper(&it.name))
        && state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

fn is_keeper(name: &str) -> bool {
    name == "papad: keeper"
}

fn busy(status: &Status) -> Failure {
    let what = format!(
        "papad holds {} processes, {} sockets and {} values",
        status.processes, status.sockets, status.values
    );
    Failure::new(Exit::CONFLICT, what).hint("without --if-idle it ends if no process runs")
}

fn runs(status: &Status) -> Failure {
    let what = format!("{} processes run", status.running);
    let hint =
        "\"papactl stop --rm '*'\" ends them; with --leave-processes they run on without papad";
    Failure::new(Exit::CONFLICT, what).hint(hint)
}
