//! papa-client against a real papad: every call, and what it promises when papad's server, a
//! client or a process is killed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod again;
mod awaited;
mod coming_back;
mod flood;
mod hosting;
mod locks;
mod made_anew;
mod processes;
mod reconnecting;
mod round_trips;
mod sessions;
mod sockets;
mod stand_in;
mod starting;
mod stopping;
mod time;
mod upgrading;
mod values;
mod watching;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papa_client::{Endpoint, ErrorKind, Papa};
use papad_tests::{DEADLINE, Papad, ScratchDir, eventually, procfs};

/// A papad with a Unix socket in a directory of its own, and a session over that.
struct Hosted {
    papa: Papa,
    papad: Papad,
    scratch: ScratchDir,
}

impl Hosted {
    fn start() -> Self {
        let scratch = ScratchDir::new();
        let papad = Papad::builder().unix_path(scratch.join("papad")).start();
        let papa = Papa::connect(&patient(Endpoint::unix(papad.unix_path()))).unwrap();
        Self { papa, papad, scratch }
    }

    fn endpoint(&self) -> Endpoint {
        patient(Endpoint::unix(self.papad.unix_path()))
    }

    fn tcp_endpoint(&self) -> Endpoint {
        patient(Endpoint::tcp(self.papad.port()))
    }

    /// A session over TCP.
    fn over_tcp(&self) -> Papa {
        Papa::connect(&self.tcp_endpoint()).unwrap()
    }
}

/// An endpoint whose calls may take as long as a test waits for anything.
fn patient(endpoint: Endpoint) -> Endpoint {
    endpoint.deadline(DEADLINE)
}

/// Stops papad's server, so that nobody answers until it goes on; returns its pid.
fn stop_server(papad: &Papad) -> Pid {
    let server = papad.server_pid();
    kill(Pid::from_raw(server), Signal::SIGSTOP).unwrap();
    eventually("the server stands still", || {
        procfs::stat(server).is_some_and(|server| server.state == 'T')
    });
    Pid::from_raw(server)
}

/// Lets a server go on.
fn continue_server(server: Pid) {
    kill(server, Signal::SIGCONT).unwrap();
}

/// What kind of error this is.
#[track_caller]
fn kind<T: std::fmt::Debug>(result: papa_client::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}
