//! What a server reads of its predecessor: records of the journal.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papad::fuzzing::journal(bytes));
