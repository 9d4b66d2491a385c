//! Every call: what it asks, and how the answer is read. Calls that block and calls that are
//! awaited share them.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use papa_protocol::exact::{
    self, Code, Condition, Failure, Fetched, MakeProcess, MakeSocket, Request, Set,
};
use papa_protocol::name::{Noun, Patterns};

use crate::client::{Answers, Ask, Call};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::fields::{Line, os_string, words};
use crate::name::{Name, Pattern};
use crate::process::member::Listed;
use crate::process::pidfd::Trait;
use crate::process::{GivenSocket, ProcessId, ProcessInfo};
use crate::session::Reply;
use crate::socket::SocketInfo;
use crate::status::Status;
use crate::value::Value;

/// The most processes whose members are asked for by name.
const MOST_NAMES: usize = 128;

fn call<T>(ask: Ask, read: impl FnOnce(Answers) -> Result<T> + Send + 'static) -> Call<T> {
    Call { ask, read: Box::new(read) }
}

/// The reply of a call with one request.
fn reply(mut answers: Answers) -> Result<Reply> {
    Ok(answers.next()??)
}

/// The only line of a reply.
fn only_line(reply: &Reply) -> Result<&[u8]> {
    match &reply.lines[..] {
        [line] => Ok(line),
        lines => Err(Error::protocol(format!("papad answered {} lines, not one", lines.len()))),
    }
}

