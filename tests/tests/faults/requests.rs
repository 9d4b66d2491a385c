//! Each request, with each of the calls on its way failing once: the first one, the second, and so
//! on, until the request does not come to so many.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use papad_tests::exact::{Exact, Reply, Seen, make_writer, number_of, wait_for_keeper};
use papad_tests::{Fault, Part, eventually};

use crate::faulty::Faulty;

/// What calls fail with for want of something, or because a signal came. `execve` and what else the
/// child does is between clone and exec.
const FAILURES: [(&str, &str, &[Errno]); 35] = [
    ("bind", "socket:", &[Errno::ENOMEM]),
    ("clone", "", &[Errno::EAGAIN, Errno::ENOMEM]),
    ("close_range", "", &[Errno::ENOMEM, Errno::EMFILE]),
    ("connect", "socket:", &[Errno::ENOMEM]),
    ("epoll_ctl", "", &[Errno::ENOMEM, Errno::ENOSPC]),
    ("epoll_wait", "", &[Errno::EINTR]),
    ("eventfd", "", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM]),
    ("execve", "/bin/", &[Errno::ENOMEM, Errno::EAGAIN]),
    ("fallocate", "papad-ring", &[Errno::ENOMEM, Errno::ENOSPC, Errno::EINTR]),
    ("fcntl", "", &[Errno::EMFILE, Errno::ENOMEM]),
    ("ftruncate64", "papad-ring", &[Errno::ENOSPC, Errno::EINTR]),
    ("listen", "socket:", &[Errno::ENOBUFS]),
    ("lseek64", "papad-ring", &[Errno::ENOMEM]),
    ("mmap", "papad-journal", &[Errno::ENOMEM]),
    ("memfd_create", "papad-ring", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM]),
    ("open64", "", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EINTR]),
    ("openat", "", &[Errno::EMFILE, Errno::ENFILE]),
    ("pipe2", "", &[Errno::EMFILE, Errno::ENFILE]),
    ("poll", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("pread64", "papad-journal", &[Errno::ENOMEM, Errno::EINTR]),
    ("pthread_create", "", &[Errno::EAGAIN]),
    ("pwrite64", "papad-ring", &[Errno::ENOSPC, Errno::ENOMEM]),
    ("read", "", &[Errno::EINTR]),
    ("read", "pipe:", &[Errno::ENOMEM]),
    ("recvmsg", "", &[Errno::EINTR, Errno::ENOMEM]),
    ("sendmsg", "", &[Errno::EINTR]),
    ("sendmsg", ":seqpacket", &[Errno::ENOMEM, Errno::ENOBUFS, Errno::ETOOMANYREFS]),
    ("sendmsg", ":stream", &[Errno::ENOMEM, Errno::ENOBUFS]),
    ("setresuid", "", &[Errno::EAGAIN]),
    ("socket", "", &[Errno::EMFILE, Errno::ENFILE, Errno::ENOBUFS]),
    ("splice", "papad-ring", &[Errno::EINTR, Errno::ENOMEM, Errno::ENOSPC]),
    ("unshare", "", &[Errno::ENOMEM]),
    ("write", "", &[Errno::EINTR]),
    ("write", "papad-journal", &[Errno::ENOSPC, Errno::ENOMEM]),
    ("write", ":stream", &[Errno::ENOMEM, Errno::ENOBUFS]),
];

/// A request, and what is to be found when it is done, or is not.
struct Request {
    name: &'static str,
    ask: fn(&Faulty, &mut Exact) -> io::Result<Reply>,
    /// Whether it changes anything.
    changes: bool,
    /// Whether it is done.
    is_done: fn(&mut Exact) -> bool,
    /// Makes it as it was before, done or not.
    undo: fn(&mut Exact),
}

fn has(exact: &mut Exact, list: &str) -> bool {
    !exact.ask(list).is_empty()
}

fn set(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    exact.try_ask("set v 1")
}

