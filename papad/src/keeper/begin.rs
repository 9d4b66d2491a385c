//! What the keeper begins with: what systemd has passed it, and papad's own endpoints.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use super::holdings::Holdings;
use crate::cli::Options;
use crate::link::Held;
use crate::systemd::{self, Service};
use crate::{listen, log, values};

/// Holds what an earlier papad has left in systemd's store, and sockets to be reached at: those of
/// a socket unit, or else those that the options name. What is there already is not opened again.
///
/// # Errors
/// One sentence that says which endpoint could not be opened and why.
pub(super) fn begin(options: &Options) -> Result<Holdings, String> {
    // Before anything is opened: descriptors that were not passed would be taken for what is.
    let passed = systemd::take_passed();
    log::open();
    let mut holdings = Holdings::new(Service::from_environment());
    let mut activated = Vec::new();
    let mut stored = BTreeMap::new();
    let mut carriers = Vec::new();
    for (name, fd) in passed {
        match (name.parse(), systemd::carrier_number(&name)) {
            (Ok(held), _) => {
                holdings.service().is_single(held);
                stored.insert(held, fd);
            }
            (Err(_), Some(number)) if systemd::is_carrier(&fd) => carriers.push((number, fd)),
            (Err(_), _) if listen::is_listening(&fd) => activated.push(fd),
            (Err(_), _) => {
                log::warn!("keeper", "systemd passed {name:?}, of which papad knows nothing");
                holdings.service().remove_unknown(name);
            }
        }
    }
    // Each is later than what was under its own name, and later than those before it.
    stored.extend(unpack(&mut holdings, carriers)?);
    let mut control = Vec::new();
    let mut state_lock = None;
    for (name, fd) in stored {
        match name {
            Held::Control(number) => control.push((number, fd)),
            Held::StateLock => state_lock = Some(fd),
            name => holdings.hold_as_passed(name, fd),
        }
    }
    let recovered = holdings.iter().count();
    if recovered > 0 {
        log::info!("keeper", "going on from systemd's store: {recovered} descriptors");
    }
    lock_state(options, &mut holdings, state_lock)?;
    if activated.is_empty() {
        open(options, &mut holdings, control)?;
    } else {
        // They are not stored: the socket unit has them. What was stored before there was one goes.
        let next = next_number(&control);
        for (number, _) in control {
            holdings.drop(Held::Control(number));
        }
        for (number, socket) in (next..).zip(activated) {
            holdings.hold_as_passed(Held::Control(number), socket);
        }
    }
    holdings.keep_only_held();
    // What is announced here is found again from here on.
    holdings.flush();
    for (_, socket) in holdings.control() {
        log::info!("keeper", "listening on {}", listen::name(socket));
    }
    Ok(holdings)
}

/// What the carriers have that systemd has passed, in the order in which it was sent.
///
/// # Errors
/// Not all of it can be had. It stays in the store: papad does not start, rather than lose it.
fn unpack(
    holdings: &mut Holdings,
    carriers: Vec<(u64, OwnedFd)>,
) -> Result<Vec<(Held, OwnedFd)>, String> {
    let mut unpacked = Vec::new();
    for (number, receiver) in carriers {
        let carried = holdings.service().adopt(number, receiver);
        unpacked.extend(carried.map_err(|error| {
            format!(
                "what systemd's store has cannot be taken: {error}; see LimitNOFILE= of the unit"
            )
        })?);
    }
    unpacked.sort_by_key(|carried| carried.sequence);
    Ok(unpacked.into_iter().map(|carried| (carried.name, carried.fd)).collect())
}

/// Holds the lock of the directory where values are to be on disk, if there is one: that which an
/// earlier papad has left, or else a new one.
fn lock_state(
    options: &Options,
    holdings: &mut Holdings,
    stored: Option<OwnedFd>,
) -> Result<(), String> {
    let folder = options.state_dir.as_deref();
    match stored {
        Some(lock) if folder.is_some_and(|folder| values::is_lock_of(folder, &lock)) => {
            holdings.hold_as_passed(Held::StateLock, lock);
            return Ok(());
        }
        Some(_) => holdings.drop(Held::StateLock),
        None => {}
    }
    if let Some(folder) = folder {
        holdings.hold(Held::StateLock, values::lock(folder)?);
    }
    Ok(())
}

/// A number that no name in the store has.
fn next_number(stored: &[(u64, OwnedFd)]) -> u64 {
    stored.iter().map(|(number, _)| number + 1).max().unwrap_or(0)
}

/// Opens the endpoints that the options name, but for those that an earlier papad had opened. What
/// it had beyond that is closed.
fn open(
    options: &Options,
    holdings: &mut Holdings,
    stored: Vec<(u64, OwnedFd)>,
) -> Result<(), String> {
    let next = next_number(&stored);
    let (wanted, unwanted): (Vec<_>, Vec<_>) =
        stored.into_iter().partition(|(_, socket)| listen::is_wanted(options, socket));
    for (number, socket) in unwanted {
        // Closed first: what is opened now may have its address.
        drop(socket);
        holdings.drop(Held::Control(number));
    }
    for (number, socket) in wanted {
        holdings.hold_as_passed(Held::Control(number), socket);
    }
    let existing: Vec<&OwnedFd> = holdings.control().map(|(_, socket)| socket).collect();
    let opened = listen::open(options, &existing)?;
    for (number, socket) in (next..).zip(opened) {
        holdings.hold(Held::Control(number), socket);
    }
    Ok(())
}