/// Whether something was done; false if the answer is an error of the code `no`.
fn was_done(mut answers: Answers, no: &[Code]) -> Result<bool> {
    match answers.next()? {
        Ok(_) => Ok(true),
        Err(Failure { code, .. }) if no.contains(&code) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn list(noun: Noun, pattern: &Pattern) -> Request {
    Request::List { noun, names: pattern.to_patterns() }
}

pub(crate) fn processes(pattern: &[u8]) -> Result<Call<Vec<ProcessInfo>>> {
    let ask = Ask::look(vec![list(Noun::Process, &Pattern::new(pattern)?)]);
    Ok(call(ask, |answers| {
        let papad = answers.peer.hello.id.clone();
        reply(answers)?.lines.iter().map(|line| ProcessInfo::parse(line, &papad)).collect()
    }))
}

/// Processes that others have replaced.
pub(crate) fn previous(pattern: &[u8]) -> Result<Call<Vec<ProcessInfo>>> {
    let names = Pattern::new(pattern)?.to_patterns();
    let ask = Ask::look(vec![Request::ListPrevious { names }]);
    Ok(call(ask, |answers| {
        let papad = answers.peer.hello.id.clone();
        reply(answers)?.lines.iter().map(|line| ProcessInfo::parse(line, &papad)).collect()
    }))
}

/// Drops what is kept of processes that others have replaced; false if nothing is.
pub(crate) fn remove_previous(pattern: &[u8]) -> Result<Call<bool>> {
    let names = Pattern::new(pattern)?.to_patterns();
    let ask = Ask::change(Request::RemovePrevious { names });
    Ok(call(ask, |answers| was_done(answers, &[Code::NotFound])))
}

/// Who is in the sessions that these processes lead, or led.
pub(crate) fn members(processes: &[&ProcessInfo]) -> Call<Vec<Listed>> {
    let names: Vec<Vec<u8>> = processes.iter().map(|info| info.name.to_vec()).collect();
    // Of many all are asked for, since a line is of limited length.
    let names = if names.len() > MOST_NAMES { Vec::new() } else { names };
    let ask = Ask::look(vec![Request::ListMembers { names: Patterns::new(names) }]);
    call(ask, |answers| {
        let papad = answers.peer.hello.id.clone();
        let member = |line: &Vec<u8>| {
            let line = Line::parse(line)?;
            Ok(Listed {
                id: ProcessId::new(&papad, line.number("id")?)?,
                pid: line.number("pid")?,
                starttime: line.number("starttime")?,
            })
        };
        reply(answers)?.lines.iter().map(member).collect()
    })
}

/// The process of this name; `None` if there is none.
pub(crate) fn process(name: &Name) -> Call<Option<ProcessInfo>> {
    let ask = Ask::look(vec![list(Noun::Process, &Pattern::exactly(name))]);
    let name = name.clone();
    call(ask, move |answers| {
        let papad = answers.peer.hello.id.clone();
        named(&name, &papad, &reply(answers)?)
    })
}

/// The process of this name on a list. papad may also find one by its pid.
fn named(name: &Name, papad: &str, reply: &Reply) -> Result<Option<ProcessInfo>> {
    let infos = reply.lines.iter().map(|line| ProcessInfo::parse(line, papad));
    let infos: Vec<ProcessInfo> = infos.collect::<Result<_>>()?;
    Ok(infos.into_iter().find(|info| info.name == *name))
}

pub(crate) fn sockets(pattern: &[u8]) -> Result<Call<Vec<SocketInfo>>> {
    let ask = Ask::look(vec![list(Noun::Socket, &Pattern::new(pattern)?)]);
    Ok(call(ask, |answers| {
        reply(answers)?.lines.iter().map(|line| SocketInfo::parse(line)).collect()
    }))
}

pub(crate) fn values(pattern: &[u8]) -> Result<Call<Vec<Value>>> {
    let ask = Ask::look(vec![list(Noun::Value, &Pattern::new(pattern)?)]);
    Ok(call(ask, |answers| reply(answers)?.lines.iter().map(|line| Value::parse(line)).collect()))
}

pub(crate) fn make_socket(make: MakeSocket) -> Call<SocketInfo> {
    let ask = Ask::change(Request::MakeSocket(make));
    call(ask, |answers| SocketInfo::parse(only_line(&reply(answers)?)?))
}

pub(crate) fn make_process(make: MakeProcess) -> Call<ProcessInfo> {
    let ask = Ask::change(Request::MakeProcess(Box::new(make)));
    call(ask, |answers| {
        let papad = answers.peer.hello.id.clone();
        ProcessInfo::parse(only_line(&reply(answers)?)?, &papad)
    })
}

/// The words that make a process again.
pub(crate) fn show_process(name: &[u8]) -> Result<Call<Vec<OsString>>> {
    let ask = Ask::look(vec![Request::ShowProcess { name: Name::new(name)?.to_vec() }]);
    Ok(call(ask, |answers| {
        Ok(words(only_line(&reply(answers)?)?)?.into_iter().map(os_string).collect())
    }))
}

/// What makes a process again, and the sockets that it was given.
pub(crate) fn process_again(name: &[u8]) -> Result<Call<(MakeProcess, Vec<GivenSocket>)>> {
    let name = Name::new(name)?;
    let show = Request::ShowProcess { name: name.to_vec() };
    let ask = Ask::look(vec![show, list(Noun::Process, &Pattern::exactly(&name))]);
    Ok(call(ask, move |mut answers| {
        let (shown, listed) = (answers.next()?, answers.next()?);
        let process = named(&name, &answers.peer.hello.id, &listed?)?;
        let given = process.map(|process| process.sockets).unwrap_or_default();
        Ok((parse_make_process(only_line(&shown?)?)?, given))
    }))
}

/// The sockets of these names that there are.
pub(crate) fn sockets_named(given: &[GivenSocket]) -> Call<Vec<SocketInfo>> {
    let names = given.iter().map(|given| given.name.to_vec()).collect();
    let ask = Ask::look(vec![Request::List { noun: Noun::Socket, names: Patterns::new(names) }]);
    call(ask, |answers| reply(answers)?.lines.iter().map(|line| SocketInfo::parse(line)).collect())
}

/// Reads a request that makes a process.
pub(crate) fn parse_make_process(line: &[u8]) -> Result<MakeProcess> {
    match exact::parse(line)? {
        Some(Request::MakeProcess(request)) => Ok(*request),
        _ => Err(Error::usage("This is no request that makes a process")),
    }
}

/// Removes all that the pattern names, and tells their names.
pub(crate) fn remove(noun: Noun, pattern: &[u8]) -> Result<Call<Vec<Name>>> {
    let names = Pattern::new(pattern)?.to_patterns();
    let ask = Ask::change(Request::Remove { noun, names });
    Ok(call(ask, |answers| {
        reply(answers)?.lines.iter().map(|line| Line::parse(line)?.name()).collect()
    }))
}

/// Removes one; false if there was none.
pub(crate) fn remove_one(noun: Noun, name: &[u8]) -> Result<Call<bool>> {
    let names = Pattern::exactly(&Name::new(name)?).to_patterns();
    let ask = Ask::change(Request::Remove { noun, names });
    Ok(call(ask, |answers| was_done(answers, &[Code::NotFound])))
}

pub(crate) fn get(name: &[u8]) -> Result<Call<Option<Vec<u8>>>> {
    let ask = Ask::look(vec![Request::Get { name: Name::new(name)?.to_vec() }]);
    Ok(call(ask, |mut answers| match answers.next()? {
        Err(Failure { code: Code::NotFound, .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
        Ok(reply) => {
            let words = words(only_line(&reply)?)?;
            let [value] = <[Vec<u8>; 1]>::try_from(words)
                .map_err(|_| Error::protocol("papad answered a value that is not one word"))?;
            Ok(Some(value))
        }
    }))
}

pub(crate) fn set(name: &[u8], value: &[u8], for_session: bool) -> Result<Call<()>> {
    let ask = ask_to_set(name, value, Condition::Any, for_session)?;
    Ok(call(ask, |answers| reply(answers).map(|_| ())))
}

/// Sets a value if it is `old`, or if there is none for `None`; false if that does not hold.
pub(crate) fn compare_and_set(
    name: &[u8],
    old: Option<&[u8]>,
    value: &[u8],
    for_session: bool,
) -> Result<Call<bool>> {
    let condition = old.map_or(Condition::Absent, |old| Condition::Is(old.to_vec()));
    let ask = ask_to_set(name, value, condition, for_session)?;
    Ok(call(ask, |answers| was_done(answers, &[Code::Conflict])))
}

fn ask_to_set(name: &[u8], value: &[u8], condition: Condition, for_session: bool) -> Result<Ask> {
    let (name, value) = (Name::new(name)?.to_vec(), value.to_vec());
    let set = Set { name, value, condition, for_session };
    Ok(Ask::change(Request::Set(set)).binding(for_session))
}

/// Removes a value; false if there is none, or another than `expected`.
pub(crate) fn unset(name: &[u8], expected: Option<&[u8]>) -> Result<Call<bool>> {
    let condition = expected.map(<[u8]>::to_vec);
    let ask = Ask::change(Request::Unset { name: Name::new(name)?.to_vec(), condition });
    Ok(call(ask, |answers| was_done(answers, &[Code::NotFound, Code::Conflict])))
}

pub(crate) fn adopt(name: &[u8], socket: OwnedFd) -> Result<Call<SocketInfo>> {
    let request = Request::AdoptSocket { name: Name::of(Noun::Socket, name)?.to_vec() };
    let ask = Ask::change(request).with_descriptor(socket);
    Ok(call(ask, |answers| SocketInfo::parse(only_line(&reply(answers)?)?)))
}

fn descriptor(reply: Reply) -> Result<OwnedFd> {
    let received = reply.descriptor;
    let received =
        received.ok_or_else(|| Error::protocol("papad's answer came without a descriptor"))?;
    received.map_err(|errno| Error::io("there is no room for a descriptor that papad sent", errno))
}

pub(crate) fn fetch_socket(name: &[u8]) -> Result<Call<OwnedFd>> {
    let name = Name::new(name)?.to_vec();
    let ask = Ask::look(vec![Request::Fetch { what: Fetched::Socket, name }]);
    Ok(call(ask, |answers| descriptor(reply(answers)?)))
}

/// The pidfd of this very process; `None` if it runs no more.
///
/// The list is asked after the descriptor: if it still has the process then, the descriptor was
/// that process's.
pub(crate) fn fetch_pidfd(info: &ProcessInfo) -> Call<Option<OwnedFd>> {
    let fetch = Request::Fetch { what: Fetched::Pidfd, name: info.name.to_vec() };
    let list = list(Noun::Process, &Pattern::exactly(&info.name));
    let (name, id) = (info.name.clone(), info.id);
    call(Ask::look(vec![fetch, list]), move |mut answers| {
        let (fetched, listed) = (answers.next()?, answers.next()??);
        let process = named(&name, &answers.peer.hello.id, &listed)?;
        if process.is_none_or(|process| process.id != id) {
            return Ok(None);
        }
        match fetched {
            Ok(reply) => descriptor(reply).map(Some),
            Err(Failure { code: Code::NotFound | Code::Gone, .. }) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    })
}

/// What `/proc` shows of this process where pids are papad's; `None` if it runs no more.
pub(crate) fn trait_of_running(info: &ProcessInfo) -> Call<Option<Trait>> {
    let ask = Ask::look(vec![list(Noun::Process, &Pattern::exactly(&info.name))]);
    let (name, id) = (info.name.clone(), info.id);
    call(ask, move |answers| {
        let (papad, keeper) = (answers.peer.hello.id.clone(), answers.peer.hello.pid);
        let process = named(&name, &papad, &reply(answers)?)?;
        let running = process.filter(|process| process.id == id && process.is_running());
        Ok(running.map(|process| match process.starttime {
            Some(ticks) => Trait::Started(ticks),
            None => Trait::Parent(keeper),
        }))
    })
}

/// Whose papad is.
pub(crate) fn owner() -> Call<u32> {
    call(Ask::look(Vec::new()), |answers| Ok(answers.peer.owner))
}

/// Nothing but that papad answers.
pub(crate) fn nothing() -> Call<()> {
    call(Ask::look(Vec::new()), |_| Ok(()))
}

pub(crate) fn status() -> Call<Status> {
    call(Ask::look(vec![Request::Status]), |answers| Status::parse(&reply(answers)?.lines))
}

/// Has another version take over; tells which one has.
pub(crate) fn upgrade(program: Option<&Path>) -> Call<String> {
    let path = program.map(|path| path.as_os_str().as_bytes().to_vec());
    let ask = Ask::change(Request::Upgrade { path });
    call(ask, |answers| Line::parse(only_line(&reply(answers)?)?)?.text("version"))
}

/// False if papad is not idle.
pub(crate) fn exit_if_idle() -> Call<bool> {
    call(Ask::change(Request::ExitIfIdle), |answers| was_done(answers, &[Code::Busy]))
}

pub(crate) fn help() -> Call<String> {
    call(Ask::look(vec![Request::Help]), |answers| {
        let mut text = String::new();
        for line in &reply(answers)?.lines {
            for word in words(line)? {
                text.push_str(&String::from_utf8_lossy(&word));
            }
            text.push('\n');
        }
        Ok(text)
    })
}

/// Fails where only a Unix socket can do something, and the endpoint is none.
pub(crate) fn need_unix(endpoint: &Endpoint) -> Result<()> {
    if endpoint.is_unix() {
        return Ok(());
    }
    let what = "sockets are handed over by papad's Unix socket alone";
    Err(Error::new(ErrorKind::NeedsUnix, what))
}
