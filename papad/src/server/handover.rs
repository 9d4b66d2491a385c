//! Sessions as one server tells the next of them.
//!
//! They are told in records like the journal's, in a memory file that the keeper holds, and so are
//! their connections. What a record of the journal says of what may be added to it holds here, too:
//! a version passes over the pairs that it does not know. A session that it cannot read is closed.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;
use std::sync::Arc;

use nix::unistd::Uid;

use papa_protocol::frame::Time;

use super::admission::Admission;
use super::client::{Client, Out};
use super::lines::{Lines, Manner};
use super::places::Owner;
use super::session::{Activity, Dialect, Session};
use super::sessions::{self, Info};
use super::telnet::Telnet;
use super::upgrade::Awaited;
use super::watch::{self, Watch};
use super::{Server, exact};
use crate::gate::Parcel;
use crate::journal::{self, Fields, Record, parse_number};
use crate::link::Held;
use crate::log;
use crate::processes::{End, Place, Process, Start, Wants};

/// Processes by their numbers.
pub(super) type ById = HashMap<u64, Arc<Process>>;

/// Tells all there is to know of a session that has stopped.
pub(super) fn tell(session: &mut Session) -> Parcel {
    let mut more = Vec::new();
    // What telnet waits for is not to be forgotten on the way.
    let answers = session.client.lines.all_answers();
    session.client.out.bytes.extend(answers);
    let doing = tell_activity(&mut session.activity, &mut session.client.out.bytes, &mut more);
    match tell_connection(session, doing) {
        Ok(record) => [vec![record], more].concat(),
        Err(error) => {
            log::error!("server", "the session of {} ends: {error}", session.peer);
            Parcel::default()
        }
    }
}

/// Has the keeper hold what belongs to the connection, and tells by which numbers.
fn tell_connection(session: &Session, doing: &str) -> io::Result<Record> {
    let Session { admission, peer, client, .. } = session;
    let server = &admission.server;
    let info = server.sessions.get(admission.id);
    let pass = |fd: BorrowedFd| -> io::Result<u64> {
        let number = server.gate.number();
        server.link.hold(&[(Held::Passed(number), fd)])?;
        Ok(number)
    };
    let mut record = Record::new("session")
        .number(admission.id)
        .pair("doing", doing)
        .pair("peer", peer)
        .pair("connection", pass(client.lines.as_fd())?.to_string())
        .pair("in", client.lines.waiting())
        .pair("out", client.out.unsent())
        .pair("dialect", tell_dialect(client.lines.manner()))
        .pair("telnet", client.lines.manner().telnet.word())
        .pair("unsure", flag(client.lines.manner().is_unsure))
        .pair("left", flag(client.lines.manner().has_left));
    if let Some(info) = info {
        record = record
            .pair("since", info.since.0.to_string())
            .pair("protocol", info.protocol.to_string())
            .maybe("uid", info.uid);
    }
    for (place, fd) in client.lines.descriptors() {
        record = record.pair("in_fd", format!("{place}:{}", pass(fd)?));
    }
    for (place, fd) in client.out.descriptors() {
        record = record.pair("out_fd", format!("{place}:{}", pass(fd)?));
    }
    Ok(record)
}

/// As an earlier version knows it, which answers nothing that telnet asks.
fn tell_dialect(manner: Manner) -> &'static str {
    match manner {
        Manner { is_exact: true, .. } => "exact",
        Manner { telnet: Telnet::Option(_), .. } => "option",
        Manner { telnet, .. } => telnet.word(),
    }
}

fn read_manner(session: &Pairs) -> Option<Manner> {
    let dialect = session.get("dialect")?;
    let is_exact = dialect == b"exact";
    let of_dialect = || if is_exact { Some(Telnet::Text) } else { Telnet::of_word(dialect) };
    let telnet = session.get("telnet").and_then(Telnet::of_word).or_else(of_dialect)?;
    let (is_unsure, has_left) = (session.flag("unsure"), session.flag("left"));
    Some(Manner { is_exact, telnet, is_unsure, has_left })
}

