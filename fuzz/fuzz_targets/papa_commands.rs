//! Commands of papa 1.0: each line is one, or a short sentence says why it is none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use papa_protocol::command::{self, Command};
use papa_protocol::name::{self, Noun};
use papa_protocol::words;

fuzz_target!(|line: &[u8]| {
    let read = words::split(line);
    if read.is_empty() {
        return;
    }
    match command::parse(read) {
        Ok(Command::MakeProcess(made)) => {
            assert!(!made.command.is_empty());
            assert!(made.command.iter().all(|word| !word.contains(&0)));
            assert_eq!(name::check(Noun::Process, &made.name), Ok(()));
        }
        Ok(Command::MakeSocket(made)) => {
            assert_eq!(name::check(Noun::Socket, &made.name), Ok(()));
        }
        Ok(Command::Set { name, value: Some(_) }) => {
            assert_eq!(name::check(Noun::Value, &name), Ok(()));
        }
        Ok(_) => {}
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && said.len() < 1000, "{said}");
            assert!(!said.contains(char::is_control), "{said:?}");
        }
    }
});
