//! What is measured, one file for each case.

mod at_rest;
mod capture;
mod line;
mod lines;
mod make;
mod memory;
mod recovery;
mod scale;
mod upgrade;
mod values;
mod watched;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use papa_client::{Event, Papa};

use crate::case::Case;
use crate::setting::Setting;

/// All cases, in the order of the table.
pub(crate) fn all(setting: &Setting) -> Vec<Box<dyn Case>> {
    let sizes = &setting.sizes;
    vec![
        Box::new(capture::Capture { bytes: sizes.flood }),
        Box::new(watched::Watched { bytes: sizes.flood }),
        Box::new(lines::ManyLines { writers: sizes.writers, lines: sizes.lines }),
        Box::new(line::LinesWay { lines: sizes.timed_lines, quiet: sizes.quiet }),
        Box::new(make::Make { count: sizes.makes, hosted: sizes.hosted }),
        Box::new(values::Values { requests: sizes.requests, connections: sizes.connections }),
        Box::new(memory::Memory { hosted: sizes.hosted, hosted_by_papa: sizes.hosted_by_papa }),
        Box::new(at_rest::AtRest {
            processes: sizes.resting.0,
            watchers: sizes.resting.1,
            seconds: sizes.rest,
        }),
        Box::new(recovery::Recovery { hosted: sizes.hosted }),
        Box::new(upgrade::Upgrade { hosted: sizes.hosted, after: sizes.after_upgrade }),
        Box::new(scale::Scale { values: sizes.values, most: sizes.most, sessions: sizes.sessions }),
    ]
}

/// The longest that nothing may happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Seconds since then.
fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64()
}

/// The seconds that a program runs, which must succeed.
fn time(command: &mut Command) -> Result<f64> {
    let began = Instant::now();
    let status = command.status()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(since(began))
}

/// What has this program write so many bytes, as fast as it can.
fn flood(bytes: u64) -> [String; 3] {
    ["role".to_owned(), "flood".to_owned(), bytes.to_string()]
}

/// Waits until so many processes of papad's have ended and their output was taken from their pipes,
/// and has papad forget their ends.
fn wait_for_ends(papa: &Papa, pattern: &str, count: usize) -> Result<()> {
    let mut ended = 0;
    let mut watcher = papa.watch([pattern]).only_exits().start()?;
    while let Some(batch) = watcher.next_timeout(PATIENCE)? {
        for event in &batch {
            if let Event::Closed { name, end, .. } = event {
                ensure!(end.success(), "{name} has ended with {end:?}");
                ended += 1;
            }
        }
        batch.acknowledge();
        if ended >= count {
            break;
        }
    }
    ensure!(ended == count, "{ended} of {count} processes have ended");
    Ok(watcher.stop()?)
}
