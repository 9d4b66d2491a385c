//! Doing what a request of protocol 2 asks.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use papa_protocol::command::{MakeProcess, MakeSocket};
use papa_protocol::exact::{self, Code, Failure, Fetched, Line, Request};
use papa_protocol::name::{Noun, Pattern, Patterns};
use papa_protocol::text::shown;

use super::super::Server;
use super::super::admission::Admission;
use super::super::backlog::Part;
use super::super::command::gather;
use super::super::lines::Lines;
use super::{Answer, Outcome, show, status};
use crate::limit;
use crate::processes::{Identity, Numbers, Process, Spec};
use crate::values::{Condition, Unchanged};

/// Does what a request asks; a watch is not among them.
pub(super) fn run(
    admission: &Admission,
    request: Request,
    lines: &mut Lines,
    unread: &mut Part,
) -> Outcome {
    let server = &admission.server;
    admission.is_doing(name_of(&request));
    match request {
        Request::Help => Ok(Answer::Lines(
            exact::help().into_iter().map(|line| Line::new().word(line).into_bytes()).collect(),
        )),
        Request::List { noun, names } => list(server, unread, noun, &names).map(Answer::Lines),
        Request::ListPrevious { names } => list_previous(server, unread, &names).map(Answer::Lines),
        Request::ListMembers { names } => list_members(server, unread, &names).map(Answer::Lines),
        Request::MakeSocket(MakeSocket { name, options }) => {
            Ok(one(show::socket(&*server.sockets.make(&name, options)?)))
        }
        Request::MakeProcess(request) => make_process(server, *request),
        Request::ShowProcess { name } => Ok(one(show::request(&*find_process(server, &name)?))),
        Request::Remove { noun, names } => remove(server, noun, &names),
        Request::RemovePrevious { names } => remove_previous(server, &names),
        Request::Get { name } => match server.values.get(&name) {
            Some(value) => {
                let line = Line::new().word(value).into_bytes();
                unread.add(line.len())?;
                Ok(Answer::Lines(vec![line]))
            }
            None => Err(no(Noun::Value, &name)),
        },
        Request::Set(set) => {
            let condition = match set.condition {
                exact::Condition::Any => Condition::Any,
                exact::Condition::Absent => Condition::Absent,
                exact::Condition::Is(text) => Condition::Is(text),
            };
            let session = set.for_session.then_some(admission.id);
            let done = server.values.set(set.name, set.value, &condition, session);
            done.map_err(|error| failed(&error))?.map_err(|unchanged| match unchanged {
                Unchanged::Absent => Failure::new(Code::Conflict, "there is no such value"),
                Unchanged::Other => Failure::new(Code::Conflict, "there is another value"),
                Unchanged::BeyondBound(refusal) => refusal,
            })?;
            Ok(Answer::Lines(Vec::new()))
        }
        Request::Unset { name, condition } => {
            let condition = condition.map_or(Condition::Any, Condition::Is);
            let done = server.values.unset(&name, &condition);
            done.map_err(|error| failed(&error))?.map_err(|unchanged| match unchanged {
                Unchanged::Absent => no(Noun::Value, &name),
                Unchanged::Other => Failure::new(Code::Conflict, "there is another value"),
                Unchanged::BeyondBound(refusal) => refusal,
            })?;
            Ok(Answer::Lines(Vec::new()))
        }
        Request::AdoptSocket { name } => {
            let mut descriptors = lines.take_descriptors();
            let Some(fd) = descriptors.pop() else {
                let why = "no descriptor came with the line; they travel over a Unix socket alone";
                return Err(Failure::new(Code::Denied, why));
            };
            if !descriptors.is_empty() {
                let why = "more than one descriptor came with the line";
                return Err(Failure::new(Code::Usage, why));
            }
            Ok(one(show::socket(&*server.sockets.adopt(&name, fd)?)))
        }
        Request::Fetch { what, name } => fetch(server, what, &name, lines),
        Request::Status => Ok(Answer::Lines(status::lines(server))),
        Request::ExitIfIdle if server.is_idle() => {
            server.exit_if_idle.store(true, Ordering::SeqCst);
            Ok(Answer::Close)
        }
        Request::ExitIfIdle => {
            Err(Failure::new(Code::Busy, "papad has processes, sockets or values"))
        }
        Request::Upgrade { path } => server.ask_for_upgrade(path.as_deref()).map(Answer::Upgrade),
        Request::Quit => Ok(Answer::Close),
        Request::Watch(_) => Err(Failure::new(Code::Internal, "a watch is begun elsewhere")),
    }
}

fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Help => "help",
        Request::List { .. } | Request::ListPrevious { .. } | Request::ListMembers { .. } => "list",
        Request::MakeSocket(_) => "make-socket",
        Request::MakeProcess(_) => "make-process",
        Request::ShowProcess { .. } => "show",
        Request::Remove { .. } | Request::RemovePrevious { .. } => "remove",
        Request::Get { .. } => "get",
        Request::Set(_) => "set",
        Request::Unset { .. } => "unset",
        Request::Watch(_) => "watch",
        Request::AdoptSocket { .. } => "adopt",
        Request::Fetch { .. } => "fetch",
        Request::Status => "status",
        Request::ExitIfIdle => "exit-if-idle",
        Request::Upgrade { .. } => "upgrade",
        Request::Quit => "quit",
    }
}

fn one(line: Line) -> Answer {
    Answer::Lines(vec![line.into_bytes()])
}

fn no(noun: Noun, name: &[u8]) -> Failure {
    let what = format!("there is no {} of the name {}", noun.singular(), shown(name));
    Failure::new(Code::NotFound, what)
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(limit::code_of(error), error.to_string())
}

