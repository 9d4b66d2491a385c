//! What a server that has parted tells the next of its sessions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papad::fuzzing::handover(bytes));
