//! The files that are compared, or written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

/// Set to have the files written.
const WRITE: &str = "PAPACTL_SHIP";

/// Compares a directory of `packaging` with what is to be in it: names and contents.
#[track_caller]
pub(crate) fn compare(directory: &str, expected: &BTreeMap<String, String>) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging")).join(directory);
    if env::var_os(WRITE).is_some() {
        fs::create_dir_all(&path).unwrap();
        for name in there(&path).keys().filter(|name| !expected.contains_key(*name)) {
            fs::remove_file(path.join(name)).unwrap();
        }
        for (name, text) in expected {
            fs::write(path.join(name), text).unwrap();
        }
    }
    let there = there(&path);
    let names: Vec<&String> = there.keys().collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "with {WRITE}=1 they are written");
    for (name, text) in expected {
        assert!(there[name] == *text, "{name} is out of date: with {WRITE}=1 it is written");
    }
}

fn there(path: &PathBuf) -> BTreeMap<String, String> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}
