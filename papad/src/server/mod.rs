//! Everything but holding: tables, sessions, spawning and capture. It may be killed at any
//! instant; starting it is recovering it.

mod accept;
mod admission;
mod backlog;
mod client;
mod command;
mod exact;
#[cfg(feature = "fuzzing")]
#[path = "../../../fuzz/papad/server.rs"]
pub(crate) mod fuzzing;
mod guard;
mod handover;
mod lifeline;
mod lines;
mod mark;
mod papa;
mod peer;
mod places;
mod refusals;
mod rehearsal;
mod replay;
mod revival;
mod session;
mod sessions;
mod telnet;
mod upgrade;
mod watch;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use nix::sys::stat::{Mode, umask};
use nix::unistd::Pid;

use accept::Doors;
use backlog::Backlog;
use lifeline::Lifeline;
use mark::{Mark, Place};
use papa_protocol::frame::Time;
use refusals::Refusals;
use replay::Replayed;
use session::Session;
use sessions::Sessions;
use upgrade::Upgrades;

use crate::bounds::Bounds;
use crate::cli::Options;
use crate::gate::Gate;
use crate::journal::{Fields, Journal, Record};
use crate::link::{Held, Link, Start, ToKeeper, ToServer};
use crate::processes::{Defaults, Processes, now};
use crate::sockets::Sockets;
use crate::values::{Disk, Values};
use crate::{keeper, launch, limit, log, memory, sys};

/// What all sessions share.
struct Server {
    options: Options,
    bounds: Arc<Bounds>,
    /// papad's own sockets, to be handed to another keeper.
    control: Vec<(Held, OwnedFd)>,
    journal: Arc<Journal>,
    link: Arc<Link>,
    sockets: Sockets,
    processes: Processes,
    values: Values,
    sessions: Sessions,
    backlog: Arc<Backlog>,
    refusals: Refusals,
    upgrades: Upgrades,
    gate: Arc<Gate>,
    life: PapadsLife,
    /// papad is to end when its last session has, if there is nothing to hold then.
    exit_if_idle: AtomicBool,
    /// Only one thread looks whether the journal is to be compacted.
    compacting: Mutex<()>,
}

/// What has become of papad so far.
struct PapadsLife {
    born: Birth,
    start: Start,
    /// What is left out, since servers died of it.
    aside: Vec<Vec<u8>>,
    /// Records of the journal that could not be read.
    skipped: u64,
}

/// When papad started from nothing, and the id that it has had since.
struct Birth {
    id: String,
    time: Time,
}

impl Birth {
    fn now() -> io::Result<Birth> {
        let mut random = [0; 8];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        Ok(Birth { id: format!("{:016x}", u64::from_ne_bytes(random)), time: now() })
    }

    fn record(&self) -> Record {
        Record::new("born").word(&self.id).number(self.time.0)
    }

    fn read(mut fields: Fields) -> Option<Birth> {
        let id = String::from_utf8(fields.word()?).ok()?;
        Some(Birth { id, time: Time(fields.number()?) })
    }
}

/// Runs a server on the link that is its standard input.
pub(crate) fn run(options: &Options) -> ExitCode {
    let failed = |error| launch::fail(&format!("the server failed: {error}"));
    let (link, lifeline) = match prepare() {
        Ok((link, lifeline)) => (Arc::new(link), lifeline),
        Err(error) => return failed(error),
    };
    match start(options, &link, lifeline) {
        Ok(never) => match never {},
        // The link is open until the end: the keeper kills a server that has none.
        Err(error) => end(&format!("the server failed: {error}")),
    }
}