fn unset(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    exact.try_ask("unset kept")
}

fn socket(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    exact.try_ask("make socket s")
}

/// Where the file of a Unix socket is while there is one.
fn path(faulty: &Faulty) -> String {
    faulty.scratch.join("socket")
}

fn unix_socket(faulty: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    exact.try_ask(format!("make socket s path={} umask=077", path(faulty)))
}

fn remove_socket(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    exact.try_ask("remove sockets kept")
}

fn process(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    // To become who one is already is a step, too.
    let uid = if geteuid().is_root() { "uid=0" } else { "" };
    exact.try_ask(format!("make process p {uid} -- /bin/sleep 1000"))
}

fn adopt(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    exact.send_with("adopt socket s\n", &[listener.as_fd()]);
    match exact.try_next_seen()? {
        Seen::Reply(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

fn fetch(_: &Faulty, exact: &mut Exact) -> io::Result<Reply> {
    let reply = exact.try_ask("fetch socket kept")?;
    let came = exact.take_descriptor();
    assert_eq!(came.is_some(), reply.is_ok(), "{reply:?}");
    Ok(reply)
}

/// Stores a value so long that the journal has no room left for the next one.
fn take_room(exact: &mut Exact) {
    exact.ask(format!("set long {}", "1".repeat(2000)));
}

fn end_process(exact: &mut Exact) {
    if let [line] = &exact.ask("list processes p")[..] {
        kill(Pid::from_raw(number_of(line, "pid") as i32), Signal::SIGKILL).unwrap();
        exact.ask("remove processes p");
        eventually("it is gone", || !has(exact, "list processes p"));
    }
}

const SET: Request = Request {
    name: "set",
    ask: set,
    changes: true,
    is_done: |exact| has(exact, "list values v"),
    undo: |exact| {
        let _ = exact.try_ask("unset v");
        take_room(exact);
    },
};

const UNSET: Request = Request {
    name: "unset",
    ask: unset,
    changes: true,
    is_done: |exact| !has(exact, "list values kept"),
    undo: |exact| {
        exact.ask("set kept 1");
        take_room(exact);
    },
};

const MAKE_SOCKET: Request = Request {
    name: "make socket",
    ask: socket,
    changes: true,
    is_done: |exact| has(exact, "list sockets s"),
    undo: |exact| drop(exact.try_ask("remove sockets s")),
};

const MAKE_UNIX_SOCKET: Request =
    Request { name: "make socket path=", ask: unix_socket, ..MAKE_SOCKET };

const REMOVE_SOCKET: Request = Request {
    name: "remove sockets",
    ask: remove_socket,
    changes: true,
    is_done: |exact| !has(exact, "list sockets kept"),
    undo: |exact| drop(exact.ask("make socket kept")),
};

const MAKE_PROCESS: Request = Request {
    name: "make process",
    ask: process,
    changes: true,
    is_done: |exact| has(exact, "list processes p"),
    undo: end_process,
};

const ADOPT_SOCKET: Request = Request { name: "adopt socket", ask: adopt, ..MAKE_SOCKET };

const FETCH_SOCKET: Request =
    Request { name: "fetch socket", ask: fetch, changes: false, is_done: |_| true, undo: |_| {} };

/// More calls of one kind than a request makes.
const MANY: u64 = 100;

/// What papad holds that requests are about.
fn lists(exact: &mut Exact) -> [Vec<String>; 3] {
    ["values", "sockets", "processes"].map(|what| exact.ask(format!("list {what}")))
}

/// Has a request meet this fault, and sees that what papad answers is true, also for the next server
/// if this one is killed. Returns whether the request came to meet it.
fn meet(
    faulty: &Faulty,
    request: &Request,
    fault: Fault,
    other: &mut Exact,
    and_kill: bool,
) -> Result<bool, String> {
    let mut asking = Exact::unix(&faulty.papad);
    asking.ask("get kept");
    let in_force = faulty.put(fault);
    let reply = (request.ask)(faulty, &mut asking);
    let was_met = in_force.met() > 0;
    drop(in_force);
    let is_done = (request.is_done)(other);
    if matches!(reply, Ok(Err(_))) && fs::remove_file(path(faulty)).is_ok() {
        return Err(format!("a file is left: {reply:?}"));
    }
    match &reply {
        Ok(Ok(_)) if !is_done => return Err("it is said to be done, and is not".to_owned()),
        Ok(Err(refusal)) if is_done && request.changes => {
            return Err(format!("it is done, and refused: {refusal:?}"));
        }
        Ok(Err(refusal)) if refusal.code != "limit" => return Err(format!("{refusal:?}")),
        Err(error) => return Err(format!("the session is closed: {error}")),
        Ok(_) => {}
    }
    drop(asking);
    if and_kill && was_met {
        let before = lists(other);
        faulty.papad.kill_server();
        *other = faulty.exact();
        let after = lists(other);
        if after != before {
            return Err(format!("the next server has {after:?} instead of {before:?}"));
        }
    }
    (request.undo)(other);
    Ok(was_met)
}

/// Has a request meet every fault of every kind.
fn sweep(request: &Request) {
    let faulty = Faulty::start();
    let mut other = faulty.exact();
    other.ask("set kept 1");
    other.ask("make socket kept");
    make_writer(&mut other, "resident", "kept");
    // A server that recovered, as those after it, and that no session has left yet.
    faulty.papad.kill_server();
    other = faulty.exact();
    wait_for_keeper(&mut other);
    let open = faulty.open();
    let mut failures = Vec::new();
    let mut faults_met = 0;
    for (call, place, errnos) in FAILURES {
        for (at, errno) in errnos.iter().enumerate() {
            let mut server = number_of(&other.ask("status")[0], "server");
            for after in 0..MANY {
                let fault = Fault::fail(call, *errno).at(place).after(after).once();
                let and_kill = at == 0 && after == 0;
                match meet(&faulty, request, fault, &mut other, and_kill) {
                    Ok(false) => break,
                    Ok(true) => faults_met += 1,
                    Err(why) => {
                        failures.push(format!("{fault}: {why}"));
                        (request.undo)(&mut other);
                    }
                }
                let now = number_of(&other.ask("status")[0], "server");
                if now != server && !and_kill {
                    failures.push(format!("{fault}: the server has ended"));
                }
                server = now;
                if !faulty.is_open(&open) {
                    failures.push(format!("{fault}: left open: {:?}", faulty.open()));
                    break;
                }
            }
        }
    }
    assert!(faults_met > 5, "{faults_met}");
    assert!(failures.is_empty(), "{}: {failures:#?}\n{}", request.name, faulty.papad.log());
}

#[test]
fn what_changes_values_is_done_or_refused() {
    sweep(&SET);
    sweep(&UNSET);
}

#[test]
fn what_changes_sockets_is_done_or_refused() {
    sweep(&MAKE_SOCKET);
    sweep(&MAKE_UNIX_SOCKET);
    sweep(&REMOVE_SOCKET);
}

#[test]
fn a_process_is_made_or_refused() {
    sweep(&MAKE_PROCESS);
}

#[test]
fn a_descriptor_passes_or_is_refused() {
    sweep(&ADOPT_SOCKET);
    sweep(&FETCH_SOCKET);
}

/// An interruption was taken for a sign of life.
#[test]
fn a_stale_file_is_told_from_a_live_one_though_the_look_is_interrupted() {
    let faulty = Faulty::start();
    drop(UnixListener::bind(path(&faulty)).unwrap());
    let interrupted = faulty.put(Fault::fail("connect", Errno::EINTR).of(Part::Server).times(2));
    let mut exact = faulty.exact();
    exact.ask(format!("make socket s path={}", path(&faulty)));
    assert_eq!(interrupted.met(), 2);
    UnixStream::connect(path(&faulty)).unwrap();
}
