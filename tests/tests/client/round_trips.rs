//! Whatever bytes go in come out again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use papa_client::{Event, Papa};
use papad_tests::DEADLINE;
use proptest::prelude::*;

use crate::Hosted;

/// Any bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..300)
}

/// Any bytes that exec(3) passes on.
fn word() -> impl Strategy<Value = OsString> {
    prop::collection::vec(1..=u8::MAX, 0..100).prop_map(OsString::from_vec)
}

/// A name that all nouns may have, and that is none of papad's words.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = (0x21..=u8::MAX).prop_filter("no :, * or DEL", |byte| !b":*\x7f".contains(byte));
    prop::collection::vec(byte, 1..100)
}

fn check(papa: &Papa, name: &[u8], value: &[u8], words: &[OsString]) {
    papa.set(name, value).unwrap();
    assert_eq!(papa.get(name).unwrap().as_deref(), Some(value));
    let listed = papa.values("*").unwrap();
    assert_eq!((listed[0].name.as_bytes(), &listed[0].value[..]), (name, value));
    assert!(papa.compare_and_unset(name, value).unwrap());

    let made = papa
        .process(name, "/bin/sh")
        .args(["-c", "printf %s \"$@\"; kill -STOP $$", "sh"])
        .args(words)
        .env_clear()
        .envs(words.iter().enumerate().map(|(at, word)| (format!("V{at}"), word)))
        .make()
        .unwrap();
    let listed = papa.processes("*").unwrap();
    assert_eq!((listed[0].name.as_bytes(), listed[0].id), (name, made.id()));
    assert_eq!(listed[0].command[4..], *words);
    let found = papa.process_named(name).unwrap().unwrap();
    assert_eq!(found.info().command, listed[0].command);
    let shown = papa.show_process(name).unwrap();
    for (at, word) in words.iter().enumerate() {
        let mut variable = OsString::from(format!("env.V{at}="));
        variable.push(word);
        assert!(shown.contains(&variable), "{}", variable.display());
    }
    assert_writes(papa, name, words.join(OsStr::new("")).as_bytes());
    made.kill().unwrap();
    made.wait().unwrap();
    assert!(papa.remove_process(name).unwrap());
}

/// Checks that a process writes this.
fn assert_writes(papa: &Papa, name: &[u8], expected: &[u8]) {
    let mut watcher = papa.watch([name]).start().unwrap();
    let mut written = Vec::new();
    while written.len() < expected.len() {
        let batch = watcher.next_timeout(DEADLINE).unwrap().expect("its output comes");
        for event in &batch {
            if let Event::Output { bytes, .. } = event {
                written.extend_from_slice(bytes);
            }
        }
        batch.acknowledge();
    }
    assert_eq!(written, expected);
}

#[test]
fn random_names_words_and_values_are_told_as_they_were_said() {
    let hosted = Hosted::start();
    let words = prop::collection::vec(word(), 0..5);
    proptest!(ProptestConfig::with_cases(50), |(name in name(), value in bytes(), words in words)| {
        check(&hosted.papa, &name, &value, &words);
    });
}
