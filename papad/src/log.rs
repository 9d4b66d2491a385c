//! Lines to standard error, each with its time (UTC) and level; in systemd's journal with a priority
//! instead of a time. To log never waits: what standard error does not take in time is dropped and
//! counted.

mod file;
mod journal;
mod queue;
mod target;
mod writer;

use std::fmt;
use std::io;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys;
use file::LogFile;

/// How much a line matters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// The longest line, in bytes: a pipe takes one of these whole, whoever else writes to it
/// (`PIPE_BUF`, pipe(7)).
const MAX_LINE: usize = 4096;

static DEBUG: AtomicBool = AtomicBool::new(false);
static IS_SERVER: AtomicBool = AtomicBool::new(false);

/// Lets debug lines through.
pub(crate) fn say_more() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Writes one line, and never waits. `who` is `keeper` or `server`.
///
/// What would end the line or change how it is shown is escaped, and the line is bounded: what a
/// client sent cannot forge a line.
pub(crate) fn write(level: Level, who: &str, message: fmt::Arguments) {
    if level == Level::Debug && !DEBUG.load(Ordering::Relaxed) {
        return;
    }
    writer::write(format(level, who, message).into_bytes(), notice);
}

/// The line that reports how many others were dropped.
fn notice(lines: u64) -> Vec<u8> {
    let plural = if lines == 1 { "line was" } else { "lines were" };
    let message = format_args!("{lines} log {plural} dropped: standard error did not take them");
    format(Level::Warn, who(), message).into_bytes()
}

fn who() -> &'static str {
    if IS_SERVER.load(Ordering::Relaxed) { "server" } else { "keeper" }
}

/// Finds out whether standard error is systemd's journal. This comes before the first line.
pub(crate) fn look_for_journal() {
    journal::look();
}

/// Prepares the log of a keeper or server: `is_server` says which of them this process is.
pub(crate) fn begin(is_server: bool) {
    IS_SERVER.store(is_server, Ordering::Relaxed);
    // Without it, writing to a terminal from the background would stop this process after
    // `stty tostop`. It cannot fail for a signal that exists.
    let _ = sys::ignore(libc::SIGTTOU);
    // A log file at the limit of its size would end this process.
    let _ = sys::ignore(libc::SIGXFSZ);
    // Unlike std's own report of a panic, this one does not wait for a reader.
    panic::set_hook(Box::new(|panic| {
        write(Level::Error, who(), format_args!("{panic}"));
        flush();
    }));
}

/// Opens standard error anew, and starts a thread if it needs one. Signals must be blocked before
/// that, and inherited descriptors taken.
pub(crate) fn open() {
    writer::open(notice);
}

/// Writes a line that is for whoever has started this process, which is about to end with a failure:
/// it has no time and no level.
pub(crate) fn write_plain(message: &str) {
    let start = if journal::is_stderr() { journal::prefix(Level::Error) } else { "" };
    writer::write(line(start.to_owned(), message).into_bytes(), notice);
}

/// Waits until all lines are written, for a second at most: this process is about to end, or to
/// become another program.
pub(crate) fn flush() {
    writer::flush(notice);
}

/// Writes the last lines, and ends this process.
pub(crate) fn exit(code: u8) -> ! {
    flush();
    std::process::exit(code.into())
}

/// As [`flush`], for a process that ends by returning from `main`.
pub(crate) fn flushed(code: ExitCode) -> ExitCode {
    flush();
    code
}

/// Another file has become standard error.
pub(crate) fn reopen() {
    journal::look();
    writer::reopen();
}

/// Makes the file at this path standard error, and has it moved to `PATH.1` whenever it is full.
/// Where that cannot be, lines go on where they went.
pub(crate) fn to_file(path: &Path) {
    if writer::has_file() {
        return;
    }
    flush();
    let file = LogFile::new(path);
    if let Err(error) = file.adopt() {
        let path = path.display();
        write(Level::Warn, who(), format_args!("there can be no log file {path}: {error}"));
        return;
    }
    journal::look();
    writer::reopen_as(file);
    writer::open(notice);
}

