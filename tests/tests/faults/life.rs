//! A process from its start to its end, and its output, with each of the calls on the way failing
//! once.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, Seen, number_of, script};
use papad_tests::{Fault, Part, Stream, eventually};

use crate::faulty::{Faulty, Open};
use crate::sweep::{ALL, Failing, sweep};

/// What a process writes and ends with.
const SCRIPT: &str = "printf out; printf err >&2; exit 3";

const SERVERS: [Failing; 15] = [
    ("epoll_ctl", "", &[Errno::ENOMEM]),
    ("epoll_wait", "", &[Errno::EINTR]),
    ("eventfd", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("fallocate", "papad-ring", &[Errno::ENOMEM, Errno::EINTR]),
    ("fcntl", "", &[Errno::EMFILE]),
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("pread64", "papad-ring", &[Errno::ENOMEM]),
    ("pwrite64", "papad-ring", &[Errno::ENOSPC, Errno::ENOMEM]),
    ("read", "anon_inode", &[Errno::EINTR]),
    ("recvmsg", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", ":seqpacket", &[Errno::ENOMEM, Errno::ENOBUFS]),
    ("splice", "papad-ring", &[Errno::EINTR, Errno::ENOMEM, Errno::ENOSPC]),
    ("write", "anon_inode", &[Errno::EINTR]),
    ("write", "papad-journal", &[Errno::ENOSPC, Errno::ENOMEM]),
    ("write", ":stream", &[Errno::ENOBUFS, Errno::EINTR]),
];

const KEEPERS: [Failing; 5] = [
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("read", "anon_inode", &[Errno::EINTR, Errno::ENOMEM]),
    ("recvmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", ":seqpacket", &[Errno::EINTR, Errno::ENOMEM, Errno::ENOBUFS]),
    ("waitid", "", &[Errno::EINTR, Errno::ENOMEM]),
];

/// Whether output may be lost by this: where there is no room for it, its writer goes on.
fn may_lose_output(fault: &Fault) -> bool {
    let fault = fault.to_string();
    fault.contains("papad-ring") && (fault.contains("ENOSPC") || fault.contains("ENOMEM"))
}

/// What was seen of a process.
#[derive(Default)]
struct Watched {
    position: u64,
    out: Vec<u8>,
    err: Vec<u8>,
    end: Option<String>,
}

impl Watched {
    /// Watches on from where it is, until the process has left the list. False if it was refused.
    fn go_on(&mut self, exact: &mut Exact) -> io::Result<bool> {
        match exact.try_ask(format!("watch p from={}", self.position))? {
            Err(refusal) if refusal.code == "limit" => return Ok(false),
            Err(refusal) if refusal.code == "not-found" && self.end.is_some() => return Ok(true),
            opening => drop(opening.unwrap()),
        }
        loop {
            match exact.try_next_seen()? {
                Seen::Data { stream, position, data, .. } => {
                    assert_eq!(position, self.position);
                    self.position += data.len() as u64;
                    let of = if stream == Stream::Out { &mut self.out } else { &mut self.err };
                    of.extend(data);
                    exact.try_send(format!("ack p {}\n", self.position))?;
                }
                Seen::Closed { end, .. } => {
                    self.end = Some(end);
                    exact.try_send("ack p closed\n")?;
                }
                Seen::Reply(Err(refusal)) if refusal.code == "limit" => return Ok(false),
                Seen::End(_) => return Ok(true),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Has a process live under this fault, and sees that everything of it came, once.
fn live(faulty: &Faulty, open: &Open, fault: Fault) -> Result<bool, String> {
    let server = faulty.papad.server_pid();
    let mut exact = Exact::unix(&faulty.papad);
    exact.ask("get kept");
    let in_force = faulty.put(fault);
    let made = exact.try_ask(format!("make process p {}", script(SCRIPT)));
    if !matches!(made, Ok(Ok(_))) {
        let was_met = in_force.met() > 0;
        drop((in_force, exact));
        return leaves_nothing(faulty, open).map(|()| was_met);
    }
    let mut watched = Watched::default();
    let mut in_force = Some(in_force);
    let mut was_met = false;
    while !watched.go_on(&mut exact).unwrap_or(false) {
        // Whoever met it tries again, without it.
        was_met |= in_force.take().is_none_or(|it| it.met() > 0);
        exact = Exact::unix(&faulty.papad);
    }
    was_met |= in_force.is_some_and(|in_force| in_force.met() > 0);
    let Watched { out, err, end, .. } = watched;
    let is_all = (&out[..], &err[..]) == (b"out", b"err");
    let is_some = b"out".starts_with(&out) && b"err".starts_with(&err);
    if !(is_all || is_some && may_lose_output(&fault)) {
        return Err(format!("{} and {}", out.escape_ascii(), err.escape_ascii()));
    }
    if end.as_deref() != Some("exit 3") {
        return Err(format!("it ended by {end:?}"));
    }
    drop(exact);
    if faulty.papad.server_pid() != server {
        return Err("the server has ended".to_owned());
    }
    leaves_nothing(faulty, open).map(|()| was_met)
}

fn leaves_nothing(faulty: &Faulty, open: &Open) -> Result<(), String> {
    let is_open = faulty.is_open(open);
    let listed = faulty.exact().ask("list processes");
    if is_open && listed.is_empty() {
        return Ok(());
    }
    Err(format!("left: {listed:?} {:?}", faulty.open()))
}

#[test]
fn output_and_end_come_once_whichever_call_of_the_server_fails() {
    let faulty = Faulty::start();
    let open = faulty.open_without_sessions();
    sweep(Part::Server, &SERVERS, ALL, |fault| live(&faulty, &open, fault));
}

#[test]
fn output_and_end_come_once_whichever_call_of_the_keeper_fails() {
    let faulty = Faulty::start();
    let open = faulty.open_without_sessions();
    sweep(Part::Keeper, &KEEPERS, ALL, |fault| live(&faulty, &open, fault));
}

#[test]
fn an_end_that_cannot_be_recorded_is_recorded_when_there_is_room() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    let made = exact.ask_line("make process p -- /bin/sleep 1000");
    let full = faulty.put(Fault::fail("write", Errno::ENOSPC).at("papad-journal"));
    kill(Pid::from_raw(number_of(&made, "pid") as i32), Signal::SIGKILL).unwrap();
    full.wait_until_met(2);
    exact.ask_for("limit", "set v 1");
    drop(full);
    eventually("its end is told", || exact.ask_line("list processes p").contains(" signal=9 "));
}
