//! What stays as it is through all kills.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use super::{Expected, Patient, Random, kinds_of_files, watch_to_end};
use crate::{Papad, ScratchDir, eventually, field, procfs, shell};

/// Processes, sockets and values that nobody touches, and what is held for them.
pub struct Residents<'a> {
    papad: &'a Papad,
    path: String,
    /// The replies that list them.
    listed: Vec<String>,
    pids: BTreeSet<i32>,
    listeners: Vec<u64>,
    keeper_files: Vec<String>,
}

const LISTS: [&str; 3] =
    ["list processes resident.*", "list sockets resident.*", "list values resident.*"];

impl<'a> Residents<'a> {
    /// Makes them, in a papad that holds nothing else.
    #[must_use]
    pub fn new(papad: &'a Papad, scratch: &ScratchDir) -> Self {
        let path = scratch.join("resident");
        // The keeper has all that it begins with.
        papad.wait_for_log("keeper: ready");
        let pipes_before = count_pipes(&kinds_of_files(papad.keeper_pid()));
        let mut session = papad.session();
        let port = session.ask("make socket resident.inet");
        let port: u16 = field(&port, "port").parse().unwrap();
        for line in [
            "make process resident.1 /bin/sleep 1000".to_owned(),
            "make process resident.2 stderr=stdout /bin/sleep 2000".to_owned(),
            format!("make process resident.ended {}", shell("echo unread; exit 3")),
            format!("make socket resident.unix path={path}"),
            "set resident.1 a value".to_owned(),
            "set resident.2 another".to_owned(),
            // When this one's removal is answered, the keeper has dealt with all before.
            "make socket heard".to_owned(),
            "remove sockets heard".to_owned(),
        ] {
            let reply = session.ask(line);
            assert!(!reply.starts_with("Error"), "{reply}");
        }
        eventually("the one that ends has ended", || {
            session.ask("list processes resident.ended").contains("running=False")
        });
        let listed: Vec<String> = LISTS.map(|list| session.ask(list)).into();
        let pids: BTreeSet<i32> = listed[0]
            .lines()
            .filter(|line| line.contains("running=True"))
            .map(|line| field(line, "pid").parse().unwrap())
            .collect();
        let listeners = procfs::tcp_listeners(port);
        assert_eq!((pids.len(), listeners.len()), (2, 1));
        let mut residents = Self { papad, path, listed, pids, listeners, keeper_files: Vec::new() };
        // The two pipes of the one that ended are let go of shortly after it.
        eventually("the keeper holds the pipes of those that run", || {
            count_pipes(&kinds_of_files(papad.keeper_pid())) == pipes_before + 3
        });
        residents.keeper_files = kinds_of_files(papad.keeper_pid());
        residents
    }

    /// Sees that all of them are there and are the same as ever.
    pub fn check(&self, patient: &mut Patient) {
        for (list, listed) in LISTS.iter().zip(&self.listed) {
            assert_eq!(&patient.ask(list).text, listed, "{list}");
        }
        let running = procfs::children(self.papad.keeper_pid());
        let running: BTreeSet<i32> = running.iter().map(|process| process.pid).collect();
        assert!(running.is_superset(&self.pids), "the keeper has {running:?}");
        assert_eq!(procfs::tcp_listeners(self.port()), self.listeners);
    }

    /// Sees that nothing but them is left, listed or not, once everything else was removed, and
    /// that they can be used.
    pub fn check_alone(&self, patient: &mut Patient, random: &mut Random) {
        self.check(patient);
        for (list, listed) in
            ["list processes", "list sockets", "list values"].iter().zip(&self.listed)
        {
            assert_eq!(&patient.ask(list).text, listed, "{list}");
        }
        eventually("the keeper's children are the server and the residents", || {
            let children = procfs::children(self.papad.keeper_pid());
            children.len() == self.pids.len() + 1
        });
        eventually("the keeper holds what the residents need and no more", || {
            kinds_of_files(self.papad.keeper_pid()) == self.keeper_files
        });
        TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        UnixStream::connect(&self.path).unwrap();
        let expected = Expected { out: b"unread\n", err: b"", code: 3 };
        watch_to_end(patient, random, "resident.ended", expected);
    }

    fn port(&self) -> u16 {
        field(&self.listed[1], "port").parse().unwrap()
    }
}

fn count_pipes(files: &[String]) -> usize {
    files.iter().filter(|file| *file == "pipe").count()
}
