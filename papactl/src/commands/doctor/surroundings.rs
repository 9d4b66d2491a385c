//! What papad runs on, and as whom.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::utsname::uname;
use papa_client::Status;

use crate::context::user_name;
use crate::finding::Finding;
use crate::procfs;

const ROOT: u32 = 0;

/// Why it matters whether there is a program to start.
const WHY: &str = "\"papactl run\" cannot start a papad";

/// The kernels that papad needs at least, and from which on nothing is missing.
const NEEDED: (u32, u32) = (5, 14);
const COMPLETE: (u32, u32) = (6, 15);

/// Of the tasks that there may be, in percent, from which on there are many.
const MANY: u64 = 80;

/// Files of papad's directory for values, one of which it has open.
const VALUES: &str = "/values";

/// What is to be said of this machine, papad or not.
pub(super) fn findings() -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(uname().ok().and_then(|it| kernel(&it.release().to_string_lossy())));
    let read = |path: &str| fs::read_to_string(path).ok();
    let tasks_of = || tasks(&read("/proc/loadavg")?, &read("/proc/sys/kernel/pid_max")?);
    findings.extend(tasks_of());
    let bin = env::var_os("PAPAD_BIN").filter(|path| !path.is_empty());
    findings.push(program(bin.as_deref(), &env::var_os("PATH").unwrap_or_default()));
    findings
}

/// What is to be said of the papad that runs. `values` are those that are not a session's.
pub(super) fn of_papad(status: &Status, values: usize) -> Vec<Finding> {
    let mut findings = vec![version(&status.version, env!("CARGO_PKG_VERSION"))];
    if let Some(keeper) = procfs::seen(status.pid) {
        findings.push(user(keeper.uid));
        findings
            .extend(procfs::of(status.pid, "oom_score_adj").and_then(|it| memory(&it, keeper.uid)));
    }
    if let Ok(path) = fs::read_link(format!("/proc/{}/exe", status.pid)) {
        findings.push(installed(&path.to_string_lossy()));
    }
    let files = procfs::open_files(status.server);
    if !files.is_empty() {
        findings.push(kept(values, &files));
    }
    findings
}

fn version(papads: &str, own: &str) -> Finding {
    if papads == own {
        return Finding::ok("version", format!("papad and papactl are {own}"));
    }
    Finding::warn("version", format!("papad is {papads}, papactl {own}"))
        .advice("\"papactl upgrade\" has the installed papad take over")
}

/// Whether another program has been installed since.
fn installed(executable: &str) -> Finding {
    match executable.strip_suffix(" (deleted)") {
        None => Finding::ok("program", format!("it runs from {executable}")),
        Some(path) => {
            Finding::warn("program", format!("{path} was replaced or removed since papad started"))
                .advice("\"papactl upgrade\" has the new one take over")
        }
    }
}

fn user(uid: u32) -> Finding {
    if uid == ROOT {
        return Finding::ok("user", "papad runs as root, and may start processes as anybody");
    }
    let user = user_name(uid);
    Finding::ok("user", format!("papad runs as {user}, and starts processes as {user} alone"))
}

/// Whether papad is among the last to be killed when memory runs out, by its `oom_score_adj`.
fn memory(score: &str, uid: u32) -> Option<Finding> {
    let score: i32 = score.trim().parse().ok()?;
    let what = format!("oom_score_adj is {score}");
    Some(match score {
        ..0 => Finding::ok("memory", format!("{what}: others are killed first")),
        0 if uid != ROOT => Finding::ok("memory", format!("{what}, as for everybody")),
        0.. => Finding::warn("memory", format!("{what}: papad is killed as soon as others"))
            .advice("papad lowers it where it may, with CAP_SYS_RESOURCE; choom(1) does, too"),
    })
}

/// Whether values outlive a reboot, by the files that papad's server has open.
fn kept(values: usize, files: &[String]) -> Finding {
    if files.iter().any(|file| file.ends_with(VALUES)) {
        return Finding::ok("values", "they are on disk, and outlive a reboot");
    }
    let what = format!("{values} values would be lost with a reboot");
    let finding = Finding::ok("values", what);
    if values == 0 { finding } else { finding.advice("papad --state-dir DIR keeps them") }
}

