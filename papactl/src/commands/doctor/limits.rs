//! How near papad's limits are, as it tells them itself.

use crate::finding::{Finding, Verdict};
use crate::shape::Limit;
use crate::text;

/// Parts of a limit, in percent, from which on it is near, and nearly met.
const NEAR: u64 = 80;
const NEARLY_MET: u64 = 95;

/// A part of a limit, in percent, from which on it is worth a word that nothing is to be done about.
const NOTED: u64 = 50;

/// The limits of what papad holds and serves, and how to get away from each. The others bound single
/// things: papad tells the greatest that there was, and the next one may be small again.
const TOTALS: [(&str, &str); 9] = [
    ("sessions", "\"papactl status --json\" tells whose they are"),
    ("sessions-per-user", "\"papactl status --json\" tells whose they are"),
    ("backlog", "\"papactl status --json\" tells who is connected: some do not read"),
    ("processes", "\"papactl rm\" takes those that have ended off the list"),
    (
        "buffers",
        "give processes smaller ones with --buffer, or \"papactl rm\" those that have ended",
    ),
    (
        "output-memory",
        "read what processes write (\"papactl top\" shows who keeps most), or \"papactl rm\" those \
         that have ended",
    ),
    ("sockets", "\"papactl socket rm\" closes those that nobody needs"),
    ("values", "\"papactl unset\" forgets those that nobody needs"),
    ("values-total", "\"papactl unset\" forgets those that nobody needs"),
];

/// How bad it is that so much of something is used.
pub(super) fn nearness(used: u64, allowed: u64) -> Verdict {
    match percent(used, allowed) {
        NEARLY_MET.. => Verdict::Bad,
        NEAR.. => Verdict::Warn,
        _ => Verdict::Ok,
    }
}

/// One of each limit that is near, or a single one that says that none is.
pub(super) fn findings(limits: &[Limit]) -> Vec<Finding> {
    let near: Vec<Finding> = TOTALS
        .iter()
        .filter_map(|(name, advice)| {
            let limit = limits.iter().find(|limit| limit.name == *name)?;
            let verdict = nearness(limit.used, limit.allowed);
            (verdict != Verdict::Ok && !is_told_by_another(limit, limits)).then(|| {
                let option = if *name == "output-memory" { "--" } else { "--max-" };
                let advice = format!("{advice}; papad {option}{name} allows more");
                let what = format!("{name}: {} are in use", amount(limit));
                Finding { verdict, ..Finding::ok("limits", what) }.advice(advice)
            })
        })
        .collect();
    if !near.is_empty() {
        return near;
    }
    let what =
        if limits.is_empty() { "this papad does not tell its limits" } else { "none is near" };
    vec![Finding::ok("limits", what)]
}

/// The limits of which half is used, in a row and the nearest first; `None` if papad tells none.
pub(crate) fn noted(limits: &[Limit]) -> Option<String> {
    let share = |limit: &Limit| percent(limit.used, limit.allowed);
    let mut noted: Vec<&Limit> = limits.iter().filter(|limit| share(limit) >= NOTED).collect();
    noted.sort_by_key(|limit| std::cmp::Reverse(share(limit)));
    let noted: Vec<String> =
        noted.iter().map(|limit| format!("{} {}", limit.name, amount(limit))).collect();
    match &noted[..] {
        _ if limits.is_empty() => None,
        [] => Some(format!("less than {NOTED}% of each")),
        noted => Some(noted.join(", ")),
    }
}

/// Where one user may have all sessions, only the limit of all is told.
fn is_told_by_another(limit: &Limit, limits: &[Limit]) -> bool {
    let is_as_strict = |all: &Limit| all.name == "sessions" && all.allowed <= limit.allowed;
    limit.name == "sessions-per-user" && limits.iter().any(is_as_strict)
}

/// How much is used of how much.
fn amount(limit: &Limit) -> String {
    let is_of_bytes = [
        "line",
        "name",
        "args",
        "answer",
        "backlog",
        "buffers",
        "output-memory",
        "value",
        "values-total",
    ]
    .contains(&&*limit.name);
    let say = |count: u64| if is_of_bytes { text::size(count) } else { count.to_string() };
    format!("{} of {}", say(limit.used), say(limit.allowed))
}

fn percent(used: u64, allowed: u64) -> u64 {
    let percent = u128::from(used) * 100 / u128::from(allowed.max(1));
    percent.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(text: &str) -> Vec<Limit> {
        let limit = |word: &str| {
            let (name, amount) = word.split_once('=').unwrap();
            let (used, allowed) = amount.split_once('/').unwrap();
            let (used, allowed) = (used.parse().unwrap(), allowed.parse().unwrap());
            Limit { name: name.to_owned(), used, allowed }
        };
        text.split_whitespace().map(limit).collect()
    }

    fn found(text: &str) -> Vec<(Verdict, String)> {
        let findings = findings(&limits(text)).into_iter();
        findings.map(|it| (it.verdict, it.what)).collect()
    }

    #[test]
    fn a_limit_is_near_and_then_nearly_met() {
        for (used, verdict) in [
            (0, Verdict::Ok),
            (79, Verdict::Ok),
            (80, Verdict::Warn),
            (95, Verdict::Bad),
            (101, Verdict::Bad),
        ] {
            assert_eq!(nearness(used, 100), verdict, "{used}");
        }
        assert_eq!(nearness(u64::MAX, u64::MAX), Verdict::Bad);
    }

    #[test]
    fn each_total_that_is_near_is_told() {
        assert_eq!(
            found("sessions=8/10 processes=1/10 values-total=2048/2048"),
            [
                (Verdict::Warn, "sessions: 8 of 10 are in use".to_owned()),
                (Verdict::Bad, "values-total: 2.0k of 2.0k are in use".to_owned())
            ]
        );
        assert_eq!(found("sessions=7/10"), [(Verdict::Ok, "none is near".to_owned())]);
        let silent = "this papad does not tell its limits".to_owned();
        assert_eq!(found(""), [(Verdict::Ok, silent)]);
    }

    #[test]
    fn one_thing_that_was_once_large_is_no_trouble() {
        for text in ["name=255/255", "line=2/2 watched=9/9 client-timeout=600/600 unheard=9/9"] {
            assert_eq!(found(text), [(Verdict::Ok, "none is near".to_owned())], "{text}");
        }
    }

    #[test]
    fn sessions_of_one_user_are_told_where_that_is_less_than_all() {
        assert_eq!(found("sessions=8/10 sessions-per-user=8/10").len(), 1);
        let own = found("sessions=8/20 sessions-per-user=8/10");
        assert_eq!(own, [(Verdict::Warn, "sessions-per-user: 8 of 10 are in use".to_owned())]);
    }

    #[test]
    fn the_nearest_limits_are_noted_first() {
        assert_eq!(
            noted(&limits("name=140/255 sockets=4/10 buffers=3072/4096")).as_deref(),
            Some("buffers 3.0k of 4.0k, name 140 of 255")
        );
        assert_eq!(noted(&limits("name=1/255")).as_deref(), Some("less than 50% of each"));
        assert_eq!(noted(&[]), None);
    }
}