fn list(
    server: &Server,
    unread: &mut Part,
    noun: Noun,
    names: &Patterns,
) -> Result<Vec<Vec<u8>>, Failure> {
    match noun {
        Noun::Socket => {
            let (sockets, _) = server.sockets.find(names, false);
            gather(server, unread, sockets.iter().map(|socket| show::socket(socket).into_bytes()))
        }
        Noun::Process => {
            let processes = server.processes.find(names, Numbers::AreNames).into_processes();
            gather(server, unread, processes.map(|process| show::process(&process).into_bytes()))
        }
        Noun::Value => {
            let line = |(name, text, is_for_session)| {
                let line = Line::new().pair("name", name).pair("value", text);
                let line = if is_for_session { line.pair("for", "session") } else { line };
                line.into_bytes()
            };
            gather(server, unread, server.values.find(names).into_iter().map(line))
        }
    }
}

fn list_previous(
    server: &Server,
    unread: &mut Part,
    names: &Patterns,
) -> Result<Vec<Vec<u8>>, Failure> {
    let previous = server.processes.find_previous(names);
    gather(server, unread, previous.iter().map(|process| show::process(process).into_bytes()))
}

fn list_members(
    server: &Server,
    unread: &mut Part,
    names: &Patterns,
) -> Result<Vec<Vec<u8>>, Failure> {
    let current = server.processes.find(names, Numbers::AreNames).into_processes();
    let processes = server.processes.find_previous(names).into_iter().chain(current);
    let members = server.processes.members(processes).map_err(|error| failed(&error))?;
    let lines = members.iter().flat_map(|(process, members)| {
        members.iter().map(|member| show::member(process, *member).into_bytes())
    });
    gather(server, unread, lines)
}

fn make_process(server: &Arc<Server>, request: MakeProcess) -> Outcome {
    let MakeProcess { name, options, command } = request;
    let identity = Identity::look_up(options.uid.as_deref(), options.gid.as_deref())?;
    let replace = options.replace;
    let spec = Spec::new(options, command, &identity, server.options.bufsize);
    let process = server.processes.make(&name, &spec, replace, &identity, &server.sockets)?;
    Ok(one(show::process(&process)))
}

/// The one process of this name.
fn find_process(server: &Server, name: &[u8]) -> Result<Arc<Process>, Failure> {
    server.processes.get(name).ok_or_else(|| no(Noun::Process, name))
}

fn remove(server: &Server, noun: Noun, names: &Patterns) -> Outcome {
    let missing = |missing: Option<Vec<u8>>| match missing {
        Some(name) => Err(no(noun, &name)),
        None => Ok(()),
    };
    let mut removed = Vec::new();
    match noun {
        Noun::Value => {
            let found = server.values.find(names);
            let is_there = |name: &[u8]| found.iter().any(|(found, ..)| found == name);
            missing(names.iter().find_map(|pattern| match pattern {
                Pattern::Exact(name) if !is_there(name) => Some(name.to_vec()),
                _ => None,
            }))?;
            for (name, ..) in found {
                let done = server.values.unset(&name, &Condition::Any);
                if done.map_err(|error| failed(&error))?.is_ok() {
                    removed.push(name);
                }
            }
        }
        Noun::Socket => {
            let (sockets, absent) = server.sockets.find(names, false);
            missing(absent)?;
            for socket in sockets {
                removed.push(socket.name.clone());
                server.sockets.remove(socket).map_err(|error| failed(&error))?;
            }
        }
        Noun::Process => {
            let found = server.processes.find(names, Numbers::AreNames);
            missing(found.missing.clone())?;
            for process in found.into_processes() {
                server.processes.remove(&process).map_err(|error| failed(&error))?;
                removed.push(process.name.clone());
            }
        }
    }
    let line = |name: Vec<u8>| Line::new().pair("name", name).into_bytes();
    Ok(Answer::Lines(removed.into_iter().map(line).collect()))
}

fn remove_previous(server: &Server, names: &Patterns) -> Outcome {
    let previous = server.processes.find_previous(names);
    let is_there = |name: &[u8]| previous.iter().any(|process| process.name == name);
    for pattern in names.iter() {
        if let Pattern::Exact(name) = pattern
            && !is_there(name)
        {
            let what = format!("there is no previous process of the name {}", shown(name));
            return Err(Failure::new(Code::NotFound, what));
        }
    }
    let mut lines = Vec::new();
    for process in previous {
        server.processes.remove(&process).map_err(|error| failed(&error))?;
        let line = Line::new().pair("name", &process.name).number("id", process.id);
        lines.push(line.into_bytes());
    }
    Ok(Answer::Lines(lines))
}

fn fetch(server: &Server, what: Fetched, name: &[u8], lines: &Lines) -> Outcome {
    if !lines.can_pass_descriptors() {
        let why = "descriptors travel over a Unix socket alone";
        return Err(Failure::new(Code::Denied, why));
    }
    let fd = match what {
        Fetched::Socket => match server.sockets.fetch(name) {
            Some(fd) => fd?,
            None => return Err(no(Noun::Socket, name)),
        },
        Fetched::Pidfd => pidfd(server, &*find_process(server, name)?)?,
    };
    Ok(Answer::Descriptor(Line::new().pair("name", name).into_bytes(), fd))
}

fn pidfd(server: &Server, process: &Process) -> Result<OwnedFd, Failure> {
    let fd = server.processes.pidfd(process).map_err(|error| failed(&error))?;
    fd.ok_or_else(|| Failure::new(Code::Gone, "the process has ended"))
}
