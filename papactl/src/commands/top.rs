//! `papactl top`

use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;
use papa_client::Papa;

use self::reading::Reading;
use self::state::State;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::live::{self, Happening, View};
use crate::output;
use crate::screen::Screen;
use crate::shape;
use crate::time;
use crate::waiter::{Waiter, Woken};

mod draw;
mod rates;
mod reading;
mod state;

/// For how long papad may leave a question without an answer, before that is said.
const PATIENCE: Duration = Duration::from_secs(2);

/// papad is not to be kept busy by being looked at.
const SHORTEST: Duration = Duration::from_millis(100);

/// Watch processes by how much they write
///
/// RATE is bytes a second since it was looked last, and beside it stands the last minute, from left
/// to right. CPU is processor time in percent of one processor, MEM memory, both of the process
/// itself. In a narrow window columns are left out. Keys: q ends it, the arrows, j, k, Page Up and Page Down move, s sorts by something
/// else, p pauses, Ctrl-Z stops it until fg, and ? shows them all.
///
/// With --json no terminal is needed: it writes one object after each interval.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// How often to look: 500ms, 10s, 1m
    #[arg(long, short = 'd', value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,

    /// End after so many looks
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = time::duration(text)?;
    if interval < SHORTEST { Err("it is at least 100ms".to_owned()) } else { Ok(interval) }
}

impl Top {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let papa = context.connect()?;
        if context.output.is_json() {
            return self.json(&papa);
        }
        if !output::is_screen() {
            let what = "top needs a terminal to draw on";
            return Err(Failure::new(Exit::USAGE, what).hint("with --json it needs none"));
        }
        papa.set_deadline(PATIENCE);
        let state = State::new(self.count, context.output.in_colour());
        let mut is_first = true;
        live::run(Page(state), move || {
            if !std::mem::take(&mut is_first) {
                thread::sleep(self.interval);
            }
            Reading::take(&papa).map_err(|error| error.to_string())
        })
    }

    /// Writes what was seen after each interval.
    fn json(&self, papa: &Papa) -> Result<Exit> {
        let waiter = Waiter::new()?;
        let mut rates = rates::Rates::default();
        rates.add(&Reading::take(papa)?);
        let mut left = self.count;
        while left != Some(0) {
            if waiter.pause(self.interval)? == Woken::Interrupted {
                return Ok(Exit::INTERRUPTED);
            }
            let reading = Reading::take(papa)?;
            rates.add(&reading);
            output::json(&shape(&reading, &rates))?;
            left = left.map(|left| left - 1);
        }
        Ok(Exit::DONE)
    }
}

fn shape(reading: &Reading, rates: &rates::Rates) -> shape::Top {
    let papad = &reading.papad;
    let processes = reading.processes.iter().map(|process| shape::TopProcess {
        name: process.name.clone(),
        id: process.id.to_string(),
        state: if process.is_running { "running" } else { "exited" },
        rate: rates.of(process.id).unwrap_or_default(),
        written: process.next,
        unread: process.unread,
        lost: process.lost,
        cpu_percent: rates.load(process.id),
        memory: process.usage.map(|usage| usage.memory),
        command: process.command.clone(),
    });
    shape::Top {
        time: time::rfc3339(SystemTime::now()),
        papad: shape::TopPapad {
            version: papad.version.clone(),
            server: papad.server,
            starts: papad.starts,
            uptime_seconds: papad.uptime.as_secs(),
            sessions: papad.sessions,
            descriptors: papad.descriptors,
            descriptors_allowed: papad.descriptors_allowed,
        },
        rate: rates.total(),
        processes: processes.collect(),
    }
}

/// What is on the screen.
struct Page(State);

impl View for Page {
    type Sample = Result<Reading, String>;

    fn on(&mut self, happening: Happening<Self::Sample>) -> ControlFlow<Exit> {
        self.0.on(happening)
    }

    fn draw(&self, screen: &mut Screen) -> Result<()> {
        screen.terminal.draw(|frame| draw::draw(&self.0, frame))?;
        Ok(())
    }
}
