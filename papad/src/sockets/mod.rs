//! Hosted sockets: bound by papad, used by processes, and kept while these come and go.

mod bind;
mod mending;
mod reference;
mod socket;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use papa_protocol::exact::{Code, Failure};
use papa_protocol::name::{Pattern, Patterns};
use papa_protocol::options::{Pairs, SocketAddress, SocketOptions};
use papa_protocol::text::shown;

use crate::bounds::{Bound, Bounds};
use crate::journal::{Change, Fields, Journal, Record, parse_number};
use crate::link::{Held, Link};
use crate::socket_file::SocketFile;
use crate::{limit, log, sys};

use socket::path_of;

pub(crate) use mending::Fault;
pub(crate) use reference::{GivenSocket, References};
pub(crate) use socket::Socket;

/// The lowest number that a socket gets in the processes that refer to it.
const FIRST_NUMBER: RawFd = 3;

/// All hosted sockets.
pub(crate) struct Sockets {
    journal: Arc<Journal>,
    link: Arc<Link>,
    bounds: Arc<Bounds>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_name: BTreeMap<Vec<u8>, Arc<Socket>>,
    last_id: u64,
}

/// What the journal says of sockets.
#[derive(Default)]
pub(crate) struct Replayed {
    sockets: BTreeMap<u64, (Vec<u8>, RawFd, SocketOptions)>,
    /// Those whose removal may not have come to its end.
    removed: Vec<(u64, SocketOptions)>,
    last_id: u64,
}

impl Replayed {
    /// Takes one record; `None` if it is none of these or cannot be read.
    pub(crate) fn apply(&mut self, verb: &[u8], mut fields: Fields) -> Option<()> {
        let id = fields.number()?;
        self.last_id = self.last_id.max(id);
        match verb {
            b"socket" => {
                let (number, name) = (fields.number()?, fields.word()?);
                let pairs: Pairs = fields.pairs().into_iter().collect();
                let options = SocketOptions::from_record(pairs).ok()?;
                self.sockets.insert(id, (name, number, options));
            }
            b"unsocket" => {
                self.removed.extend(self.sockets.remove(&id).map(|socket| (id, socket.2)));
            }
            _ => return None,
        }
        Some(())
    }
}

impl Sockets {
    pub(crate) fn new(journal: Arc<Journal>, link: Arc<Link>, bounds: Arc<Bounds>) -> Sockets {
        Sockets { journal, link, bounds, table: Mutex::default() }
    }