fn start(options: &Options, link: &Arc<Link>, lifeline: Lifeline) -> io::Result<Never> {
    link.tell_keeper(&ToKeeper::Here)?;
    let (mut start, mut held) = receive(link)?;
    if let Some(baton) = held.remove(&Held::Baton) {
        sys::kill_point("called");
        upgrade::take_baton(baton);
        sys::kill_point("baton-taken");
        link.tell_keeper(&ToKeeper::Took)?;
        sys::kill_point("took");
        // Keepers of earlier versions tell how the one before that has ended.
        start.last_end = Some(0);
    }
    // For as long as this server lives.
    let _lifeline = lifeline.take_over(link, &mut held)?;
    let passed = Passed::take(&mut held);
    // The server before had all of its sessions, and none of the pidfds that may be needed now.
    let reserve = keeper::Reserve::take();
    let (server, control) = Server::recover(options, Arc::clone(link), start, held)?;
    let server = Arc::new(server);
    let sessions = server.take_up(passed);
    drop(reserve);
    sys::kill_point("taken-up");
    server.serve(control, sessions)
}

/// A server does not return: it exits, or is killed.
enum Never {}

fn prepare() -> io::Result<(Link, Lifeline)> {
    let link = Link::new(launch::take_stdin()?);
    let lifeline = Lifeline::new()?;
    // These are for the keeper; a terminal sends them to the whole process group.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE] {
        sys::ignore(signal)?;
    }
    log::open();
    keeper::leave_room_for_keeper()?;
    Ok((link, lifeline))
}

/// Waits until everything that is held has come.
fn receive(link: &Link) -> io::Result<(Start, HashMap<Held, OwnedFd>)> {
    let mut held = HashMap::new();
    loop {
        match link.hear_keeper()? {
            Some(ToServer::Held(fds)) => {
                held.extend(fds.into_iter().map(|(name, fd)| (name, sys::keep(fd))));
            }
            Some(ToServer::Rehearse { skipped }) => {
                let able = rehearsal::rehearse(std::mem::take(&mut held), skipped);
                let answer = able.map_or_else(ToKeeper::Unable, |()| ToKeeper::Able);
                sys::kill_point("rehearsed");
                link.tell_keeper(&answer)?;
                sys::kill_point("able");
            }
            Some(ToServer::Start(start)) => {
                if start.has_store {
                    link.wait_for_store();
                }
                return Ok((start, held));
            }
            Some(
                ToServer::Exited(..)
                | ToServer::HoldAgain
                | ToServer::Part
                | ToServer::UpgradeFailed(..)
                | ToServer::Ping
                | ToServer::Leave,
            ) => {}
            None => return Err(io::Error::other("the keeper is gone")),
        }
    }
}

