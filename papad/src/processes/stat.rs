//! What `/proc/PID/stat` tells of a process: see `proc_pid_stat(5)`, whose numbers of fields these
//! are.

use std::fs::{self, File};
use std::io::{self, Read};

use nix::errno::Errno;
use nix::time::ClockId;
use nix::unistd::{SysconfVar, sysconf};

/// More bytes than the line has: 52 fields, of at most 20 digits each but for the name.
const LONGEST: usize = 2048;

/// Some of a process's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Whether it has ended and is not reaped yet (field 3).
    pub(super) is_zombie: bool,
    /// Whether a signal has stopped it (field 3).
    pub(super) is_stopped: bool,
    /// Its parent's pid (field 4).
    pub(super) parent: i32,
    /// The session that it is in, by its number: the pid of the one that made it (field 6).
    pub(super) session: i32,
    /// Its threads (field 20). A zombie that has others than the first has not ended yet.
    pub(super) threads: u32,
    /// When it was started, in clock ticks since boot (field 22). No other process of its pid has
    /// the same.
    pub(super) started: u64,
    /// Of a zombie, how it ended in the form of wait(2), or 0 to whom the kernel does not let look
    /// (field 52).
    status: i32,
}

impl Stat {
    /// Whether it has ended, all of its threads included.
    pub(super) fn has_ended(&self) -> bool {
        self.is_zombie && self.threads <= 1
    }
}

/// Looks at a process. `None` if there is none of this pid, or it is not to be seen.
///
/// # Errors
/// There is no descriptor or no memory to look with.
pub(super) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let mut text = [0; LONGEST];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|file| read_line(file, &mut text));
    match read {
        // The name may be any bytes.
        Ok(length) => Ok(parse(&String::from_utf8_lossy(&text[..length]))),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => Err(error),
            _ => Ok(None),
        },
    }
}

/// Reads a line, and returns its length. A process that was not read to the end would be taken for
/// one that is not there.
fn read_line(mut file: File, text: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    // One read takes it all; another, to find no more, would be a quarter of the cost.
    while !text[..length].ends_with(b"\n") {
        match file.read(&mut text[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn parse(text: &str) -> Option<Stat> {
    // The name, field 2, stands in parentheses and may itself hold any character.
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3);
    Some(Stat {
        is_zombie: *field(3)? == "Z",
        is_stopped: *field(3)? == "T",
        parent: field(4)?.parse().ok()?,
        session: field(6)?.parse().ok()?,
        threads: field(20)?.parse().ok()?,
        started: field(22)?.parse().ok()?,
        status: field(52)?.parse().ok()?,
    })
}

/// Whether a process is stopped that runs under this pid, and if that is known was started at that
/// time.
pub(super) fn is_stopped(pid: i32, started: Option<u64>) -> bool {
    let is_this = |stat: &Stat| started.is_none_or(|started| stat.started == started);
    stat(pid).ok().flatten().filter(is_this).is_some_and(|stat| stat.is_stopped)
}

/// How a process has ended, in the form of wait(2), if it is a zombie that was started at this
/// time and that papad may look at.
pub(super) fn status_of_zombie(pid: i32, started: u64) -> Option<i32> {
    let stat = stat(pid).ok()?.filter(|stat| stat.is_zombie && stat.started == started)?;
    // The same right is needed for both.
    fs::read_link(format!("/proc/{pid}/ns/user")).ok()?;
    Some(stat.status)
}

/// Nanoseconds since boot, by the clock that counts the starts of processes.
pub(super) fn since_boot() -> u64 {
    let now = ClockId::CLOCK_BOOTTIME.now().map(std::time::Duration::from).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds in a clock tick.
pub(super) fn tick() -> u64 {
    // The kernel has told every program 100 for as long as there are 64-bit ones.
    const TICKS_PER_SECOND: u64 = 100;
    let told = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| ticks.try_into().ok());
    1_000_000_000 / told.filter(|&ticks| ticks > 0).unwrap_or(TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn run(line: &str) -> Child {
        Command::new("/bin/sh").arg("-c").arg(line).spawn().unwrap()
    }

    #[test]
    fn fields_are_found_behind_any_name() {
        let fields: Vec<String> = (5..=52).map(|number| number.to_string()).collect();
        let text = format!("42 (a) b (c) Z 7 {}\n", fields.join(" "));
        let stat = parse(&text).unwrap();
        assert_eq!(
            stat,
            Stat {
                is_zombie: true,
                is_stopped: false,
                parent: 7,
                session: 6,
                threads: 20,
                started: 22,
                status: 52
            }
        );
        assert_eq!(parse("42 (a) Z 7 5"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_process_was_started_between_the_clocks_readings_before_and_after() {
        let before = since_boot();
        let mut child = run("exec sleep 1000");
        let after = since_boot();
        let stat = stat(child.id() as i32).unwrap().unwrap();
        let started = stat.started * tick();
        assert!(started + tick() > before && started <= after, "{before} {started} {after}");
        assert_eq!(stat.parent, std::process::id() as i32);
        assert!(!stat.is_zombie);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_zombie_tells_how_it_ended_and_nobody_else_does() {
        for (line, status) in [("exit 3", 3 << 8), ("kill -TERM $$", libc::SIGTERM)] {
            let mut child = run(line);
            let pid = child.id() as i32;
            let zombie = loop {
                match stat(pid).unwrap().unwrap() {
                    stat if stat.is_zombie => break stat,
                    _ => std::thread::yield_now(),
                }
            };
            assert_eq!(status_of_zombie(pid, zombie.started), Some(status), "{line}");
            assert_eq!(status_of_zombie(pid, zombie.started + 1), None);
            child.wait().unwrap();
            assert_eq!(stat(pid).unwrap(), None);
        }
        let own = stat(std::process::id() as i32).unwrap().unwrap();
        assert_eq!(status_of_zombie(std::process::id() as i32, own.started), None);
    }
}
