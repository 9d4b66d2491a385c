//! Messages between keeper and server.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papad::fuzzing::link(bytes));
