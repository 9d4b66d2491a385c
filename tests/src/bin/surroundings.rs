//! Writes down what a process has found, one thing a line: `WHAT: HOW IT IS`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::env;
use std::fs;

use papad_tests::{Attribute, attribute, find_key};

/// Of `/proc/self/status`. What signals do is left out: Rust's own beginning has changed that.
const STATUS: [&str; 14] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "SigPnd",
    "SigBlk",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapAmb",
    "CapBnd",
    "NoNewPrivs",
    "Seccomp",
    "Cpus_allowed",
];

/// Whether the session keyring has the key that whoever starts papad may have in his.
fn key() -> String {
    find_key().map_or_else(|errno| format!("{errno:?}"), |()| "found".to_owned())
}

fn main() {
    // What this program itself opens comes after what it was started with.
    let descriptors: BTreeMap<i32, String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let target = fs::read_link(&path).ok()?.to_string_lossy().into_owned();
            Some((path.file_name()?.to_str()?.parse().ok()?, target))
        })
        .filter(|(_, target): &(i32, String)| !target.ends_with("/fd"))
        .collect();
    let kind = |target: &str| target.split(":[").next().unwrap().to_owned();
    let kinds: Vec<String> =
        descriptors.iter().map(|(number, target)| format!("{number} {}", kind(target))).collect();
    println!("Descriptors: {}", kinds.join(", "));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in status.lines() {
        let (what, how) = line.split_once(':').unwrap();
        if STATUS.contains(&what) {
            println!("{what}: {}", how.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    for line in limits.lines().skip(1) {
        // The name takes 26 columns, and each limit 21.
        let (name, both) = line.split_at(26);
        let both: Vec<&str> = both.split_whitespace().take(2).collect();
        println!("{}: {}", name.trim(), both.join(" "));
    }
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let own = std::process::id().to_string();
    println!("Leads its group: {}", fields[2] == own);
    println!("Leads its session: {}", fields[3] == own);
    println!("Terminal: {}", fields[4]);
    println!("Nice: {}", fields[16]);
    println!("Parent: {}", fields[1]);
    println!("Signal at its parent's end: {}", attribute(Attribute::DeathSignal));
    println!("Securebits: {}", attribute(Attribute::Securebits));
    println!("Can be traced: {}", attribute(Attribute::Dumpable));
    println!("Key: {}", key());
    for file in ["oom_score_adj", "loginuid", "cgroup"] {
        let text = fs::read_to_string(format!("/proc/self/{file}")).unwrap();
        println!("{file}: {}", text.trim().replace('\n', " "));
    }
    println!("Directory: {}", env::current_dir().unwrap().display());
    println!("Root: {}", fs::read_link("/proc/self/root").unwrap().display());
    let variables: Vec<String> =
        env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    println!("Environment: {}", variables.join(" "));
}