/// Finds out whether there can be a log file at this path.
pub(crate) fn check_file(path: &Path) -> io::Result<()> {
    LogFile::new(path).check()
}

/// Whether this descriptor is standard error, opened anew.
#[cfg(feature = "faults")]
pub(crate) fn is_own_descriptor(fd: i32) -> bool {
    writer::is_own_descriptor(fd)
}

/// A whole line: its time, level, who it is from, and the message.
fn format(level: Level, who: &str, message: fmt::Arguments) -> String {
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
    };
    let start = if journal::is_stderr() {
        format!("{}{name} {who}: ", journal::prefix(level))
    } else {
        format!("{} {name} {who}: ", timestamp(SystemTime::now()))
    };
    line(start, &message.to_string())
}

/// The message after what stands before it, on one line.
fn line(mut line: String, message: &str) -> String {
    const CUT: &str = "...\n";
    for c in message.chars() {
        let before = line.len();
        if is_harmless(c) {
            line.push(c);
        } else {
            line.extend(c.escape_default());
        }
        if line.len() > MAX_LINE - CUT.len() {
            line.truncate(before);
            line.push_str(CUT);
            return line;
        }
    }
    line.push('\n');
    line
}

/// Whether a character shows as itself: it neither controls a terminal, nor ends a line, nor hides,
/// nor turns the direction of writing (Unicode, UAX #9).
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// RFC 3339 with milliseconds, in UTC.
fn timestamp(time: SystemTime) -> String {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The Gregorian date of a day counted from 1970-01-01, by counting in years that begin in March,
/// so that the leap day is a year's last.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = days + 719_468; // since 0000-03-01
    let era = days / DAYS_IN_400_YEARS;
    let day_of_era = days % DAYS_IN_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Logs what went wrong and cannot be told to anyone else.
macro_rules! error {
    ($who:literal, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Error, $who, format_args!($($message)*))
    };
}

/// Logs what an operator may want to act on.
macro_rules! warning {
    ($who:literal, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Warn, $who, format_args!($($message)*))
    };
}

/// Logs the few events of papad's own life.
macro_rules! info {
    ($who:literal, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Info, $who, format_args!($($message)*))
    };
}

/// Logs what `-d` asks for.
macro_rules! debug {
    ($who:literal, $($message:tt)*) => {
        $crate::log::write($crate::log::Level::Debug, $who, format_args!($($message)*))
    };
}

pub(crate) use {debug, error, info, warning as warn};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_shown_in_utc_with_milliseconds() {
        let at = |seconds, millis| {
            timestamp(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.001Z");
        assert_eq!(at(1_709_251_200, 0), "2024-03-01T00:00:00.000Z");
        assert_eq!(at(4_107_542_399, 0), "2100-02-28T23:59:59.000Z");
    }

    #[test]
    fn what_a_client_sent_cannot_forge_a_line() {
        let of = |message| line("now: ".to_owned(), message);
        assert_eq!(of("caf\u{e9} \\n"), "now: caf\u{e9} \\n\n");
        assert_eq!(of("a\nb\r\0\x1b[2J"), "now: a\\nb\\r\\u{0}\\u{1b}[2J\n");
        assert_eq!(of("\x7f\u{85}\u{2028}\u{202e}"), "now: \\u{7f}\\u{85}\\u{2028}\\u{202e}\n");
    }

    #[test]
    fn a_line_is_no_longer_than_a_pipe_takes_whole() {
        let of = |message: String| line("now: ".to_owned(), &message);
        let longest = "x".repeat(MAX_LINE - "now: ...\n".len());
        assert_eq!(of(longest.clone()), format!("now: {longest}\n"));
        for more in ["x", "\n", "\u{2028}", "\u{1f600}\u{1f600}"] {
            let line = of(longest.clone() + more);
            assert_eq!(line, format!("now: {longest}...\n"));
        }
        assert_eq!(of("\0".repeat(MAX_LINE)).matches('\n').count(), 1);
    }
}
