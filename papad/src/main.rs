//! papad: a small, long-lived daemon that owns listening sockets, child processes, their output
//! and a key/value store, so that the programs which manage these can stop, crash and be upgraded.
//!
//! It is two processes. The [`keeper`] holds descriptors and is the parent of everything; the
//! [`server`] does the rest and may die at any instant. `docs/architecture.md` tells the whole.

mod available;
mod bounds;
mod cli;
#[cfg(feature = "fuzzing")]
#[path = "../../fuzz/papad/targets.rs"]
pub mod fuzzing;
mod gate;
mod hosted_nofile;
mod journal;
mod keeper;
mod launch;
mod limit;
mod link;
mod listen;
mod log;
mod memory;
mod oom;
mod processes;
mod ring;
mod server;
mod socket_file;
mod socket_owner;
mod sockets;
#[expect(unsafe_code, reason = "all that papad has of it is there")]
mod sys;
mod systemd;
mod unix_endpoint;
mod values;
mod version;

use std::process::ExitCode;

use cli::Request;

fn main() -> ExitCode {
    #[cfg(feature = "faults")]
    sys::faults::attach();
    log::look_for_journal();
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(options)) => launch::run(&options),
        Ok(Request::Version) => {
            println!("{}", version::full());
            ExitCode::SUCCESS
        }
        Ok(Request::Help) => {
            print!("{}", cli::help());
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::write_plain(&format!("papad: {error}"));
            log::write_plain("Try: papad --help");
            log::flushed(ExitCode::from(2))
        }
    }
}
