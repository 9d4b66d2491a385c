//! Who answers where papad should.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use papa_client::{Endpoint, Error, ErrorKind, Papa};

use super::PATIENCE;
use crate::context::{starting, user_name};
use crate::finding::Finding;
use crate::procfs::{self, Listener, Seen};
use crate::text;

/// What papa 1.0 and papad greet with.
const GREETING: &[u8] = b"Papa is home.";

/// So many bytes of what a stranger says are enough.
const MAX_SAID: usize = 80;

/// So many other papads are told of.
const MOST_PAPADS: usize = 5;

/// The name of papad's keeper, as `/proc` shows it.
const KEEPER: &str = "papad: keeper";

/// The name of its server there.
const SERVER: &str = "papad: server";

/// A connection to papad, or what is there instead.
pub(super) fn ask(endpoint: &Endpoint) -> (Option<Papa>, Vec<Finding>) {
    let error = match Papa::connect(endpoint) {
        Ok(papa) => {
            let found = Finding::ok("answer", format!("papad answers at {}", papa.endpoint()));
            return (Some(papa), vec![found]);
        }
        Err(error) => error,
    };
    let foreign = std::error::Error::source(&error).filter(|_| endpoint.candidates().len() > 1);
    if error.kind() == ErrorKind::NotRunning && foreign.is_some() {
        let advice = format!("start one of your own with \"{}\"", starting(endpoint));
        let finding = Finding::bad("answer", error.to_string()).advice(advice);
        return (None, [vec![finding], elsewhere()].concat());
    }
    let here = here(endpoint, procfs::listeners());
    let finding = match error.kind() {
        ErrorKind::NotRunning => match endpoint.unix_path() {
            Some(path) => no_one_at_path(path, fs::symlink_metadata(path)),
            None => no_one_at_port(endpoint),
        },
        ErrorKind::NotYours if std::error::Error::source(&error).is_some() => {
            no_way_in(endpoint, &error)
        }
        ErrorKind::NotYours => Finding::bad("answer", format!("{error}{}", held_by(&here))).advice(
            "start a papad of your own at another place, become that user with sudo -u, or say \
             --trust USER if it is you who does not trust it; to let you in with --allow-uid would \
             give you all of that user's rights",
        ),
        ErrorKind::Io => no_way_in(endpoint, &error),
        // A papa 1.0 refuses in the same words what it does not know.
        ErrorKind::Limit if error.to_string().starts_with("papad ") => {
            full(endpoint, &error, &held_by(&here))
        }
        _ => match (said(endpoint), &papads(&here)[..]) {
            (said, papads @ [_, ..]) if said.is_empty() => not_answering(papads),
            (said, _) => stranger(&error, &said, &held_by(&here)),
        },
    };
    let mut findings = vec![finding];
    if error.kind() == ErrorKind::NotRunning {
        findings.extend(elsewhere());
    }
    (None, findings)
}

/// The sockets that this endpoint may lead to.
fn here(endpoint: &Endpoint, mut listeners: Vec<Listener>) -> Vec<Listener> {
    let places: Vec<String> = match (endpoint.tcp_address(), endpoint.unix_path()) {
        (Some(address), _) => {
            let port = address.port();
            vec![address.to_string(), format!("0.0.0.0:{port}"), format!("[::]:{port}")]
        }
        (None, path) => path.map(|path| path.display().to_string()).into_iter().collect(),
    };
    listeners.retain(|it| places.contains(&it.address));
    listeners
}

/// Who has one of these sockets open.
fn held_by(sockets: &[Listener]) -> String {
    match &procfs::holders(sockets)[..] {
        [] => String::new(),
        [first, ..] => format!(", and is {}", process(first)),
    }
}

fn process(seen: &Seen) -> String {
    let name = text::printable(seen.name.as_bytes());
    format!("pid {} ({name}) of user {}", seen.pid, user_name(seen.uid))
}

/// The processes of papad that have one of these sockets open.
fn papads(sockets: &[Listener]) -> Vec<Seen> {
    let mut holders = procfs::holders(sockets);
    holders.retain(|holder| [KEEPER, SERVER].contains(&holder.name.as_str()));
    holders
}

