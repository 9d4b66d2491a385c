//! How sockets and processes are told of in protocol 2.

use papa_protocol::exact::{Line, Request};

use crate::processes::{Ending, Life, Member, Process};
use crate::sockets::{Fault, Socket};

/// `name=web family=inet ... fileno=3 cookie=9`, and `fault=` of one that nobody can reach.
pub(super) fn socket(socket: &Socket) -> Line {
    let line = Line::new().pair("name", &socket.name).socket_options(&socket.shown_options());
    let line = match socket.listed_number() {
        Some(number) => line.number("fileno", number),
        None => line,
    };
    let line = line.maybe("cookie", socket.cookie().map(|cookie| cookie.to_string()));
    line.maybe("fault", socket.fault().map(Fault::as_str))
}

/// `name=web id=7 state=running ... -- COMMAND ARG...`
pub(super) fn process(process: &Process) -> Line {
    let (spec, summary) = (&process.spec, process.summary());
    let mut line = Line::new().pair("name", &process.name).number("id", process.id);
    line = match summary.life {
        Life::Starting => line.pair("state", "starting"),
        Life::Running => line.pair("state", "running"),
        Life::Exited(_) => line.pair("state", "exited"),
    };
    line = line.number("pid", process.pid()).number("started", process.started.0);
    if let Life::Exited(exit) = summary.life {
        line = match exit.ending {
            Ending::Exited(status) => line.number("exit", status),
            Ending::Signaled(signal) => line.number("signal", signal),
            Ending::Unknown => line,
        };
        line = line.number("ended", exit.time.0);
    } else if let Some(ticks) = process.orphaned.get() {
        line = line.number("starttime", ticks);
    }
    if matches!(summary.life, Life::Running) && process.is_stopped() {
        line = line.number("stopped", 1);
    }
    if summary.removed {
        line = line.number("removed", 1);
    }
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    line = line.maybe("uid", number(spec.uid)).maybe("gid", number(spec.gid));
    line = line.maybe("dir", spec.working_dir.as_ref());
    if spec.shell {
        line = line.number("shell", 1);
    }
    let (first, next, lost) = summary.extent;
    line = line
        .number("bufsize", spec.bufsize)
        .pair("overflow", spec.overflow.as_str())
        .number("first", first)
        .number("next", next)
        .number("lost", lost)
        .number("watchers", summary.readers);
    for given in process.given.get().into_iter().flatten() {
        line = line.pair(&format!("socket.{}", given.cookie), &given.name);
    }
    line.rest(&spec.args)
}

/// `name=web id=7 pid=42 starttime=1234`, of a member of the session that the process leads.
pub(super) fn member(process: &Process, member: Member) -> Line {
    let line = Line::new().pair("name", &process.name).number("id", process.id);
    line.number("pid", member.pid).number("starttime", member.started)
}

/// The request that makes the process again.
pub(super) fn request(process: &Process) -> Line {
    Request::MakeProcess(Box::new(process.spec.request(process.name.clone()))).line()
}
