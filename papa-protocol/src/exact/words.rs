//! What the readers of requests share: taking words, options and numbers apart.

use std::collections::btree_map::Entry;
use std::str::FromStr;

use super::failure::Failure;
use crate::name::{self, Noun};
use crate::options::Pairs;
use crate::text::shown;

/// What is left of a request's words.
pub(super) type Words = std::vec::IntoIter<Vec<u8>>;

/// The failure of a request that has not the words it needs. `form` shows how it is written.
pub(super) fn wrong_form(form: &str) -> Failure {
    Failure::usage(format!("This request is written: {form}"))
}

/// Takes the only word that is left.
pub(super) fn only(words: Words, form: &str) -> Result<Vec<u8>, Failure> {
    <[Vec<u8>; 1]>::try_from(words.collect::<Vec<_>>())
        .map(|[word]| word)
        .map_err(|_| wrong_form(form))
}

/// Whether something new may have this name. A `*` at its end would stand for any rest wherever
/// the name is said, so that nobody could mean this one alone.
pub(super) fn new_name(noun: Noun, name: &[u8]) -> Result<(), Failure> {
    name::check(noun, name)?;
    if name.ends_with(b"*") {
        let noun = noun.singular();
        return Err(Failure::usage(format!("A {noun} name must not end in \"*\"")));
    }
    Ok(())
}

/// The key and the value of `key=value`. The value may hold `=`, too.
pub(super) fn split_pair(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|&byte| byte == b'=')?;
    Some((&word[..at], &word[at + 1..]))
}

/// Adds an option. Each may be given once.
pub(super) fn insert(pairs: &mut Pairs, key: &[u8], value: &[u8]) -> Result<(), Failure> {
    match pairs.entry(key.to_vec()) {
        Entry::Vacant(entry) => entry.insert(value.to_vec()),
        Entry::Occupied(_) => return Err(given_twice(key)),
    };
    Ok(())
}

pub(super) fn given_twice(key: &[u8]) -> Failure {
    Failure::usage(format!("{}= must be given once only", shown(key)))
}

/// The failure of an option that the request does not have. `known` lists those it has.
pub(super) fn unknown_option(key: &[u8], request: &str, known: &str) -> Failure {
    let key = shown(key);
    Failure::usage(format!("There is no {key}= for {request}; its options are: {known}"))
}

/// The failure of an option whose value is none. `right` says what would be.
pub(super) fn bad_value(key: &str, right: &str, value: &[u8]) -> Failure {
    Failure::usage(format!("{key}= must be {right}, not \"{}\"", shown(value)))
}

/// A value that is handed to a system call as a C string.
pub(super) fn c_text(key: &str, value: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if value.is_empty() {
        return Err(Failure::usage(format!("{key}= must not be empty; leave it out for none")));
    }
    refuse_nul(&format!("{key}="), &value)?;
    Ok(value)
}

/// What goes into a system call as a C string cannot hold a NUL byte.
pub(super) fn refuse_nul(what: &str, value: &[u8]) -> Result<(), Failure> {
    if value.contains(&0) {
        return Err(Failure::usage(format!("{what} must not contain a NUL byte")));
    }
    Ok(())
}

/// `1` or `0`.
pub(super) fn flag(key: &str, value: &[u8]) -> Result<bool, Failure> {
    match value {
        b"0" => Ok(false),
        b"1" => Ok(true),
        _ => Err(bad_value(key, "0 or 1", value)),
    }
}

/// `yes` or `no`.
pub(super) fn yes_or_no(key: &str, value: &[u8]) -> Result<bool, Failure> {
    match value {
        b"no" => Ok(false),
        b"yes" => Ok(true),
        _ => Err(bad_value(key, "yes or no", value)),
    }
}

/// The permission bits that a umask takes away, in octal with or without leading zeros.
pub(super) fn umask(value: &[u8]) -> Result<u32, Failure> {
    const MAX_UMASK: u32 = 0o777;
    let is_octal = value.iter().all(|byte| (b'0'..=b'7').contains(byte));
    let text = std::str::from_utf8(value).ok().filter(|_| is_octal);
    text.and_then(|text| u32::from_str_radix(text, 8).ok())
        .filter(|&umask| umask <= MAX_UMASK)
        .ok_or_else(|| bad_value("umask", "octal, from 0 to 0777", value))
}

/// A umask as it is written: octal, with the 0 in front that says so.
pub(super) fn umask_text(umask: u32) -> String {
    format!("0{umask:03o}")
}

/// A decimal number. The standard parser alone would also take a `+`.
pub(super) fn parse_number<N: FromStr>(text: &[u8]) -> Option<N> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().filter(|_| !text.starts_with('+'))
}
