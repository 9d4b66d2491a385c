//! How long clients wait while papad is upgraded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use papa_client::{Event, Overflow};

use crate::case::{Bound, Case, Figure, Line, all};
use crate::lines::Lines;
use crate::papad::Papad;
use crate::setting::Setting;
use crate::subject::Subject;
use crate::unit::{Unit, count};

/// Sessions that send one request after the other.
const CLIENTS: usize = 4;

/// Quiet processes, where they are few.
const FEW: usize = 10;

/// While clients ask for a value over and over, and one watches a process that writes as fast as it
/// can, papad is upgraded, to the same version.
pub(crate) struct Upgrade {
    /// Quiet processes, where they are many.
    pub(crate) hosted: usize,
    /// Seconds for which clients are still looked at after the upgrade was answered.
    pub(crate) after: u64,
}

impl Case for Upgrade {
    fn name(&self) -> &'static str {
        "upgrade"
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for hosted in [FEW, self.hosted] {
            let hosted = count(hosted as f64);
            lines.extend([
                Line::new(
                    format!("upgrade under load, longest pause, {hosted} hosted"),
                    Unit::Seconds,
                )
                .bound(Bound::AtMost(0.05)),
                Line::new(format!("no upgrade, longest pause, {hosted} hosted"), Unit::Seconds),
            ]);
        }
        lines
    }

    fn measure(&self, subject: Subject, setting: &Setting) -> Result<Vec<Option<Figure>>> {
        ensure!(subject == Subject::Papad, "{subject} has no part in this");
        let mut figures = Vec::new();
        for hosted in [FEW, self.hosted] {
            let papad = setting.papad()?;
            papad.host_quiet(0..hosted)?;
            let began = Instant::now();
            let upgrade = || {
                papad.papa()?.upgrade(None)?;
                thread::sleep(Duration::from_secs(self.after));
                Ok(())
            };
            let pause = longest_pause(&papad, setting, upgrade)?;
            let as_long = began.elapsed();
            let nothing = || {
                thread::sleep(as_long);
                Ok(())
            };
            figures.extend([pause, longest_pause(&papad, setting, nothing)?]);
        }
        Ok(all(figures))
    }
}

/// The longest that any client waited for an answer while `act` was done, in seconds.
fn longest_pause(
    papad: &Papad,
    setting: &Setting,
    act: impl FnOnce() -> Result<()>,
) -> Result<f64> {
    let over = AtomicBool::new(false);
    let papa = papad.papa()?;
    papa.set("key", "value")?;
    let flood = papa
        .process("flood", setting.own())
        .args(super::flood(u64::MAX))
        .env_clear()
        .overflow(Overflow::Block)
        .make()?;
    let watcher = papa.watch(["flood"]).start()?;
    let pause = thread::scope(|scope| {
        let watching = scope.spawn(|| -> Result<()> {
            for batch in watcher {
                let batch = batch?;
                let is_over = batch.iter().any(|event| matches!(event, Event::Closed { .. }));
                batch.acknowledge();
                if is_over {
                    break;
                }
            }
            Ok(())
        });
        let ask = || -> Result<Duration> {
            let mut longest = Duration::ZERO;
            let mut session = Lines::exact(papad.port())?;
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                session.ask("get key\n")?;
                longest = longest.max(began.elapsed());
            }
            Ok(longest)
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(ask)).collect();
        let acted = act();
        over.store(true, Ordering::Relaxed);
        let mut longest = Duration::ZERO;
        for client in clients {
            longest = longest.max(client.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        flood.kill()?;
        watching.join().map_err(|_| anyhow!("the watcher panicked"))??;
        acted?;
        Ok::<_, anyhow::Error>(longest)
    })?;
    Ok(pause.as_secs_f64())
}
