//! A watch of the client's, whatever it is sent, in whatever pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| papa_client::fuzzing::watch(bytes));
