//! Sockets that are made, connected to and removed.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Patient, Random};
use crate::{ScratchDir, eventually, field, procfs};

/// Makes the socket `name`, uses it for a while, and removes it.
pub fn round(patient: &mut Patient, random: &mut Random, scratch: &ScratchDir, name: &str) {
    let path = random.one_in(3).then(|| scratch.join(name));
    let options = match &path {
        Some(path) => format!("path={path} backlog=64"),
        None => "backlog=64".to_owned(),
    };
    let make = format!("make socket {name} {options}");
    let line = patient.ask(&make).text;
    assert!(line.starts_with(&format!("{name} ")), "{make}: {line}");
    for _ in 0..random.below(8) {
        match random.below(3) {
            0 => assert_eq!(patient.ask(&make).text, line, "made again"),
            1 => assert_eq!(patient.ask(&format!("list sockets {name}")).text, line),
            _ => match &path {
                Some(path) => drop(UnixStream::connect(path).unwrap()),
                None => drop(TcpStream::connect(("127.0.0.1", port(&line))).unwrap()),
            },
        }
    }
    let listeners = if path.is_none() { procfs::tcp_listeners(port(&line)) } else { Vec::new() };
    let removed = patient.ask(&format!("remove sockets {name}"));
    if !(removed.repeated && removed.text == format!("Error: {name} not found")) {
        assert_eq!(removed.text, "");
    }
    assert_eq!(patient.ask(&format!("list sockets {name}")).text, "");
    match path {
        Some(path) => assert!(!Path::new(&path).exists(), "{path} is left"),
        None => eventually("nobody listens on a removed socket", || {
            let left = procfs::tcp_listeners(port(&line));
            !listeners.iter().any(|inode| left.contains(inode))
        }),
    }
}

fn port(line: &str) -> u16 {
    field(line, "port").parse().unwrap()
}
