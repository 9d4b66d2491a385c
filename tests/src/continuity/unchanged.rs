//! What clients and processes see of papad, before and after a change.

use std::collections::BTreeSet;

use super::Subject;
use crate::exact::{Exact, number_of, value_of};
use crate::{kills::kinds_of_files, procfs};

/// The key at the end of the line of a socket that is in order.
const COOKIE: &str = " cookie=";

/// Processes, sockets, values and sessions as they were, seen by a session that stays.
pub struct Unchanged {
    session: Exact,
    born: String,
    sessions: BTreeSet<[String; 4]>,
    listed: [Vec<String>; 3],
    running: Vec<procfs::Stat>,
    listeners: Vec<u64>,
}

impl Unchanged {
    /// Looks at everything. Processes must have nothing under way that shows in their lines, and
    /// who has left papad's Unix socket must have seen that papad let go of it.
    #[must_use]
    pub fn look(subject: &Subject) -> Self {
        let mut session = subject.exact();
        let listed = lists(&mut session);
        let running = listed[0].iter().filter(|line| line.contains(" state=running "));
        let pids = running.map(|line| number_of(line, "pid") as i32);
        Self {
            born: value_of(session.hello(), "id"),
            sessions: sessions(&mut session).into_iter().filter(is_to_stay).collect(),
            running: pids.map(|pid| procfs::stat(pid).unwrap()).collect(),
            listeners: listeners(&listed[1]),
            listed,
            session,
        }
    }

    /// Sees that what papad holds is the same, when sessions may have ended.
    #[track_caller]
    pub fn check_held(&mut self, subject: &Subject) {
        self.session = subject.exact();
        self.sessions.clear();
        self.check(subject);
    }

    /// Sees that it is all the same: each line, each process by pid and start, each socket by its
    /// inode, each session by its number, peer, beginning and protocol.
    #[track_caller]
    pub fn check(&mut self, subject: &Subject) {
        let listed = lists(&mut self.session);
        let (now, before) = (&listed, &self.listed);
        match (has_cookies(now), has_cookies(before)) {
            (true, false) => assert_eq!(without_cookies(now), *before),
            (false, true) => assert_eq!(*now, without_cookies(before)),
            _ => assert_eq!(now, before),
        }
        for process in &self.running {
            let now = procfs::stat(process.pid).unwrap();
            assert_eq!((now.started, now.is_zombie()), (process.started, false), "{process:?}");
        }
        assert_eq!(listeners(&listed[1]), self.listeners);
        let sessions = sessions(&mut self.session);
        assert!(
            sessions.is_superset(&self.sessions),
            "{sessions:?}\nare to be {:?}",
            self.sessions
        );
        let exact = subject.exact();
        assert_eq!(value_of(exact.hello(), "id"), self.born);
        exact.leave();
    }
}

fn lists(session: &mut Exact) -> [Vec<String>; 3] {
    ["processes", "sockets", "values"].map(|what| {
        let lines = session.ask(format!("list {what}"));
        // An orphan's line says when it started, too.
        let of_process = |line: String| match line.split_once(" starttime=") {
            Some((before, rest)) => {
                let after = rest.split_once(' ').expect("it is not the last").1;
                format!("{before} {after}")
            }
            None => line,
        };
        lines.into_iter().map(of_process).collect()
    })
}

/// Whether it is a version that says which socket each is.
fn has_cookies(listed: &[Vec<String>; 3]) -> bool {
    listed[1].iter().any(|line| line.contains(COOKIE))
}

/// The lists as a version writes them that does not say which socket each is.
fn without_cookies(listed: &[Vec<String>; 3]) -> [Vec<String>; 3] {
    let mut listed = listed.clone();
    for line in &mut listed[1] {
        line.truncate(line.find(COOKIE).unwrap_or(line.len()));
    }
    listed
}

fn sessions(session: &mut Exact) -> BTreeSet<[String; 4]> {
    let status = session.ask("status");
    let of_sessions = status.iter().filter(|line| line.starts_with("session="));
    let keys = ["session", "peer", "since", "protocol"];
    of_sessions.map(|line| keys.map(|key| value_of(line, key))).collect()
}

/// Whether a session's client has not left it: papad may not have noticed yet.
fn is_to_stay([_, peer, _, _]: &[String; 4]) -> bool {
    let port = peer.strip_prefix("127.0.0.1:").and_then(|port| port.parse().ok());
    port.is_none_or(procfs::is_connected_from)
}

/// The inodes of all sockets that listen on the ports of these.
fn listeners(sockets: &[String]) -> Vec<u64> {
    let ports = sockets.iter().filter(|line| line.contains(" family=inet "));
    ports.flat_map(|line| procfs::tcp_listeners(number_of(line, "port") as u16)).collect()
}

/// What keeper and server have open, sorted by kind.
#[must_use]
pub fn open_files(subject: &Subject) -> [Vec<String>; 2] {
    [subject.papad.keeper_pid(), subject.papad.server_pid()].map(kinds_of_files)
}