    /// Puts everything back as it was. What belongs to sockets is taken out of `held`.
    pub(crate) fn recover(&self, replayed: Replayed, held: &mut HashMap<Held, OwnedFd>) {
        let mut table = self.lock();
        table.last_id = replayed.last_id;
        for (id, options) in &replayed.removed {
            // One that is still held was bound until now; another may have its path by then.
            if let (Some(fd), Some(path)) = (held.get(&Held::Socket(*id)), path_of(options))
                && let Some(file) = SocketFile::of(fd, path)
            {
                file.unlink(path);
            }
        }
        for (id, (name, number, options)) in replayed.sockets {
            match held.remove(&Held::Socket(id)) {
                Some(fd) => {
                    let socket = Socket::new(id, name.clone(), options, number, fd);
                    table.by_name.insert(name, Arc::new(socket));
                }
                None => log::error!("server", "socket {} is lost", shown(&name)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic ends the whole server, so no thread ever sees a poisoned lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a socket, or finds the one of this name if it was made with the same parameters. One
    /// that nobody can reach any more is mended.
    ///
    /// # Errors
    /// The name is taken, the address is not to be had, or a bound is met.
    pub(crate) fn make(&self, name: &[u8], options: SocketOptions) -> Result<Arc<Socket>, Failure> {
        let existing = self.lock().find_same(name, &options)?;
        if let Some(existing) = existing {
            return self.mend(existing, &self.journal.change());
        }
        let address = bind::look_up(&options)?;
        let change = self.journal.change();
        let mut table = self.lock();
        // It may have been made while the address was looked up.
        if let Some(existing) = table.find_same(name, &options)? {
            drop(table);
            return self.mend(existing, &change);
        }
        table.check_path(&options)?;
        self.check(&table, name)?;
        let fd = bind::make(&options, address)?;
        let socket = self.insert(&mut table, &change, name, with_port(options, &fd), fd);
        socket.map_err(|(error, socket)| {
            socket.unlink();
            cannot_keep(&error)
        })
    }

    /// Takes a socket that is bound already.
    ///
    /// # Errors
    /// It is no socket that could be hosted, the name is another's, or a bound is met.
    pub(crate) fn adopt(&self, name: &[u8], fd: OwnedFd) -> Result<Arc<Socket>, Failure> {
        let options = bind::options_of(&fd)?;
        let change = self.journal.change();
        let mut table = self.lock();
        if let Some(existing) = table.by_name.get(name) {
            if bind::is_same_socket(&existing.fd, &fd) {
                return Ok(Arc::clone(existing));
            }
            return Err(Table::taken(name, existing));
        }
        table.check_path(&options)?;
        self.check(&table, name)?;
        let socket = self.insert(&mut table, &change, name, options, fd);
        socket.map_err(|(error, _)| cannot_keep(&error))
    }

    /// Whether there may be one more, of this name.
    fn check(&self, table: &Table, name: &[u8]) -> Result<(), Failure> {
        self.bounds.check(Bound::Name, name.len())?;
        self.bounds.check(Bound::Sockets, table.by_name.len() + 1)
    }

    fn insert(
        &self,
        table: &mut Table,
        change: &Change,
        name: &[u8],
        options: SocketOptions,
        fd: OwnedFd,
    ) -> Result<Arc<Socket>, (io::Error, Box<Socket>)> {
        table.last_id += 1;
        let (id, number, fd) = (table.last_id, table.free_number(), sys::keep(fd));
        let socket = Socket::new(id, name.to_vec(), options, number, fd);
        let kept = self.link.hold(&[(Held::Socket(id), socket.fd.as_fd())]).and_then(|()| {
            sys::kill_point("socket-held");
            change.append(socket.record())
        });
        if let Err(error) = kept {
            // It may be held and not recorded: its address is to be free.
            self.link.drop_held(vec![Held::Socket(id)]);
            return Err((error, Box::new(socket)));
        }
        let socket = Arc::new(socket);
        table.by_name.insert(name.to_vec(), Arc::clone(&socket));
        Ok(socket)
    }

    /// A duplicate of a socket, or one of its own on a shared port; `None` if there is none.
    pub(crate) fn fetch(&self, name: &[u8]) -> Option<Result<OwnedFd, Failure>> {
        let change = self.journal.change();
        let socket = match self.mend_to_give(self.get(name)?, &change) {
            Ok(socket) => socket,
            Err(failure) => return Some(Err(failure)),
        };
        let fd = if socket.is_shared_port() {
            bind::bind_clone(&socket.options, &socket.fd)
        } else {
            socket.fd.try_clone()
        };
        let cannot = |error: io::Error| Failure::new(limit::code_of(&error), error.to_string());
        Some(fd.map_err(cannot))
    }

    /// The sockets that the patterns name, by name; `by_number`, digits name a socket by its number
    /// if none has them for a name. With them, the first name without a wildcard that is not there.
    pub(crate) fn find(
        &self,
        patterns: &Patterns,
        by_number: bool,
    ) -> (Vec<Arc<Socket>>, Option<Vec<u8>>) {
        let table = self.lock();
        let listed = |number| move |socket: &&Arc<Socket>| socket.listed_number() == Some(number);
        let mut found = BTreeMap::new();
        let mut missing = None;
        for pattern in patterns.iter() {
            let is_named = |socket: &&Arc<Socket>| pattern.matches(&socket.name);
            let mut matched = table.by_name.values().filter(is_named).peekable();
            match (pattern, matched.peek()) {
                (Pattern::Exact(name), None) => {
                    let number = parse_number(name).filter(|_| by_number).unwrap_or(-1);
                    match table.by_name.values().find(listed(number)) {
                        Some(socket) => drop(found.insert(socket.name.clone(), Arc::clone(socket))),
                        None => missing = missing.or(Some(name.to_vec())),
                    }
                }
                _ => found.extend(matched.map(|socket| (socket.name.clone(), Arc::clone(socket)))),
            }
        }
        (found.into_values().collect(), missing)
    }

    /// Closes papad's copy and removes a Unix socket's file. Processes keep theirs.
    pub(crate) fn remove(&self, socket: Arc<Socket>) -> io::Result<()> {
        let change = self.journal.change();
        let mut table = self.lock();
        // It may have been made anew since it was found.
        let listed = table.by_name.get(&socket.name).filter(|listed| listed.id == socket.id);
        let Some(listed) = listed.map(Arc::clone) else { return Ok(()) };
        drop(socket);
        let socket = listed;
        change.append(Record::new("unsocket").number(socket.id))?;
        sys::kill_point("socket-unrecorded");
        table.by_name.remove(&socket.name);
        socket.unlink();
        drop(table);
        drop(change);
        let name = Held::Socket(socket.id);
        drop(socket);
        // The port is to be free when the reply says so.
        self.link.drop_now(vec![name]);
        Ok(())
    }

    /// Has the keeper hold all of them, one that has just been started.
    pub(crate) fn hold_all(&self) -> io::Result<()> {
        let table = self.lock();
        let sockets = table.by_name.values();
        let held: Vec<_> = sockets.map(|it| (Held::Socket(it.id), it.fd.as_fd())).collect();
        held.chunks(sys::MAX_DESCRIPTORS).try_for_each(|part| self.link.hold(part))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_name.len()
    }

    /// Whether there is no socket.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_name.is_empty()
    }

    /// Removes the files of all Unix sockets: papad ends.
    pub(crate) fn unlink_all(&self) {
        self.lock().by_name.values().for_each(|socket| socket.unlink());
    }

    /// Writes the records of everything here.
    pub(crate) fn write_records(
        &self,
        write: &mut dyn FnMut(Record) -> io::Result<()>,
    ) -> io::Result<()> {
        let table = self.lock();
        // First of all, so that the last number is not used again, even if its socket is gone.
        write(Record::new("unsocket").number(table.last_id))?;
        table.by_name.values().try_for_each(|socket| write(socket.record()))
    }

    fn get(&self, name: &[u8]) -> Option<Arc<Socket>> {
        self.lock().by_name.get(name).map(Arc::clone)
    }
}

impl Table {
    fn find_same(
        &self,
        name: &[u8],
        options: &SocketOptions,
    ) -> Result<Option<Arc<Socket>>, Failure> {
        match self.by_name.get(name) {
            Some(existing) if existing.is_same(options) => Ok(Some(Arc::clone(existing))),
            Some(existing) => Err(Table::taken(name, existing)),
            None => Ok(None),
        }
    }

    fn taken(name: &[u8], existing: &Socket) -> Failure {
        let line = existing.line();
        let line = String::from_utf8_lossy(&line);
        let what = format!("Socket for {} has already been created - {line}", shown(name));
        Failure::new(Code::Exists, what)
    }

    fn check_path(&self, options: &SocketOptions) -> Result<(), Failure> {
        let SocketAddress::Path { path, .. } = &options.address else {
            return Ok(());
        };
        let mut sockets = self.by_name.values();
        if sockets.any(|socket| socket.path() == Some(path)) {
            let what = format!("Socket for {} has already been created", shown(path));
            return Err(Failure::new(Code::Exists, what));
        }
        Ok(())
    }

    /// The lowest number that no socket has, found in one look at each: there may be thousands.
    fn free_number(&self) -> RawFd {
        // Of one number more than there are sockets, one is free.
        let mut is_taken = vec![false; self.by_name.len() + 1];
        for socket in self.by_name.values() {
            let place = i64::from(socket.number) - i64::from(FIRST_NUMBER);
            let place = usize::try_from(place).ok();
            if let Some(is_taken) = place.and_then(|place| is_taken.get_mut(place)) {
                *is_taken = true;
            }
        }
        let free = is_taken.iter().position(|is_taken| !is_taken).unwrap_or_default();
        FIRST_NUMBER + free as RawFd
    }
}

fn cannot_keep(error: &io::Error) -> Failure {
    Failure::new(limit::code_of(error), format!("The socket cannot be kept - {error}"))
}

/// The options with the port that the system chose.
fn with_port(mut options: SocketOptions, fd: &OwnedFd) -> SocketOptions {
    if let SocketAddress::Host { port, .. } = &mut options.address {
        *port = bind::address_of(fd).map_or(*port, |address| address.port());
    }
    options
}
