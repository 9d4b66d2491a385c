//! Doing what a command of papa 1.0 asks, and what is answered.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use papa_protocol::command::{Command, MakeProcess, MakeSocket};
use papa_protocol::exact::{Code, Failure};
use papa_protocol::name::{Noun, Patterns};
use papa_protocol::text::shown;

use super::Server;
use super::admission::Admission;
use super::backlog::Part;
use super::upgrade::Awaited;
use super::watch::Watch;
use crate::bounds::Bound;
use crate::limit;
use crate::processes::{Identity, Numbers, Process, Spec};
use crate::values::{Condition, Unchanged};

/// What a session does after a command.
pub(super) enum Reply {
    /// Says this. An empty text is said as an empty line.
    Text(Vec<u8>),
    /// Says that it failed, and why.
    Failed(Failure),
    /// Says this, then watches.
    Watch(Vec<u8>, Watch),
    /// Waits for an upgrade.
    Upgrade(Arc<Awaited>),
    /// Says this and closes the connection.
    Close(&'static [u8]),
}

/// What goes wrong is said in one sentence.
type Outcome<T> = Result<T, Failure>;

/// Does what a command asks.
pub(super) fn run(admission: &Admission, unread: &mut Part, command: Command) -> Reply {
    let server = &admission.server;
    match command {
        Command::List { noun, names } => reply(list(server, unread, noun, &names)),
        Command::MakeSocket(request) => reply(make_socket(server, request)),
        Command::MakeProcess(request) => {
            make_process(server, *request).unwrap_or_else(Reply::Failed)
        }
        Command::Remove { noun, names } => reply(remove(server, noun, &names)),
        Command::Watch(names) => watch(server, &names).unwrap_or_else(Reply::Failed),
        Command::Set { name, value } => reply(set(server, name, value)),
        Command::Get { name } => {
            let value = server.values.get(&name).unwrap_or_default();
            let is_kept = unread.add(value.len());
            is_kept.map_or_else(Reply::Failed, |()| Reply::Text(on_one_line(value)))
        }
        Command::Upgrade { path } => {
            server.ask_for_upgrade(path.as_deref()).map_or_else(Reply::Failed, Reply::Upgrade)
        }
        Command::Quit => Reply::Close(b"ok\n"),
        Command::ExitIfIdle if server.is_idle() => {
            server.exit_if_idle.store(true, Ordering::SeqCst);
            Reply::Close(b"Exiting papa!\n> ")
        }
        Command::ExitIfIdle => Reply::Text(b"not idle".to_vec()),
        Command::Help(text) => Reply::Text(text.0.into_owned().into_bytes()),
    }
}

fn reply(outcome: Outcome<Vec<u8>>) -> Reply {
    outcome.map_or_else(Reply::Failed, Reply::Text)
}

/// Protocol 2 can store newlines. Here one would end a reply, so it is shown as papa's client
/// would have sent it.
pub(super) fn on_one_line(mut text: Vec<u8>) -> Vec<u8> {
    text.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
    text
}

fn not_found(name: &[u8]) -> Failure {
    Failure::new(Code::NotFound, format!("{} not found", shown(name)))
}

fn failed(what: &str, error: &io::Error) -> Failure {
    Failure::new(limit::code_of(error), format!("{what} - {error}"))
}

fn list(server: &Server, unread: &mut Part, noun: Noun, names: &Patterns) -> Outcome<Vec<u8>> {
    let lines = match noun {
        Noun::Value => {
            let values = server.values.find(names).into_iter();
            gather(
                server,
                unread,
                values.map(|(name, text, _)| on_one_line([name, text].join(&b' '))),
            )
        }
        Noun::Socket => {
            let (sockets, _) = server.sockets.find(names, true);
            gather(server, unread, sockets.iter().map(|socket| on_one_line(socket.line())))
        }
        Noun::Process => {
            let found = server.processes.find(names, Numbers::Count);
            let processes = found.into_processes();
            gather(server, unread, processes.map(|process| on_one_line(process.line())))
        }
    };
    Ok(lines?.join(&b'\n'))
}

/// Lines that are to be answered, if they are not too much: they wait here until the client reads.
pub(super) fn gather(
    server: &Server,
    unread: &mut Part,
    lines: impl Iterator<Item = Vec<u8>>,
) -> Outcome<Vec<Vec<u8>>> {
    let mut bytes = 0;
    let checked = lines.map(|line| {
        bytes += line.len() + 1;
        server.bounds.check(Bound::Answer, bytes)?;
        unread.add(line.len() + 1).map(|()| line)
    });
    checked.collect()
}

fn make_socket(server: &Server, request: MakeSocket) -> Outcome<Vec<u8>> {
    let socket = server.sockets.make(&request.name, request.options)?;
    Ok(on_one_line(socket.line()))
}

fn make_process(server: &Arc<Server>, request: MakeProcess) -> Outcome<Reply> {
    let MakeProcess { name, options, command } = request;
    let identity = Identity::look_up(options.uid.as_deref(), options.gid.as_deref())?;
    let watch = options.watch;
    let spec = Spec::new(options, command, &identity, server.options.bufsize);
    let process = server.processes.make(&name, &spec, None, &identity, &server.sockets)?;
    let line = on_one_line(process.line());
    if !watch {
        return Ok(Reply::Text(line));
    }
    let watch = Watch::new(Arc::clone(server), [process])
        .map_err(|error| failed("Cannot watch", &error))?;
    Ok(Reply::Watch([&line[..], b"\n"].concat(), watch))
}

fn remove(server: &Server, noun: Noun, names: &Patterns) -> Outcome<Vec<u8>> {
    let cannot = |error| failed("Cannot remove", &error);
    let all_found = |missing: Option<Vec<u8>>| match missing {
        Some(name) => Err(not_found(&name)),
        None => Ok(()),
    };
    match noun {
        Noun::Value => {
            for (name, ..) in server.values.find(names) {
                // One that is gone already is as it should be.
                let _ = server.values.unset(&name, &Condition::Any).map_err(cannot)?;
            }
        }
        Noun::Socket => {
            let (sockets, missing) = server.sockets.find(names, true);
            all_found(missing)?;
            for socket in sockets {
                server.sockets.remove(socket).map_err(cannot)?;
            }
        }
        Noun::Process => {
            for process in find_all(server, names)? {
                server.processes.remove(&process).map_err(cannot)?;
            }
        }
    }
    Ok(Vec::new())
}

fn find_all(server: &Server, names: &Patterns) -> Outcome<Vec<Arc<Process>>> {
    let found = server.processes.find(names, Numbers::Count);
    match &found.missing {
        Some(name) => Err(not_found(name)),
        None => Ok(found.into_processes().collect()),
    }
}

fn watch(server: &Arc<Server>, names: &Patterns) -> Outcome<Reply> {
    let processes = find_all(server, names)?;
    if processes.is_empty() {
        return Err(Failure::new(Code::NotFound, "Nothing to watch"));
    }
    let count = processes.len();
    server.bounds.check(Bound::Watched, count)?;
    let watch = Watch::new(Arc::clone(server), processes)
        .map_err(|error| failed("Cannot watch", &error))?;
    Ok(Reply::Watch(format!("Watching {count}\n").into_bytes(), watch))
}

fn set(server: &Server, name: Vec<u8>, value: Option<Vec<u8>>) -> Outcome<Vec<u8>> {
    let done = match value {
        Some(value) => server.values.set(name, value, &Condition::Any, None),
        None => server.values.unset(&name, &Condition::Any),
    };
    match done.map_err(|error| failed("The value cannot be kept", &error))? {
        Err(Unchanged::BeyondBound(refusal)) => Err(refusal),
        // To clear what is not there is no failure.
        Ok(()) | Err(Unchanged::Absent | Unchanged::Other) => Ok(Vec::new()),
    }
}
