//! Writes what processes write to a log, each byte exactly once, however often this program,
//! papad's server, or both are killed.
//!
//! `exactly_once_log DIRECTORY PATTERN...`
//!
//! There are two files: `log`, and `places`, which says how long the log is and how far each
//! process was read for that. `places` is replaced as a whole (rename(2)), after the log was
//! written to disk. Whoever starts cuts the log off where `places` says, and has papad go on from
//! there. papad forgets output when a batch is acknowledged, and that is done last.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use papa_client::{Batch, Endpoint, Event, Name, Papa, ProcessId};

/// So many more places than are needed may there be before it is looked which these are.
const MORE_PLACES: usize = 100;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let directory = PathBuf::from(words.next().unwrap_or_default());
    let patterns: Vec<_> = words.map(std::ffi::OsString::into_encoded_bytes).collect();
    match log(&directory, &patterns) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("exactly_once_log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log(directory: &Path, patterns: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    let papa = Papa::connect(&Endpoint::from_env()?)?;
    let mut log = Log::open(directory)?;
    log.forget_gone(&papa)?;
    let mut watch = papa.watch(patterns);
    for (name, (id, position)) in &log.places {
        watch = watch.resume_from(name.clone(), *id, *position);
    }
    let mut most_places = MORE_PLACES + 2 * log.places.len();
    for batch in watch.start()? {
        let batch = batch?;
        log.add(&batch)?;
        batch.acknowledge();
        if log.places.len() > most_places {
            log.forget_gone(&papa)?;
            most_places = MORE_PLACES + 2 * log.places.len();
        }
    }
    Ok(())
}

/// The log, and how far each process was read for what is in it.
struct Log {
    file: File,
    length: u64,
    places: BTreeMap<Name, (ProcessId, u64)>,
    places_path: PathBuf,
}

impl Log {
    fn open(directory: &Path) -> Result<Self, Box<dyn Error>> {
        let places_path = directory.join("places");
        let (length, places) = match fs::read_to_string(&places_path) {
            Ok(text) => read_places(&text)?,
            Err(error) if error.kind() == ErrorKind::NotFound => (0, BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        let file = OpenOptions::new().append(true).create(true).open(directory.join("log"))?;
        // What was written after `places` comes again.
        file.set_len(length)?;
        Ok(Self { file, length, places, places_path })
    }

    fn add(&mut self, batch: &Batch) -> Result<(), Box<dyn Error>> {
        for event in batch {
            match event {
                Event::Output { bytes, .. } => self.write(bytes)?,
                Event::Lost { name, bytes, .. } => {
                    self.write(format!("[{bytes} bytes of {name} are lost]\n").as_bytes())?;
                }
                _ => {}
            }
        }
        for (name, id, position) in batch.places() {
            self.places.insert(name, (id, position));
        }
        self.file.sync_data()?;
        self.write_places()
    }

    /// Forgets the places of processes that papad has no more: nobody asks for them. One that has
    /// ended is there until that was acknowledged, and its place is needed until then.
    fn forget_gone(&mut self, papa: &Papa) -> papa_client::Result<()> {
        let listed: BTreeSet<_> = papa.processes("*")?.into_iter().map(|info| info.id).collect();
        self.places.retain(|_, (id, _)| listed.contains(id));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn write_places(&self) -> Result<(), Box<dyn Error>> {
        let mut text = format!("{}\n", self.length);
        for (name, (id, position)) in &self.places {
            let name = name.to_str().ok_or("a name is not UTF-8")?;
            writeln!(text, "{name} {id} {position}")?;
        }
        let next = self.places_path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(next, &self.places_path)?;
        Ok(())
    }
}

type Places = (u64, BTreeMap<Name, (ProcessId, u64)>);

fn read_places(text: &str) -> Result<Places, Box<dyn Error>> {
    let mut lines = text.lines();
    let length = lines.next().ok_or("places is empty")?.parse()?;
    let mut places = BTreeMap::new();
    for line in lines {
        let [name, id, position] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("places has a bad line: {line}").into());
        };
        places.insert(Name::new(name)?, (id.parse()?, position.parse()?));
    }
    Ok((length, places))
}