/// Whether the kernel is new enough, by its release.
fn kernel(release: &str) -> Option<Finding> {
    let mut parts = release.split(|it: char| !it.is_ascii_digit()).map(str::parse);
    let version = (parts.next()?.ok()?, parts.next()?.ok()?);
    let what = format!("Linux {release}");
    Some(if version < NEEDED {
        Finding::bad("kernel", what).advice("papad needs Linux 5.14")
    } else if version < COMPLETE {
        Finding::warn("kernel", format!("{what} does not tell how a process ended later on"))
            .advice(
                "from Linux 6.15 on exit statuses are known of processes, too, whose keeper was \
                 killed",
            )
    } else {
        Finding::ok("kernel", what)
    })
}

/// How many tasks there are, by `/proc/loadavg` and `pid_max`.
fn tasks(loadavg: &str, most: &str) -> Option<Finding> {
    let tasks: u64 = loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()?;
    let most: u64 = most.trim().parse().ok()?;
    let what = format!("{tasks} of {most} tasks run on this machine");
    Some(if tasks.saturating_mul(100) < most.saturating_mul(MANY) {
        Finding::ok("tasks", what)
    } else {
        Finding::warn("tasks", what).advice("raise kernel.pid_max with sysctl(8)")
    })
}

/// Whether there is a papad to start, where none runs.
fn program(bin: Option<&OsStr>, path: &OsStr) -> Finding {
    let is_program = |path: &PathBuf| {
        let file = fs::metadata(path);
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    match bin {
        Some(bin) if is_program(&Path::new(bin).into()) => {
            Finding::ok("start", format!("PAPAD_BIN is {}", bin.display()))
        }
        Some(bin) => {
            Finding::warn("start", format!("{WHY}: PAPAD_BIN is {}, no program", bin.display()))
                .advice("set it to papad's path, or unset it")
        }
        None => match env::split_paths(path).map(|it| it.join("papad")).find(is_program) {
            Some(found) => {
                Finding::ok("start", format!("it would be started as {}", found.display()))
            }
            None => Finding::warn("start", format!("{WHY}: it is not in PATH"))
                .advice("install it, or set PAPAD_BIN to its path"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn an_old_kernel_is_told_by_its_release() {
        for (release, verdict) in [
            ("5.13.0-1-amd64", Verdict::Bad),
            ("5.14.0", Verdict::Warn),
            ("6.1.0-28-amd64", Verdict::Warn),
            ("6.15-rc1", Verdict::Ok),
            ("10.0.1", Verdict::Ok),
        ] {
            assert_eq!(kernel(release).map(|it| it.verdict), Some(verdict), "{release}");
        }
        assert_eq!(kernel("what"), None);
    }

    #[test]
    fn many_tasks_are_told_before_there_are_too_many() {
        let verdict = |loadavg, most| tasks(loadavg, most).map(|it| it.verdict);
        assert_eq!(verdict("0.00 0.01 0.05 1/799 4242\n", "1000\n"), Some(Verdict::Ok));
        assert_eq!(verdict("0.00 0.01 0.05 1/800 4242\n", "1000\n"), Some(Verdict::Warn));
        assert_eq!(verdict("", "1000\n"), None);
    }

    #[test]
    fn the_score_for_times_without_memory_is_to_be_low() {
        let verdict = |score, uid| memory(score, uid).map(|it| it.verdict);
        assert_eq!(verdict("-900\n", ROOT), Some(Verdict::Ok));
        assert_eq!(verdict("0\n", ROOT), Some(Verdict::Warn));
        assert_eq!(verdict("0\n", 1000), Some(Verdict::Ok));
        assert_eq!(verdict("200\n", 1000), Some(Verdict::Warn));
    }

    #[test]
    fn an_upgrade_that_is_due_is_told() {
        assert!(version("0.1.0", "0.1.0").is_ok());
        assert_eq!(version("0.1.0", "0.2.0").verdict, Verdict::Warn);
        assert!(installed("/usr/local/bin/papad").is_ok());
        assert_eq!(installed("/usr/local/bin/papad (deleted)").verdict, Verdict::Warn);
    }

    #[test]
    fn values_are_on_disk_if_the_file_is_open() {
        let files = ["/dev/null".to_owned(), "/var/lib/papad/values".to_owned()];
        assert_eq!(kept(2, &files).advice, None);
        assert!(kept(2, &files[..1]).advice.is_some());
        assert_eq!(kept(0, &files[..1]).advice, None);
    }

    #[test]
    fn a_papad_to_start_is_looked_for() {
        assert!(program(Some(OsStr::new("/bin/sh")), OsStr::new("")).is_ok());
        assert!(!program(Some(OsStr::new("/etc/passwd")), OsStr::new("/bin")).is_ok());
        assert!(!program(None, OsStr::new("/nonexistent")).is_ok());
    }
}
