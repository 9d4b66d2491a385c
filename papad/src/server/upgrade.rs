//! Upgrades, as a server sees them: somebody asks for one, and its time comes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use papa_protocol::exact::{Code, Failure, Line, write_error, write_ok};
use papa_protocol::text::shown;

use super::client::Client;
use super::session::{Activity, Dialect, Ended};
use super::{Server, handover, papa};
use crate::link::{ANOTHER_UPGRADE, Held, ToKeeper};
use crate::processes::Waker;
use crate::{keeper, launch, limit, log, sys, version};

/// How long sessions may take to come to an end of what they are doing.
pub(super) const PARTING_TIME: Duration = Duration::from_secs(5);

/// How often to look meanwhile whether systemd has started another papad.
const GLANCE: Duration = Duration::from_millis(100);

/// An upgrade that was asked for, until it is known what became of it.
pub(super) struct Awaited {
    waker: Waker,
    outcome: Mutex<Option<Result<(), String>>>,
}

impl Awaited {
    fn new() -> io::Result<Arc<Awaited>> {
        Ok(Arc::new(Awaited { waker: Waker::new()?, outcome: Mutex::default() }))
    }

    /// One that is over, and what it failed by.
    pub(super) fn over(failure: Option<String>) -> io::Result<Arc<Awaited>> {
        let awaited = Awaited::new()?;
        awaited.end(failure.map_or(Ok(()), Err));
        Ok(awaited)
    }

    fn end(&self, outcome: Result<(), String>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        self.waker.wake();
    }
}

/// Waits until it is known what became of an upgrade, and says so.
pub(super) fn wait(
    awaited: &Awaited,
    dialect: Dialect,
    client: &mut Client,
) -> Result<Activity, Ended> {
    client.send()?;
    let outcome = loop {
        awaited.waker.rearm();
        let outcome = awaited.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match outcome {
            Some(outcome) => break outcome,
            // Whether the client leaves meanwhile is found out when it is answered.
            None => client.wait_for_waker(&awaited.waker)?,
        }
    };
    let version = version::RELEASE;
    let out = &mut client.out.bytes;
    match dialect {
        Dialect::Papa => {
            let said = match outcome {
                Ok(()) => format!("Upgraded to papad {version}"),
                Err(why) => format!("Error: Not upgraded - {why}"),
            };
            papa::say(out, said.as_bytes());
            Ok(Activity::Commanding { is_first: false })
        }
        Dialect::Exact => {
            match outcome {
                Ok(()) => write_ok(out, &[Line::new().pair("version", version).into_bytes()]),
                Err(why) => write_error(out, &Failure::new(Code::Conflict, why)),
            }
            Ok(Activity::Requesting { was_watching: false })
        }
    }
}

/// Upgrades that were asked for here, by the numbers that the keeper knows them by.
#[derive(Default)]
pub(super) struct Upgrades(Mutex<BTreeMap<u64, Arc<Awaited>>>);

impl Upgrades {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Awaited>>> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Asks the keeper for an upgrade to this program, or else to what is at the path that papad
    /// was started from.
    pub(super) fn ask_for_upgrade(&self, path: Option<&[u8]>) -> Result<Arc<Awaited>, Failure> {
        let failed = |error: io::Error| Failure::new(limit::code_of(&error), error.to_string());
        let program = path.map(open_program).transpose()?;
        let awaited = Awaited::new().map_err(failed)?;
        let mut upgrades = self.upgrades.lock();
        // The keeper would say the same, but perhaps to a session that has left for the next server.
        if !upgrades.is_empty() {
            return Err(Failure::new(Code::Conflict, ANOTHER_UPGRADE));
        }
        let number = upgrades.last_key_value().map_or(1, |(last, _)| last + 1);
        self.link.tell_keeper(&ToKeeper::Upgrade(number, program)).map_err(failed)?;
        upgrades.insert(number, Arc::clone(&awaited));
        Ok(awaited)
    }

    /// An upgrade that was asked for here cannot be.
    pub(super) fn upgrade_failed(&self, number: u64, why: String) {
        if let Some(awaited) = self.upgrades.lock().remove(&number) {
            awaited.end(Err(why));
        }
    }

