//! A small process manager: it starts what a file names, starts again what ends, and ends what the
//! file names no more. It may be killed and run again at any time; its processes do not notice. Nor
//! does it end when papad's server is killed. There is one at a time: it ends if it loses its lock.
//!
//! `mini_manager FILE`, where each line of the file is a name, a space, and a line of shell.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fs;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use papa_client::{Batch, Endpoint, ErrorKind, Event, Lock, Papa, Watcher};

/// What the names of this manager's processes begin with.
const PREFIX: &str = "mini.";
/// How long a process may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long to wait before a process is started again.
const PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let file = std::env::args_os().nth(1).unwrap_or_default();
    let managed = fs::read_to_string(file).map_err(Into::into).and_then(|text| manage(&text));
    match managed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mini_manager: {error}");
            ExitCode::FAILURE
        }
    }
}

fn manage(text: &str) -> Result<(), Box<dyn Error>> {
    let endpoint = Endpoint::from_env()?;
    let papa = Papa::connect_or_start(&endpoint)?;
    let lock = Lock::try_acquire(&endpoint, "mini-manager")?.ok_or("another one is at work")?;
    // Whatever this program is doing when the lock is lost, another one may begin to do.
    let _lock = lock.keep(|lost| {
        eprintln!("mini_manager: {lost}");
        process::exit(1);
    })?;
    let manager = Manager { papa, commands: read(text) };
    // Watching comes first: what ends from now on is seen.
    let watcher = manager.papa.watch([format!("{PREFIX}*")]).start()?;
    manager.end_strangers()?;
    for name in manager.commands.keys() {
        manager.start(name)?;
    }
    manager.run(watcher)
}

/// Names, and what they are to run.
fn read(text: &str) -> BTreeMap<String, String> {
    let services = text.lines().filter_map(|line| line.split_once(' '));
    services.map(|(name, command)| (format!("{PREFIX}{name}"), command.to_owned())).collect()
}

/// Asks for a change, and again if papad's server was killed meanwhile: nobody knows then whether it
/// was made. So this is for changes that may be asked for twice.
fn insist<T>(mut ask: impl FnMut() -> papa_client::Result<T>) -> papa_client::Result<T> {
    loop {
        match ask() {
            Err(error) if error.kind() == ErrorKind::Disconnected => {}
            result => return result,
        }
    }
}

struct Manager {
    papa: Papa,
    commands: BTreeMap<String, String>,
}

impl Manager {
    /// Starts a process, unless it is there. With another environment it would be another process,
    /// so it is given one that is always the same.
    fn start(&self, name: &str) -> papa_client::Result<()> {
        let process = self.papa.process(name, &self.commands[name]).shell();
        let process = process.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        insist(|| process.make()).map(|_| ())
    }

    /// Ends what an earlier run has started, and what is not, or not any more, in the file.
    fn end_strangers(&self) -> papa_client::Result<()> {
        for info in self.papa.processes(format!("{PREFIX}*"))? {
            let command = info.name.to_str().and_then(|name| self.commands.get(name));
            let is_the_same = command.is_some_and(|command| info.command == [command.as_str()]);
            if is_the_same {
                continue;
            }
            if let Some(process) = self.papa.process_named(&info.name)? {
                eprintln!("{}: {}", info.name, insist(|| process.stop(GRACE))?);
                insist(|| self.papa.remove_process(&info.name))?;
            }
        }
        Ok(())
    }

    /// Starts again what ends.
    fn run(&self, mut watcher: Watcher) -> Result<(), Box<dyn Error>> {
        let mut ended: VecDeque<(Instant, String)> = VecDeque::new();
        loop {
            let next = ended.front().map(|(at, _)| *at + PAUSE);
            let wait =
                next.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            if let Some(batch) = watcher.next_timeout(wait)? {
                ended.extend(self.handle(batch)?.into_iter().map(|name| (Instant::now(), name)));
            }
            while ended.front().is_some_and(|(at, _)| at.elapsed() >= PAUSE) {
                if let Some((_, name)) = ended.pop_front() {
                    self.start(&name)?;
                }
            }
        }
    }

    /// Writes down what has happened; returns which processes have ended.
    fn handle(&self, batch: Batch) -> papa_client::Result<Vec<String>> {
        let mut ended = Vec::new();
        for event in &batch {
            match event {
                Event::Output { name, bytes, .. } => {
                    print!("{name}: {}", String::from_utf8_lossy(bytes));
                }
                Event::Closed { name, end, .. } => {
                    println!("{name}: {end}");
                    ended.extend(name.to_str().map(str::to_owned));
                }
                _ => {}
            }
        }
        batch.acknowledge();
        for name in &ended {
            // papad hears the acknowledgement some time; only now is the name free for sure.
            insist(|| self.papa.remove_process(name))?;
        }
        ended.retain(|name| self.commands.contains_key(name));
        Ok(ended)
    }
}
