//! Requests of protocol 2, before and in a watch: what is read can be written, and is read again as
//! the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use papa_protocol::exact::{Failure, parse, parse_in_watch};

fuzz_target!(|line: &[u8]| {
    match parse(line) {
        Ok(Some(request)) => {
            let mut written = Vec::new();
            request.write(&mut written);
            assert_eq!(parse(one_line(&written)), Ok(Some(request)));
        }
        Ok(None) => {}
        Err(failure) => assert_short(&failure),
    }
    match parse_in_watch(line) {
        Ok(Some(request)) => {
            let mut written = Vec::new();
            request.write(&mut written);
            assert_eq!(parse_in_watch(one_line(&written)), Ok(Some(request)));
        }
        Ok(None) => {}
        Err(failure) => assert_short(&failure),
    }
});

fn one_line(written: &[u8]) -> &[u8] {
    match written.strip_suffix(b"\n") {
        Some(line) if line.iter().all(|byte| (0x20..=0x7e).contains(byte)) => line,
        _ => panic!("not one line: {}", written.escape_ascii()),
    }
}

fn assert_short(Failure { what, .. }: &Failure) {
    assert!(!what.is_empty() && what.len() < 1000, "{what}");
    assert!(!what.contains(char::is_control), "{what:?}");
}