/// A papad that lets nobody in: it is stopped, or has too little of something.
fn not_answering(papads: &[Seen]) -> Finding {
    let state = |seen: &Seen| procfs::of(seen.pid, "stat").and_then(|stat| state_of(&stat));
    let stopped: Vec<&Seen> =
        papads.iter().filter(|seen| matches!(state(seen), Some('T' | 't'))).collect();
    if stopped.is_empty() {
        let all: Vec<String> = papads.iter().map(process).collect();
        let what = format!("papad does not answer: it is {}", all.join(" and "));
        return Finding::bad("answer", what).advice(
            "the machine may be overloaded, or papad may wait for a disk that hangs; its keeper \
             replaces a server that does not respond, and papad's log says so",
        );
    }
    let all: Vec<String> = stopped.iter().map(|seen| process(seen)).collect();
    let pids: Vec<String> = stopped.iter().map(|seen| seen.pid.to_string()).collect();
    let what = format!("papad does not answer: stopped by a signal is {}", all.join(" and "));
    Finding::bad("answer", what).advice(format!("\"kill -CONT {}\" lets it go on", pids.join(" ")))
}

/// The state in a `/proc/PID/stat`, after a name that may itself contain any character.
fn state_of(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// A file where papad's socket should be, and nobody who listens.
fn no_one_at_path(path: &Path, file: io::Result<Metadata>) -> Finding {
    let path = path.display();
    let start = format!("start one with \"papad --daemonize -u {path}\"");
    match file {
        Ok(file) if file.file_type().is_socket() => {
            let (mode, owner) = (file.mode() & 0o777, user_name(file.uid()));
            let what = format!(
                "nobody listens at {path}: the socket (mode {mode:03o}, of user {owner}) was left \
                 behind"
            );
            Finding::bad("answer", what).advice(format!("{start}, which replaces it"))
        }
        Ok(_) => Finding::bad("answer", format!("{path} is no socket"))
            .advice("say where papad is with --endpoint or PAPA_ENDPOINT"),
        Err(error) => Finding::bad("answer", format!("no papad is at {path}: {error}"))
            .advice(format!("{start}, or say where it is with --endpoint or PAPA_ENDPOINT")),
    }
}

fn no_one_at_port(endpoint: &Endpoint) -> Finding {
    Finding::bad("answer", format!("nobody listens at {endpoint}")).advice(format!(
        "start one with \"{}\", or say where it is with --endpoint or PAPA_ENDPOINT",
        starting(endpoint)
    ))
}

/// A socket that this user may not connect to.
fn no_way_in(endpoint: &Endpoint, error: &Error) -> Finding {
    let file = endpoint.unix_path().and_then(|path| fs::symlink_metadata(path).ok());
    let of = file.map(|file| {
        format!(" (mode {:03o}, of user {})", file.mode() & 0o777, user_name(file.uid()))
    });
    let cause = std::error::Error::source(error).map(|it| format!(": {it}")).unwrap_or_default();
    let what = format!("{endpoint}{}: {error}{cause}", of.unwrap_or_default());
    Finding::bad("answer", what).advice("become papad's user, with sudo -u, or root")
}

/// A papad that has no place for another session.
fn full(endpoint: &Endpoint, error: &Error, holder: &str) -> Finding {
    let what = format!("papad answers at {endpoint}{holder}, and turns new sessions away: {error}");
    Finding::bad("answer", what).advice(
        "end programs that connect and stay (\"ss -tnp\" and \"ss -xp\" show whose they are), try as \
         root, for whom places are kept, or start papad with a greater --max-sessions or \
         --max-sessions-per-user",
    )
}

/// Somebody who does not speak as papad does.
fn stranger(error: &Error, said: &[u8], holder: &str) -> Finding {
    if said.starts_with(GREETING) {
        let what = format!("what answers greets as papa 1.0, and is no papad{holder}: {error}");
        return Finding::bad("answer", what)
            .advice("end it and start papad, which speaks with papa's clients, too");
    }
    let said = match said {
        [] => "says nothing".to_owned(),
        said => format!("says \"{}\"", text::printable(said)),
    };
    Finding::bad("answer", format!("what answers is no papad{holder}: it {said}"))
        .advice("give papad another port with -p, and say so with --endpoint or PAPA_ENDPOINT")
}

/// What somebody says first; nothing if that does not come.
fn said(endpoint: &Endpoint) -> Vec<u8> {
    let (tell, told) = mpsc::channel();
    let (address, path) = (endpoint.tcp_address(), endpoint.unix_path().map(Path::to_owned));
    // Connecting to a Unix socket may take for ever. The thread ends with papactl.
    thread::spawn(move || {
        let said = match (address, path) {
            (Some(address), _) => listen_to_tcp(&address),
            (None, Some(path)) => UnixStream::connect(path).and_then(listen_to),
            (None, None) => Ok(Vec::new()),
        };
        // Where it took too long nobody waits.
        let _ = tell.send(said.unwrap_or_default());
    });
    told.recv_timeout(PATIENCE).unwrap_or_default()
}

fn listen_to_tcp(address: &SocketAddr) -> io::Result<Vec<u8>> {
    listen_to(TcpStream::connect_timeout(address, PATIENCE)?)
}

fn listen_to(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut said = vec![0; MAX_SAID];
    let count = stream.read(&mut said)?;
    said.truncate(count);
    Ok(said)
}

/// Other papads, and where they listen.
fn elsewhere() -> Vec<Finding> {
    let listeners = procfs::listeners();
    let keepers = procfs::processes().into_iter().filter(|process| process.name == KEEPER);
    keepers
        .take(MOST_PAPADS)
        .map(|keeper| {
            let files = procfs::open_files(keeper.pid);
            let is_its = |it: &&Listener| files.contains(&format!("socket:[{}]", it.inode));
            let places: Vec<&str> =
                listeners.iter().filter(is_its).map(|it| it.address.as_str()).collect();
            let what = format!("there is another papad: {}", process(&keeper));
            match places[..] {
                [] => Finding::ok("elsewhere", what),
                [first, ..] => {
                    Finding::ok("elsewhere", format!("{what}, at {}", places.join(" and ")))
                        .advice(format!("\"papactl -e {} doctor\" looks at it", endpoint_of(first)))
                }
            }
        })
        .collect()
}

/// A listener's address as an endpoint.
fn endpoint_of(address: &str) -> String {
    if address.starts_with('/') { address.to_owned() } else { format!("tcp://{address}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Verdict;

    fn listener(address: &str) -> Listener {
        Listener { address: address.to_owned(), inode: 7 }
    }

    #[test]
    fn whoever_has_the_port_on_all_addresses_has_it_here() {
        let all = ["127.0.0.1:7", "0.0.0.0:7", "[::]:7", "127.0.0.1:8", "10.0.0.1:7", "/run/papad"];
        let all: Vec<Listener> = all.map(listener).into();
        assert_eq!(here(&Endpoint::tcp(7), all.clone()), all[..3]);
        assert_eq!(here(&Endpoint::unix("/run/papad"), all.clone()), all[5..]);
    }

    #[test]
    fn a_stranger_is_told_by_what_it_says() {
        let error = Endpoint::parse("x").unwrap_err();
        let papa = stranger(&error, b"Papa is home. Type \"help\" for commands.\n> ", "");
        assert!(papa.what.starts_with("what answers greets as papa 1.0, and is no papad"));
        let ssh = stranger(&error, b"SSH-2.0\r\n", ", and is pid 7 (sshd) of user root");
        assert_eq!(
            ssh.what,
            "what answers is no papad, and is pid 7 (sshd) of user root: it says \
             \"SSH-2.0\\x0d\\x0a\""
        );
        assert!(stranger(&error, b"", "").what.ends_with("it says nothing"));
    }

    #[test]
    fn state_is_found_behind_any_name() {
        assert_eq!(state_of("7 (papad: server) T 1 7 7"), Some('T'));
        assert_eq!(state_of("7 (a) S) b) D 1"), Some('D'));
        assert_eq!(state_of("7"), None);
    }

    #[test]
    fn a_file_that_is_not_there_or_no_socket_is_told_apart() {
        let gone = no_one_at_path(Path::new("/x"), Err(io::ErrorKind::NotFound.into()));
        assert_eq!(gone.verdict, Verdict::Bad);
        assert!(gone.what.starts_with("no papad is at /x: "));
        let directory = no_one_at_path(Path::new("/"), fs::symlink_metadata("/"));
        assert_eq!(directory.what, "/ is no socket");
    }
}