impl Server {
    /// Takes up where the last server was, from the journal and the held descriptors.
    fn recover(
        options: &Options,
        link: Arc<Link>,
        start: Start,
        mut held: HashMap<Held, OwnedFd>,
    ) -> io::Result<(Server, Vec<(Held, OwnedFd)>)> {
        let gate = Arc::new(Gate::new()?);
        let mark = Mark::begin(&start, &mut held, &link);
        let mut disk = open_disk(options, &mut held)?;
        let left = take_journal(&mut held);
        let is_new = left.is_none();
        let (journal, replayed) = match left {
            Some(left) => replay::go_on(left, disk.as_mut(), &mark, &link)?,
            None => replay::begin(disk.as_mut(), &mark)?,
        };
        let Replayed { born, values, sockets, processes, aside, skipped } = replayed;
        let born = if let Some(born) = born {
            born
        } else {
            let born = Birth::now()?;
            journal.change().append(born.record())?;
            born
        };
        if is_new {
            journal.hold(|number, file| link.hold(&[(Held::Journal(number), file)]))?;
        }
        let journal = Arc::new(journal);

        let before = umask(Mode::empty());
        umask(before);
        let defaults = Defaults {
            descriptor_limit: options.hosted_nofile.limits(start.descriptor_limit),
            oom_score: start.oom_score,
            file_size_limit: start.file_size_limit,
            umask: before.bits(),
            ignored_signals: sys::ignored_signals(),
        };
        let control = take_control(&mut held);
        let bounds = Arc::new(Bounds::new(options.allowed.clone()));
        let server = Server {
            options: options.clone(),
            control: revival::duplicates(&control)?,
            sockets: Sockets::new(Arc::clone(&journal), Arc::clone(&link), Arc::clone(&bounds)),
            processes: Processes::new(
                Arc::clone(&journal),
                Arc::clone(&link),
                Arc::clone(&gate),
                Arc::clone(&bounds),
                defaults,
            )?,
            values: Values::new(Arc::clone(&journal), Arc::clone(&bounds), values, disk),
            sessions: Sessions::new(Arc::clone(&bounds)),
            backlog: Arc::new(Backlog::new(Arc::clone(&bounds))),
            refusals: Refusals::new()?,
            bounds,
            upgrades: Upgrades::default(),
            gate,
            life: PapadsLife { born, start, aside, skipped },
            exit_if_idle: AtomicBool::new(false),
            compacting: Mutex::new(()),
            journal,
            link,
        };
        server.sockets.recover(sockets, &mut held);
        let processes = server.processes.recover(processes, &mut held, |process| {
            let ring = Some(Place::Ring(process));
            mark.at(ring);
            mark.deadly != ring
        });
        mark.end(&server.link);
        server.processes.resume(processes, &mut held, server.life.start.keepers);
        if !held.is_empty() {
            log::debug!("server", "{} held descriptors are in no record", held.len());
            // What they were bound to is to be free when the first session asks for it.
            server.link.drop_now(held.into_keys().collect());
        }
        let starts = server.life.start.starts;
        if starts > 1 {
            log::info!("server", "recovered, as server {starts}");
        }
        Ok((server, control))
    }

    /// Goes on with what another server has handed over, and drops the values of sessions that
    /// nobody goes on with.
    fn take_up(self: &Arc<Server>, passed: Passed) -> Vec<Session> {
        let Passed { file, mut held } = passed;
        let sessions = match file {
            Some(file) => handover::take_up(self, &file, &mut held).unwrap_or_else(|error| {
                log::error!("server", "the handover cannot be read: {error}");
                Vec::new()
            }),
            None => Vec::new(),
        };
        if let Err(error) = self.values.keep_sessions(|id| self.sessions.get(id).is_some()) {
            log::error!("server", "values of sessions that are over stay: {error}");
        }
        sessions
    }

    /// Serves until papad ends.
    fn serve(
        self: &Arc<Server>,
        control: Vec<(Held, OwnedFd)>,
        sessions: Vec<Session>,
    ) -> io::Result<Never> {
        // From here on nobody else goes on with these.
        self.link.tell_keeper(&ToKeeper::DropPassed)?;
        let capturing = Arc::clone(self);
        named("capture").spawn(move || {
            if let Err(error) = capturing.processes.run_capture() {
                end(&format!("output cannot be captured: {error}"));
            }
        })?;
        let accepting = Arc::clone(self);
        let doors = Doors::new(self, control)?;
        // Nobody is let in who could ask the keeper for something before it knows of this server.
        let (opening, opened) = mpsc::channel::<Never>();
        named("accept").spawn(move || {
            let _ = opened.recv();
            if let Err(error) = accept::run(&accepting, doors) {
                end(&format!("connections cannot be accepted: {error}"));
            }
        })?;
        let skipped = self.life.skipped;
        launch::settle_log(&self.options)?;
        self.link.tell_keeper(&ToKeeper::Ready { skipped, answers: true })?;
        drop(opening);
        sys::kill_point("ready");
        for session in sessions {
            // One for which there is no thread is over. Its client may come back.
            let _ = session.start();
        }
        loop {
            memory::give_back_if_due();
            match self.link.hear_keeper()? {
                Some(ToServer::Exited(pid, code)) => {
                    self.record_exit(pid, code);
                    self.compact();
                }
                Some(ToServer::Leave) => {
                    // The next papad has the sockets again if they are in a store.
                    if !self.life.start.has_store {
                        self.sockets.unlink_all();
                    }
                    log::exit(0);
                }
                Some(ToServer::Ping) => self.link.tell_keeper(&ToKeeper::Pong)?,
                Some(ToServer::HoldAgain) => self.hold_again(),
                Some(ToServer::Part) => self.part(),
                Some(ToServer::UpgradeFailed(number, why)) => self.upgrade_failed(number, why),
                Some(ToServer::Held(_) | ToServer::Rehearse { .. } | ToServer::Start(_)) => {}
                // systemd starts another papad, from its store: there are not to be two.
                None if self.life.start.has_store => {
                    return Err(io::Error::other("the keeper is gone"));
                }
                None => self.revive_keeper(),
            }
        }
    }

