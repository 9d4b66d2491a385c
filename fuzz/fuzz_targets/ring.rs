//! What a server reads of its predecessor: the file of a ring.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papad::fuzzing::ring(bytes));
