//! Whole sessions with a server in this process.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papad::fuzzing::sessions(bytes));
