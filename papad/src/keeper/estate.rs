//! What one keeper leaves to the next: all that it holds, and who the server is.
//!
//! It is a memory file of records like the journal's, which is the next keeper's standard input;
//! what they name by its number is inherited. So the keeper can become another program, and stay
//! the same process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::str::FromStr;

use nix::unistd::Pid;

use super::holdings::Holdings;
use crate::journal::{self, Record};
use crate::link::{Held, Link, Start};
use crate::sys;
use crate::systemd::Service;

/// Of the keeper: the carriers in systemd's store, and their descriptors.
const CARRIERS: &str = "carriers";

/// Of something held: systemd's store does not have it under its own name. An earlier version, which
/// knows no carriers, then stores it so.
const NOT_SINGLE: &str = "unstored";
const NOT_SINGLE_BYTES: &[u8] = NOT_SINGLE.as_bytes();

/// Of something held: it is not to be stored, since systemd has it elsewhere.
const ELSEWHERE: &str = "elsewhere";

/// What is left to the next keeper.
pub(super) struct Estate {
    pub(super) held: Holdings,
    pub(super) start: Start,
    pub(super) skipped: u64,
    /// The server that runs, if it is a child, and the keeper's end of its link.
    pub(super) server: Option<Pid>,
    pub(super) link: OwnedFd,
}

/// Writes what another keeper needs, and lets it inherit all that is named.
pub(super) fn write<'a>(
    held: impl Iterator<Item = (&'a Held, &'a OwnedFd)>,
    service: Option<&Service>,
    start: &Start,
    skipped: u64,
    server: Option<Pid>,
    link: impl AsFd,
) -> io::Result<File> {
    let file = sys::memfd(c"papad-estate")?;
    let mut writer = io::BufWriter::new(&file);
    let link = link.as_fd();
    sys::let_inherit(link)?;
    let server = server.map_or(0, Pid::as_raw);
    let mut carriers = Vec::new();
    for (number, receiver) in service.iter().flat_map(|service| service.carriers()) {
        sys::let_inherit(receiver)?;
        carriers.push(format!("{number}:{}", receiver.as_raw_fd()));
    }
    let keeper = Record::new("keeper")
        .pair("start", start.to_text())
        .pair("skipped", skipped.to_string())
        .pair("server", server.to_string())
        .pair("link", link.as_raw_fd().to_string())
        .pair(CARRIERS, carriers.join(" "));
    writer.write_all(&keeper.into_bytes())?;
    let mut is_held = BTreeSet::new();
    for (name, fd) in held {
        sys::let_inherit(fd.as_fd())?;
        let record = Record::new("held").word(name.to_string()).number(fd.as_raw_fd());
        let record = match service {
            Some(service) if service.is_elsewhere(*name) => record.word(ELSEWHERE),
            Some(service) if name.is_stored() && !service.single().contains(name) => {
                record.word(NOT_SINGLE)
            }
            Some(_) | None => record,
        };
        writer.write_all(&record.into_bytes())?;
        is_held.insert(*name);
    }
    let single = service.iter().flat_map(|service| service.single());
    for name in single.filter(|name| !is_held.contains(name)) {
        writer.write_all(&Record::new("outdated").word(name.to_string()).into_bytes())?;
    }
    writer.flush()?;
    drop(writer);
    Ok(file)
}

/// What a server leaves to a keeper that it starts: its link, by which everything else comes.
pub(crate) fn leave_link(start: &Start, skipped: u64, link: &Link) -> io::Result<File> {
    // Whoever waits for an upgrade is told by the next server, and there will be none.
    let put_back = Some("the keeper was killed meanwhile".to_owned());
    let start = Start { keepers: start.keepers + 1, put_back, ..start.clone() };
    write(std::iter::empty(), None, &start, skipped, None, link)
}

/// Reads what another keeper has left; everything that it names belongs to this one from now on.
///
/// # Errors
/// If it cannot be understood. What could be is kept from being closed no longer.
pub(super) fn read(file: &File) -> io::Result<Estate> {
    let mut held = Holdings::new(Service::from_environment());
    let mut keeper = None;
    let mut carriers = Vec::new();
    let skipped = journal::replay(file, |verb, mut fields| {
        match verb {
            b"held" => {
                let name = String::from_utf8(fields.word()?).ok()?;
                let name = Held::from_str(&name).ok()?;
                let fd = inherit(fields.number()?)?;
                match fields.word().as_deref() {
                    // It may be in a carrier, or not yet.
                    Some(NOT_SINGLE_BYTES) => held.hold(name, fd),
                    Some(_) => held.hold_as_passed(name, fd),
                    None => {
                        if name.is_stored() {
                            held.service().is_single(name);
                        }
                        held.hold_as_passed(name, fd);
                    }
                }
            }
            // The store has something under this name that is not what is held.
            b"outdated" => {
                let name = String::from_utf8(fields.word()?).ok()?;
                let name = Held::from_str(&name).ok()?;
                held.service().is_single(name);
                held.service().dropped(name);
            }
            b"keeper" => {
                let pairs = fields.pairs();
                let get = |key: &str| {
                    let found = pairs.iter().find(|(its, _)| its == key.as_bytes());
                    found.and_then(|(_, value)| std::str::from_utf8(value).ok())
                };
                let start = Start::from_text(get("start")?).ok()?;
                let skipped = get("skipped")?.parse().ok()?;
                let server = get("server")?.parse().ok().filter(|&pid| pid > 0);
                let link = inherit(get("link")?.parse().ok()?)?;
                for carrier in get(CARRIERS).unwrap_or_default().split_ascii_whitespace() {
                    let (number, receiver) = carrier.split_once(':')?;
                    let receiver = inherit(receiver.parse().ok()?)?;
                    carriers.push((number.parse().ok()?, receiver));
                }
                keeper = Some((start, skipped, server.map(Pid::from_raw), link));
            }
            _ => return None,
        }
        Some(())
    })?;
    let what = "what the keeper before has left cannot be read";
    if skipped > 0 {
        return Err(io::Error::other(what));
    }
    for (number, receiver) in carriers {
        held.service().adopt_held(number, receiver)?;
    }
    held.keep_only_held();
    let (start, skipped, server, link) = keeper.ok_or_else(|| io::Error::other(what))?;
    Ok(Estate { held, start, skipped, server, link })
}

fn inherit(number: RawFd) -> Option<OwnedFd> {
    sys::inherit(number).ok()
}