    /// Stops everything and hands it to the next server, which says by the baton that it has it.
    /// Returns only if it did not come to that, and then everything goes on here.
    pub(super) fn part(&self) {
        self.gate.close();
        let _reserve = keeper::Reserve::take();
        if !self.wait_for_all(Instant::now() + PARTING_TIME) {
            self.end_if_replaced();
            self.gate.open();
            let why = "a session is busy with a request that takes long".to_owned();
            log::warn!("server", "not upgraded: {why}");
            let _ = self.link.tell_keeper(&ToKeeper::Stays(why));
            return;
        }
        match self.hand_over(&ToKeeper::Parted) {
            Ok(baton) => match wait_for(baton) {
                Ok(true) => log::exit(0),
                Ok(false) => {
                    log::warn!("server", "the next server is gone; this one goes on");
                    // It is all still here.
                    let _ = self.link.tell_keeper(&ToKeeper::DropPassed);
                }
                Err(error) => log::error!("server", "the baton is lost: {error}"),
            },
            Err(error) => {
                log::error!("server", "not upgraded: {error}");
                let _ = self.link.tell_keeper(&ToKeeper::Stays(error.to_string()));
            }
        }
        self.end_if_replaced();
        self.gate.open();
    }

    /// Ends this server if the keeper is gone and systemd starts another papad: there are not to be
    /// two.
    fn end_if_replaced(&self) {
        if self.life.start.has_store && self.link.is_broken() {
            super::end("the keeper is gone");
        }
    }

    /// Waits until all threads have stopped; false if that takes too long.
    pub(super) fn wait_for_all(&self, until: Instant) -> bool {
        // Beside sessions, those who accept and who capture stop.
        let count = || self.sessions.count() + 2;
        loop {
            let glance = until.min(Instant::now() + GLANCE);
            if self.gate.wait_for_all(count, glance) {
                return true;
            }
            self.end_if_replaced();
            if Instant::now() >= until {
                return false;
            }
        }
    }

    /// Has the keeper hold all there is to know of sessions that have stopped, and says so; returns
    /// the pipe that tells whether somebody takes over.
    pub(super) fn hand_over(&self, and_say: &ToKeeper) -> io::Result<File> {
        sys::kill_point("stopped");
        let file = sys::memfd(c"papad-handover")?;
        let mut writer = io::BufWriter::new(&file);
        writer.write_all(&handover::tell_papad(self).into_bytes())?;
        for record in self.gate.collect().into_iter().flatten() {
            writer.write_all(&record.into_bytes())?;
        }
        writer.flush()?;
        drop(writer);
        let (baton, theirs) = pipe2(OFlag::O_CLOEXEC)?;
        self.link.hold(&[(Held::Handover, file.as_fd()), (Held::Baton, theirs.as_fd())])?;
        self.link.tell_keeper(and_say)?;
        sys::kill_point("handed-over");
        Ok(baton.into())
    }
}

/// Waits until the next server has taken everything over, or will never.
pub(super) fn wait_for(mut baton: File) -> io::Result<bool> {
    let mut word = [0];
    loop {
        match baton.read(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return Ok(result? > 0),
        }
    }
}

/// Takes everything over from the server that has parted.
pub(super) fn take_baton(baton: OwnedFd) {
    // One that was killed meanwhile does not mind.
    let _ = File::from(baton).write_all(b".");
}

/// A program that may be run.
fn open_program(path: &[u8]) -> Result<OwnedFd, Failure> {
    let path_as_told = shown(path);
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    if !path.is_absolute() {
        let what = format!("{path_as_told} is no absolute path");
        return Err(Failure::new(Code::Usage, what));
    }
    let failed = |error: io::Error| {
        let code = match error.kind() {
            io::ErrorKind::NotFound => Code::NotFound,
            io::ErrorKind::PermissionDenied => Code::Denied,
            _ => limit::code_of(&error),
        };
        Failure::new(code, format!("{path_as_told} cannot be run - {error}"))
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        let what = format!("{path_as_told} is no program");
        return Err(Failure::new(Code::Denied, what));
    }
    let file = File::open(path).map_err(failed)?;
    launch::refuse_script(&file).map_err(|error| {
        Failure::new(Code::Denied, format!("{path_as_told} cannot be run - {error}"))
    })?;
    Ok(sys::keep(file.into()))
}