/// Says what a session does, and adds records of what there is to know of that.
fn tell_activity(
    activity: &mut Activity,
    out: &mut Vec<u8>,
    records: &mut Vec<Record>,
) -> &'static str {
    match activity {
        Activity::Commanding { is_first: true } => "beginning",
        Activity::Commanding { is_first: false } => "commanding",
        Activity::Requesting { was_watching: false } => "requesting",
        Activity::Requesting { was_watching: true } => "requesting-after-watch",
        Activity::Upgrading(Dialect::Papa, _) => "upgrading",
        Activity::Upgrading(Dialect::Exact, _) => "upgrading-exact",
        Activity::Leaving { .. } => "leaving",
        Activity::Watching(watch) => {
            let watch::Told { watched, is_first, is_answered_next } = watch.told();
            records.push(
                Record::new("watch")
                    .pair("first", flag(is_first))
                    .pair("answered_next", flag(is_answered_next)),
            );
            records.extend(watched.into_iter().map(|watched| {
                place(Record::new("watched").number(watched.process), watched.place)
                    .pair("ends", flag(watched.ends))
                    .pair("removed", flag(watched.is_removed))
            }));
            "watching"
        }
        Activity::Streaming(watching) => {
            let exact::Told { watched, wildcards, window, over } = watching.told(out);
            let record = Record::new("watch").pair("window", window.to_string());
            records.push(over.iter().fold(record, |record, name| record.pair("over", name)));
            records.extend(wildcards.into_iter().map(|wildcard| {
                let record = wants(Record::new("wildcard"), wildcard.wants);
                let patterns = wildcard.patterns.iter();
                patterns.fold(record, |record, pattern| record.pair("pattern", pattern))
            }));
            records.extend(watched.into_iter().map(|watched| {
                let record = Record::new("watched").number(watched.process);
                wants(place(record, watched.place), watched.wants)
                    .pair("name", &watched.name)
                    .maybe("until", watched.until)
                    .pair("ended", flag(watched.has_ended))
                    .pair("over", flag(watched.is_over))
            }));
            "streaming"
        }
    }
}

fn flag(is_so: bool) -> &'static str {
    if is_so { "1" } else { "0" }
}

fn place(record: Record, place: Place) -> Record {
    let end = match place.end {
        End::NotSent => "not-sent",
        End::Sent => "sent",
        End::Acknowledged => "acknowledged",
    };
    record
        .pair("acknowledged", place.acknowledged.to_string())
        .pair("sent", place.sent.to_string())
        .pair("passed_over", place.passed_over.to_string())
        .pair("resumed", place.resumed.to_string())
        .pair("end", end)
}

/// Where it began is behind it, or in its place.
fn wants(record: Record, wants: Wants) -> Record {
    record.pair("takes", flag(wants.takes)).pair("data", flag(wants.data))
}

/// The pairs of one record.
struct Pairs(Vec<(Vec<u8>, Vec<u8>)>);

impl Pairs {
    fn all<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let key = key.as_bytes().to_vec();
        self.0.iter().filter(move |(its, _)| *its == key).map(|(_, value)| &value[..])
    }

    fn get(&self, key: &str) -> Option<&[u8]> {
        self.all(key).next()
    }

    fn number<N: FromStr>(&self, key: &str) -> Option<N> {
        parse_number(self.get(key)?)
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key) == Some(b"1")
    }

    fn place(&self) -> Option<Place> {
        Some(Place {
            acknowledged: self.number("acknowledged")?,
            sent: self.number("sent")?,
            passed_over: self.number("passed_over")?,
            resumed: self.number("resumed")?,
            end: match self.get("end")? {
                b"not-sent" => End::NotSent,
                b"sent" => End::Sent,
                b"acknowledged" => End::Acknowledged,
                _ => return None,
            },
        })
    }

    fn wants(&self) -> Wants {
        Wants { takes: self.flag("takes"), data: self.flag("data"), from: Start::Oldest }
    }

    /// Descriptors of this key, and their places.
    fn descriptors<N: FromStr>(
        &self,
        key: &str,
        held: &mut HashMap<Held, OwnedFd>,
    ) -> Option<VecDeque<(N, OwnedFd)>> {
        let found = self.all(key).map(|value| {
            let at = value.iter().position(|&byte| byte == b':')?;
            let fd = held.remove(&Held::Passed(parse_number(&value[at + 1..])?))?;
            Some((parse_number(&value[..at])?, fd))
        });
        found.collect()
    }
}

/// What was told of one session.
struct Told {
    id: u64,
    session: Pairs,
    watch: Option<Pairs>,
    wildcards: Vec<Pairs>,
    watched: Vec<(u64, Pairs)>,
}

/// Goes on with the sessions of another server, as far as it is known what they were.
pub(super) fn take_up(
    server: &Arc<Server>,
    file: &File,
    held: &mut HashMap<Held, OwnedFd>,
) -> io::Result<Vec<Session>> {
    let mut told: Vec<Told> = Vec::new();
    let skipped = journal::replay(file, |verb, mut fields| {
        match verb {
            b"session" => {
                let (id, session) = (fields.number()?, Pairs(fields.pairs()));
                let (watch, wildcards, watched) = (None, Vec::new(), Vec::new());
                told.push(Told { id, session, watch, wildcards, watched });
            }
            b"watch" => told.last_mut()?.watch = Some(Pairs(fields.pairs())),
            b"wildcard" => told.last_mut()?.wildcards.push(Pairs(fields.pairs())),
            b"watched" => {
                let process = fields.number()?;
                told.last_mut()?.watched.push((process, Pairs(fields.pairs())));
            }
            b"papad" => take_up_papad(server, &mut fields),
            _ => return None,
        }
        Some(())
    })?;
    if skipped > 0 {
        log::warn!("server", "{skipped} records of the handover cannot be read");
    }
    let by_id = server.processes.by_id();
    let sessions = told.into_iter().filter_map(|told| {
        let id = told.id;
        let session = told.resume(server, &by_id, held);
        if session.is_none() {
            log::error!("server", "session {id} cannot be gone on with");
        }
        session
    });
    Ok(sessions.collect())
}

