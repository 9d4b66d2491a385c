//! The program `papactl`. All of it is in the library, where its tests and its manual find it, too.

use std::process::ExitCode;

fn main() -> ExitCode {
    papactl::main()
}