    /// Records the end of a child.
    fn record_exit(&self, pid: Pid, code: i32) {
        let what = || format!("the end of process {pid} is not recorded yet");
        // What is torn takes room.
        limit::insist(|| self.processes.exited(pid, code).inspect_err(|_| self.compact()), what);
    }

    /// Shortens the journal if it has grown long.
    fn compact(&self) {
        if !self.journal.is_long() {
            return;
        }
        let Ok(_alone) = self.compacting.try_lock() else {
            return;
        };
        let compacted = self.journal.compact(
            |write| {
                write(self.life.born.record())?;
                self.life.aside.iter().try_for_each(|what| write(replay::aside_record(what)))?;
                self.values.write_records(write)?;
                self.sockets.write_records(write)?;
                self.processes.write_records(write)
            },
            |number, file| self.link.hold(&[(Held::Journal(number), file)]),
        );
        match compacted {
            Ok(Some(former)) => self.link.drop_held(vec![Held::Journal(former)]),
            Ok(None) => {}
            Err(error) => log::error!("server", "the journal cannot be compacted: {error}"),
        }
    }

    /// Whether papad holds nothing.
    fn is_idle(&self) -> bool {
        self.processes.is_empty() && self.sockets.is_empty() && self.values.is_empty()
    }
}

/// What was handed over by a server that has parted.
#[derive(Default)]
struct Passed {
    file: Option<File>,
    held: HashMap<Held, OwnedFd>,
}

impl Passed {
    fn take(held: &mut HashMap<Held, OwnedFd>) -> Passed {
        let file = held.remove(&Held::Handover).map(File::from);
        let held = held.extract_if(|name, _| matches!(name, Held::Passed(_))).collect();
        Passed { file, held }
    }
}

/// Where values are on disk, if they are to be.
fn open_disk(options: &Options, held: &mut HashMap<Held, OwnedFd>) -> io::Result<Option<Disk>> {
    let Some(folder) = &options.state_dir else { return Ok(None) };
    let lock = held.remove(&Held::StateLock);
    let lock = lock.ok_or_else(|| io::Error::other("the lock of the state directory is lost"))?;
    Ok(Some(Disk::new(folder, lock)))
}

fn take_control(held: &mut HashMap<Held, OwnedFd>) -> Vec<(Held, OwnedFd)> {
    held.extract_if(|name, _| matches!(name, Held::Control(_))).collect()
}

/// The journal in force. Another one that is still held was replaced by it.
fn take_journal(held: &mut HashMap<Held, OwnedFd>) -> Option<(u64, File)> {
    let number = |name: &Held| if let Held::Journal(number) = name { Some(*number) } else { None };
    let newest = held.keys().filter_map(number).max()?;
    held.remove(&Held::Journal(newest)).map(|fd| (newest, File::from(fd)))
}

/// A thread whose name ps and top show.
fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// Ends a server that cannot go on; the keeper starts another.
fn end(why: &str) -> ! {
    log::error!("server", "{why}");
    log::exit(1)
}
