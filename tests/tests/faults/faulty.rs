//! A papad that meets faults.

use std::io::Read;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use papad_tests::exact::Exact;
use papad_tests::kills::kinds_of_files;
use papad_tests::{
    BANNER, Builder, DEADLINE, Fault, Faults, InForce, Papad, ScratchDir, eventually,
};

pub(crate) struct Faulty {
    pub(crate) papad: Papad,
    pub(crate) faults: Faults,
    pub(crate) scratch: ScratchDir,
}

/// What keeper and server have open, sorted by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    keeper: Vec<String>,
    server: Vec<String>,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        Self::start_with(|builder, _| builder)
    }

    pub(crate) fn start_with(
        how: impl FnOnce(Builder<'static>, &ScratchDir) -> Builder<'static>,
    ) -> Self {
        let scratch = ScratchDir::new();
        let faults = Faults::new(&scratch);
        let builder = Papad::builder().with_faults(&faults).unix_path(scratch.join("papad"));
        let papad = how(builder, &scratch).start();
        papad.wait_for_log("keeper: ready");
        Self { papad, faults, scratch }
    }

    /// Starts another after this one was killed, in the same directory.
    pub(crate) fn start_again(
        &mut self,
        how: impl FnOnce(Builder<'static>, &ScratchDir) -> Builder<'static>,
    ) {
        let builder = Papad::builder().with_faults(&self.faults);
        self.papad = how(builder.unix_path(self.scratch.join("papad")), &self.scratch).start();
        self.papad.wait_for_log("keeper: ready");
    }

    pub(crate) fn put(&self, fault: Fault) -> InForce<'_> {
        self.faults.put(fault)
    }

    pub(crate) fn exact(&self) -> Exact {
        Exact::tcp(&self.papad)
    }

    /// Whether who connects now has a session, and is not turned away or lost with a server.
    pub(crate) fn serves(&self) -> bool {
        let mut stream = TcpStream::connect(("127.0.0.1", self.papad.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut greeting = vec![0; BANNER.len()];
        stream.read_exact(&mut greeting).is_ok() && greeting == BANNER.as_bytes()
    }

    /// What keeper and server have open.
    pub(crate) fn open(&self) -> Open {
        let server = self.papad.server_pid();
        Open { keeper: kinds_of_files(self.papad.keeper_pid()), server: kinds_of_files(server) }
    }

    /// As [`Self::open`], when there is a value `kept`, and no session.
    pub(crate) fn open_without_sessions(&self) -> Open {
        let mut exact = self.exact();
        exact.ask("set kept 1");
        let with_one = self.open();
        drop(exact);
        let mut open = with_one.clone();
        eventually("the session is over", || {
            open = self.open();
            open.server.len() < with_one.server.len()
        });
        open
    }

    /// Whether keeper and server come to have open what they had.
    pub(crate) fn is_open(&self, before: &Open) -> bool {
        let until = Instant::now() + DEADLINE;
        while self.open() != *before {
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}
