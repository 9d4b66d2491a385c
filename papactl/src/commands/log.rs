//! `papactl log`

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use papa_client::{Endpoint, ErrorKind, Papa};

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::procfs;
use crate::shape::PapadLog;
use crate::text;
use crate::waiter::{Waiter, Woken};

/// How long papad may take to say which process it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a file that is followed is looked at.
const GLANCE: Duration = Duration::from_millis(250);

/// So much of a file is searched for its last lines. A log is moved aside before it is as large.
const MAX_READ: u64 = 4 << 20;

/// Show what papad itself has logged
///
/// That is not what processes have written: see papactl logs. A papad that papactl run has started
/// logs to $XDG_STATE_HOME/papad/log (~/.local/state/papad/log), root's to /var/log/papad.log, and
/// one at a Unix socket named by --endpoint to PATH.log. A log of more than 1 MiB is moved to the
/// same name with .1, and shown with the one after it if that has too few lines. One that systemd runs logs to the journal.
#[derive(Debug, Args)]
pub(crate) struct Log {
    /// Show the last N lines
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    tail: usize,

    /// Go on with what is logged, until Ctrl-C
    #[arg(long, short = 'f', conflicts_with = "json")]
    follow: bool,

    #[arg(hide = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Log {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        if !self.names.is_empty() {
            let what = "log shows what papad itself has logged, and takes no names";
            let hint = format!("say \"papactl logs {}\"", self.names.join(" "));
            return Err(Failure::new(Exit::USAGE, what).hint(hint));
        }
        let path = path(&context.endpoint)?;
        let file = File::open(&path).map_err(|error| cannot_read(&path, &error))?;
        let mut reader = BufReader::new(file);
        let mut lines =
            last_lines(&mut reader, self.tail).map_err(|error| cannot_read(&path, &error))?;
        if let Ok(older) = File::open(older(&path)) {
            let missing = self.tail.saturating_sub(lines.len());
            let before = last_lines(&mut BufReader::new(older), missing);
            before.unwrap_or_default().into_iter().rev().for_each(|line| lines.push_front(line));
        }
        if context.output.is_json() {
            output::json(&PapadLog { path: path.display().to_string(), lines: lines.into() })?;
            return Ok(Exit::DONE);
        }
        for line in lines {
            output::line(line)?;
        }
        if self.follow { follow(&path, reader) } else { Ok(Exit::DONE) }
    }
}

/// The file that the papad there logs to, or the one before it did.
fn path(endpoint: &Endpoint) -> Result<PathBuf> {
    let usual = endpoint.log_file().filter(|path| path.exists());
    let keeper = match Papa::connect(&endpoint.clone().deadline(PATIENCE)) {
        Ok(papa) => papa.status()?.pid,
        Err(error) => {
            return usual.ok_or_else(|| match error.kind() {
                ErrorKind::NotRunning => {
                    Failure::new(Exit::NOT_RUNNING, "no papad is running, and none has left a log")
                }
                _ => error.into(),
            });
        }
    };
    if let Some(path) = named_by(keeper).filter(|path| path.exists()) {
        return Ok(path);
    }
    let stderr = format!("/proc/{keeper}/fd/2");
    match (fs::read_link(&stderr), fs::metadata(&stderr)) {
        (Ok(path), Ok(file)) if file.is_file() => Ok(path),
        (Ok(path), _) => Err(elsewhere(keeper, &path)),
        // Another user's, or in another pid namespace.
        (Err(error), _) => usual.ok_or_else(|| {
            let what = format!("where the papad of pid {keeper} logs to cannot be told: {error}");
            Failure::new(Exit::FAILED, what).hint("try as root, or as the user that papad runs as")
        }),
    }
}

/// The log file that a papad's options name. Its standard error may still be the one before.
fn named_by(keeper: i32) -> Option<PathBuf> {
    let words = fs::read(format!("/proc/{keeper}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0);
    words.find(|word| *word == b"--log-file")?;
    words.next().map(|path| PathBuf::from(OsStr::from_bytes(path)))
}

/// Where a log goes that is full.
fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}

/// The failure where papad does not log to a file.
fn elsewhere(keeper: i32, stderr: &Path) -> Failure {
    let cgroup = procfs::of(keeper, "cgroup").unwrap_or_default();
    let mut units = cgroup.lines().filter_map(|line| line.rsplit('/').next());
    let service = units.find(|it| it.ends_with(".service") && !it.starts_with("user@"));
    let what = format!("the papad of pid {keeper} does not log to a file");
    let hint = match service {
        Some(service) => format!("\"journalctl -u {service}\" shows what it has logged"),
        None => format!("its standard error is {}", stderr.display()),
    };
    Failure::new(Exit::FAILED, what).hint(hint)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(format!("{} cannot be read", path.display()), error)
}

/// The last lines, as a terminal may be sent them. The reader stands behind them afterwards.
fn last_lines(reader: &mut BufReader<File>, count: usize) -> std::io::Result<VecDeque<String>> {
    let length = reader.get_ref().metadata()?.len();
    let begin = length.saturating_sub(MAX_READ);
    reader.seek(SeekFrom::Start(begin))?;
    let mut lines = VecDeque::new();
    let mut line = Vec::new();
    let mut is_first = true;
    while reader.by_ref().take(MAX_READ).read_until(b'\n', &mut line)? > 0 {
        // The first line of a part is perhaps the end of one.
        if !(std::mem::take(&mut is_first) && begin > 0) {
            lines.push_back(text::printable(line.trim_ascii_end()));
        }
        if lines.len() > count {
            lines.pop_front();
        }
        line.clear();
    }
    Ok(lines)
}

/// Writes what is added to a file, and to the one that takes its place.
fn follow(path: &Path, mut reader: BufReader<File>) -> Result<Exit> {
    let waiter = Waiter::new()?;
    let mut line = Vec::new();
    loop {
        let read = reader.by_ref().take(MAX_READ).read_until(b'\n', &mut line);
        if read.map_err(|error| cannot_read(path, &error))? > 0 && line.ends_with(b"\n") {
            output::line(text::printable(line.trim_ascii_end()))?;
            line.clear();
            continue;
        }
        if waiter.pause(GLANCE)? == Woken::Interrupted {
            return Ok(Exit::INTERRUPTED);
        }
        let open = reader.get_ref().metadata().map(|it| (it.dev(), it.ino())).ok();
        let there = fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
        if there.is_some()
            && there != open
            && let Ok(file) = File::open(path)
        {
            reader = BufReader::new(file);
            line.clear();
        }
    }
}