/// What is true of all sessions together.
pub(super) fn tell_papad(server: &Server) -> Record {
    let exits = server.exit_if_idle.load(std::sync::atomic::Ordering::SeqCst);
    let last_id = server.sessions.last_id().to_string();
    Record::new("papad").pair("exit_if_idle", flag(exits)).pair("last_session", last_id)
}

fn take_up_papad(server: &Server, fields: &mut Fields) {
    let pairs = Pairs(fields.pairs());
    server.exit_if_idle.store(pairs.flag("exit_if_idle"), std::sync::atomic::Ordering::SeqCst);
    server.sessions.continue_from(pairs.number("last_session").unwrap_or_default());
}

impl Told {
    fn resume(
        self,
        server: &Arc<Server>,
        by_id: &ById,
        held: &mut HashMap<Held, OwnedFd>,
    ) -> Option<Session> {
        let session = &self.session;
        let connection = held.remove(&Held::Passed(session.number("connection")?))?;
        let manner = read_manner(session)?;
        let waiting = session.get("in")?.to_vec();
        let came = session.descriptors("in_fd", held)?;
        let bounds = &server.bounds;
        let lines = Lines::resumed(connection.into(), manner, waiting, came, Arc::clone(bounds));
        let leaving = session.descriptors("out_fd", held)?;
        let out = Out::new(session.get("out")?.to_vec(), leaving);
        let uid = session.number("uid").map(Uid::from_raw);
        let mut client = Client::new(lines, out, server, Owner::of(uid));
        let activity = self.activity(server, by_id, &mut client.out.bytes)?;
        let peer = String::from_utf8_lossy(session.get("peer")?).into_owned();
        let info = Info {
            peer: peer.clone(),
            uid,
            since: Time(session.number("since").unwrap_or_default()),
            protocol: session.number("protocol").unwrap_or(1),
            doing: sessions::NOTHING,
        };
        server.sessions.add_again(self.id, info);
        let admission = Admission::of(server, self.id);
        Some(Session { activity, admission, peer, client })
    }

    fn activity(&self, server: &Arc<Server>, by_id: &ById, out: &mut Vec<u8>) -> Option<Activity> {
        let upgraded = || Awaited::over(server.life.start.put_back.clone()).ok();
        Some(match self.session.get("doing")? {
            b"beginning" => Activity::Commanding { is_first: true },
            b"commanding" => Activity::Commanding { is_first: false },
            b"requesting" => Activity::Requesting { was_watching: false },
            b"requesting-after-watch" => Activity::Requesting { was_watching: true },
            b"upgrading" => Activity::Upgrading(Dialect::Papa, upgraded()?),
            b"upgrading-exact" => Activity::Upgrading(Dialect::Exact, upgraded()?),
            b"leaving" => Activity::Leaving { while_it_speaks: false },
            b"watching" => Activity::Watching(Watch::resume(server, self.watch()?, by_id).ok()?),
            b"streaming" => Activity::Streaming(
                exact::Watching::resume(server, self.streaming()?, by_id, out).ok()?,
            ),
            _ => return None,
        })
    }

    fn watch(&self) -> Option<watch::Told> {
        let watch = self.watch.as_ref()?;
        let watched = self.watched.iter().map(|(process, pairs)| {
            let (ends, is_removed) = (pairs.flag("ends"), pairs.flag("removed"));
            Some(watch::TellWatched { process: *process, place: pairs.place()?, ends, is_removed })
        });
        let watched = watched.collect::<Option<_>>()?;
        let (is_first, is_answered_next) = (watch.flag("first"), watch.flag("answered_next"));
        Some(watch::Told { watched, is_first, is_answered_next })
    }

    fn streaming(&self) -> Option<exact::Told> {
        let watch = self.watch.as_ref()?;
        let watched = self.watched.iter().map(|(process, pairs)| {
            Some(exact::TellWatched {
                process: *process,
                name: pairs.get("name")?.to_vec(),
                place: pairs.place()?,
                wants: pairs.wants(),
                until: pairs.number("until"),
                has_ended: pairs.flag("ended"),
                is_over: pairs.flag("over"),
            })
        });
        let wildcards = self.wildcards.iter().map(|pairs| exact::TellWildcard {
            patterns: pairs.all("pattern").map(<[u8]>::to_vec).collect(),
            wants: pairs.wants(),
        });
        Some(exact::Told {
            watched: watched.collect::<Option<_>>()?,
            wildcards: wildcards.collect(),
            window: watch.number("window")?,
            over: watch.all("over").map(<[u8]>::to_vec).collect(),
        })
    }
}
