//! How papad is: what `status` tells.

use std::fs;

use nix::sys::resource::{Resource, getrlimit};

use papa_protocol::exact::Line;
use papa_protocol::frame::Time;
use papa_protocol::name::Patterns;

use super::super::Server;
use crate::bounds::Bound;
use crate::link::Start;
use crate::processes::{Life, Numbers, now};
use crate::version;

/// One line on papad, and one for each session.
pub(super) fn lines(server: &Server) -> Vec<Vec<u8>> {
    let sessions = server.sessions.list();
    let everything = Patterns::new(Vec::new());
    let processes: Vec<_> =
        server.processes.find(&everything, Numbers::AreNames).into_processes().collect();
    let running = processes.iter().filter(|process| process.life() == Life::Running).count();
    let life = &server.life;
    let memory = server.processes.buffers.memory();
    let Time(born) = life.born.time;
    let papad = Line::new()
        .pair("version", version::RELEASE)
        .pair("commit", version::COMMIT.unwrap_or("unknown"))
        .number("pid", nix::unistd::getppid())
        .number("server", std::process::id())
        .number("uptime", now().0.saturating_sub(born) / 1_000_000_000)
        .number("starts", life.start.starts)
        .pair("last_end", describe_last_end(&life.start))
        .number("processes", processes.len())
        .number("running", running)
        .number("sockets", server.sockets.count())
        .number("values", server.values.count())
        .number("memory", resident_bytes())
        .pair("descriptors", descriptors())
        .number("journal", server.journal.size())
        .number("skipped", life.skipped)
        .number("aside", life.aside.len())
        .number("output_dropped", memory.evicted())
        .number("output_waiting", memory.waiting())
        .number("sessions", sessions.len());
    let papad = Bound::all().fold(papad, |line, bound| {
        let (used, allowed) = (used(server, bound), server.bounds.allowed(bound));
        line.pair(&format!("limit.{}", bound.name()), format!("{used}/{allowed}"))
    });
    let sessions = sessions.into_iter().map(|(id, info)| {
        Line::new()
            .number("session", id)
            .pair("peer", info.peer)
            .number("since", info.since.0)
            .number("protocol", info.protocol)
            .pair("doing", info.doing)
    });
    [papad].into_iter().chain(sessions).map(Line::into_bytes).collect()
}

/// How much of a bound is used: what there is now; of what is bounded for each line, session or
/// thing, the most that any had since this server started.
fn used(server: &Server, bound: Bound) -> u64 {
    let count = match bound {
        Bound::Line
        | Bound::Words
        | Bound::Name
        | Bound::Args
        | Bound::Answer
        | Bound::ClientTimeout
        | Bound::Watched
        | Bound::Value => return server.bounds.most(bound),
        Bound::Buffers => return server.processes.buffers.promised(),
        Bound::OutputMemory => return server.processes.buffers.memory().held(),
        Bound::Backlog => return server.backlog.taken(),
        Bound::ValuesTotal => return server.values.bytes(),
        Bound::Sessions => server.sessions.count(),
        Bound::SessionsPerUser => server.sessions.most_of_one_user(),
        Bound::Processes => server.processes.count(),
        Bound::Sockets => server.sockets.count(),
        Bound::Values => server.values.count(),
    };
    count as u64
}

fn describe_last_end(start: &Start) -> String {
    match start.last_end {
        None if start.starts == 1 => "none".to_owned(),
        None => "unknown".to_owned(),
        Some(status @ 0..) => format!("exit-{status}"),
        Some(signal) => format!("signal-{}", -signal),
    }
}

/// Bytes of memory that the server has, by `proc_pid_statm(5)`; 0 where that cannot be read.
fn resident_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let pages = fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    resident.unwrap_or_default() * PAGE
}

/// `USED/ALLOWED`
fn descriptors() -> String {
    let used = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let (allowed, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
    format!("{used}/{allowed}")
}
