//! Whether papad ends with somebody's login session: its control group, and what logind does.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::user_name;
use crate::finding::Finding;
use crate::procfs;

/// Where logind's configuration is, what is read later beats what is read before: see
/// logind.conf(5).
const CONFIGURATION: [&str; 4] = [
    "/usr/lib/systemd/logind.conf.d",
    "/etc/systemd/logind.conf",
    "/run/systemd/logind.conf.d",
    "/etc/systemd/logind.conf.d",
];

const LINGER: &str = "/var/lib/systemd/linger";

const ROOT: u32 = 0;

/// What a control group means.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// That of a login session: its name.
    Session(String),
    /// Below a user's own service manager.
    UserManager(u32),
    /// One of the system's, or none that systemd made.
    System(String),
}

/// How it is with this papad; nothing where its control group is not known.
pub(super) fn finding(keeper: i32) -> Option<Finding> {
    let place = place(&procfs::of(keeper, "cgroup")?)?;
    let owner = procfs::seen(keeper)?.uid;
    let texts = configuration();
    let kills = kills_user_processes(texts.iter().map(String::as_str));
    let lingers = |uid| Path::new(LINGER).join(user_name(uid)).exists();
    Some(judge(&place, owner, kills, lingers))
}

/// What the text of `/proc/PID/cgroup` says.
fn place(text: &str) -> Option<Place> {
    let groups = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        (controllers.is_empty() || controllers == "name=systemd").then_some(path)
    });
    // With both hierarchies the longer path is the one that systemd uses.
    let path = groups.max_by_key(|path| path.len())?;
    let parts = || path.split('/');
    let user =
        parts().find_map(|part| part.strip_prefix("user@")?.strip_suffix(".service")?.parse().ok());
    let is_session =
        |part: &&str| part.starts_with("session-") && part.strip_suffix(".scope").is_some();
    Some(match (user, parts().find(is_session)) {
        (Some(uid), _) => Place::UserManager(uid),
        (None, Some(scope)) => Place::Session(scope.to_owned()),
        (None, None) => Place::System(path.to_owned()),
    })
}

fn judge(place: &Place, owner: u32, kills: Option<bool>, lingers: impl Fn(u32) -> bool) -> Finding {
    const ADVICE: &str = "run it as a service of the system: packaging/papad.service";
    match place {
        Place::System(path) => Finding::ok("cgroup", format!("{path} ends with no session")),
        // KillExcludeUsers= has root in it unless it is set.
        Place::Session(scope) if owner == ROOT || kills == Some(false) => Finding::ok(
            "cgroup",
            format!("it was started in {scope}, and logind lets it live when that ends"),
        ),
        Place::Session(scope) => {
            let advice = format!("{ADVICE}; or set KillUserProcesses=no in logind.conf");
            match kills {
                Some(_) => Finding::bad("cgroup", format!("logind kills it when {scope} ends")),
                None => Finding::warn(
                    "cgroup",
                    format!("it was started in {scope}, and logind may kill it when that ends"),
                ),
            }
            .advice(advice)
        }
        Place::UserManager(uid) if lingers(*uid) => {
            Finding::ok("cgroup", format!("the service manager of {} lingers", user_name(*uid)))
        }
        Place::UserManager(uid) => {
            let user = user_name(*uid);
            let what = format!("it ends with the service manager of {user}, at the last logout");
            Finding::bad("cgroup", what)
                .advice(format!("say \"loginctl enable-linger {user}\", or {ADVICE}"))
        }
    }
}

/// Whether logind kills what a session leaves behind; `None` where that was left to how systemd was
/// built.
fn kills_user_processes<'a>(texts: impl Iterator<Item = &'a str>) -> Option<bool> {
    let lines = texts.flat_map(str::lines);
    let values = lines.filter_map(|line| line.trim().strip_prefix("KillUserProcesses="));
    let value = values.last()?.trim().to_ascii_lowercase();
    Some(matches!(value.as_str(), "yes" | "y" | "true" | "t" | "on" | "1"))
}

/// The texts of logind's configuration.
fn configuration() -> Vec<String> {
    let files = CONFIGURATION.iter().flat_map(|path| {
        let entries = fs::read_dir(path).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries.filter_map(|it| Some(it.ok()?.path())).collect();
        files.sort();
        files.push(path.into());
        files
    });
    files.filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    #[test]
    fn a_control_group_tells_what_papad_ends_with() {
        for (text, expected) in [
            (
                "0::/user.slice/user-1000.slice/session-3.scope\n",
                Place::Session("session-3.scope".into()),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/papad.service\n",
                Place::UserManager(1000),
            ),
            (
                "0::/system.slice/papad.service\n",
                Place::System("/system.slice/papad.service".into()),
            ),
            (
                "4:memory:/user.slice\n1:name=systemd:/user.slice/session-c1.scope\n0::/\n",
                Place::Session("session-c1.scope".into()),
            ),
        ] {
            assert_eq!(place(text), Some(expected));
        }
        assert_eq!(place(""), None);
    }

    #[test]
    fn the_last_setting_counts() {
        let kills = |texts: &[&str]| kills_user_processes(texts.iter().copied());
        assert_eq!(kills(&["[Login]\n#KillUserProcesses=yes\n"]), None);
        assert_eq!(
            kills(&["[Login]\nKillUserProcesses=no\n", "KillUserProcesses=yes\n"]),
            Some(true)
        );
        assert_eq!(kills(&["KillUserProcesses=1", " KillUserProcesses=off "]), Some(false));
    }

    #[test]
    fn what_ends_with_a_session_is_bad() {
        let session = Place::Session("session-3.scope".into());
        let user = Place::UserManager(54321);
        let system = Place::System("/".into());
        for (place, owner, kills, lingers, verdict) in [
            (&session, 1000, Some(true), false, Verdict::Bad),
            (&session, 1000, None, false, Verdict::Warn),
            (&session, 1000, Some(false), false, Verdict::Ok),
            (&session, ROOT, Some(true), false, Verdict::Ok),
            (&user, 1000, None, false, Verdict::Bad),
            (&user, 1000, None, true, Verdict::Ok),
            (&system, 1000, Some(true), false, Verdict::Ok),
        ] {
            let finding = judge(place, owner, kills, |_| lingers);
            assert_eq!(finding.verdict, verdict, "{place:?} of {owner}, {kills:?}");
            assert_eq!(finding.advice.is_some(), verdict != Verdict::Ok);
        }
    }
}
