//! A server without a keeper, recovered from what the fuzzer thinks its predecessor has left, and
//! sessions with it. This is a module of papad's `server`, in fuzz builds alone.
//!
//! A session can name any path, and recovery removes the files of sockets whose removal was begun.
//! So all of this is done where there are no files, and no network but an empty one of its own; a
//! program is never started (`sys/child.rs`). That takes root. An input that fails is not written to
//! `fuzz/artifacts`, then, but to `papad-fuzz-PID/artifacts` in the directory for temporary files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, mknod};
use nix::unistd::Uid;
use papa_protocol::exact::{Frame, PROTOCOL, ReplyHead, ServerLine, parse_server_line};
use papa_protocol::frame::{BANNER, Stream, Time};
use papa_protocol::options::Overflow;

use super::Server;
use super::handover;
use super::session::Session;
use crate::cli;
use crate::journal::{Journal, Record};
use crate::link::{Held, Link, Start, ToKeeper};
use crate::ring::Ring;
use crate::sys;

/// Separates what is said before and after the server is killed. It is in no text.
const KILL: u8 = 0xf5;

/// How long a session may take to end after its client has said its last.
const PATIENCE: Duration = Duration::from_millis(100);

/// Two processes with output, one that runs and one that has ended, and a value.
const PROCESSES: &[u8] = b"\x1e1 process 1 5 runs bufsize=8192 -- /bin/cat\n\
    \x1e1 started 1 2147483646\n\
    \x1e1 process 2 6 ended bufsize=8192 overflow=block -- /bin/true\n\
    \x1e1 started 2 2147483645\n\
    \x1e1 exited 2 3 9\n\
    \x1e1 set value text\n";

/// papad was born.
const BORN: &[u8] = b"\x1e1 born 0123456789abcdef 1\n";

/// Whatever a journal says, a server recovers from it; and from the journal that it would write
/// instead, another recovers as the same.
///
/// # Panics
/// If that is not so.
pub fn journal(bytes: &[u8]) {
    run_shut_in(
        |bytes| {
            let (server, keeper) = recover(left(&[bytes, BORN].concat()));
            let records = records(&server);
            let mut held = keeper.end(server);
            held.retain(|name, _| !matches!(name, Held::Journal(_)));
            held.extend(journal_of(&records));
            let (server, keeper) = recover(held);
            assert_same(&self::records(&server), &records);
            keeper.end(server);
        },
        bytes,
    );
}

/// Whatever sessions say, each is answered, and what is true when the server is killed after one is
/// true when the next has recovered. In the first byte of each is how it is cut into pieces.
///
/// # Panics
/// If that is not so.
pub fn sessions(bytes: &[u8]) {
    run_shut_in(
        |bytes| {
            let (mut server, mut keeper) = recover(left(&[BORN, PROCESSES].concat()));
            for said in bytes.split(|&byte| byte == KILL) {
                let Some((&piece, said)) = said.split_first() else { continue };
                let heard = speak(&server, said, usize::from(piece));
                check(said, heard.as_deref());
                let before = records(&server);
                (server, keeper) = recover(keeper.end(server));
                assert_same(&records(&server), &before);
            }
            keeper.end(server);
        },
        bytes,
    );
}

/// Whatever a server that has parted tells of its sessions, the next goes on with them or closes
/// them.
///
/// # Panics
/// If it does neither.
pub fn handover(bytes: &[u8]) {
    run_shut_in(
        |bytes| {
            let (server, keeper) = recover(left(&[BORN, PROCESSES].concat()));
            let file = Journal::with_records(bytes).expect("there is memory");
            let (clients, mut held): (Vec<UnixStream>, HashMap<Held, OwnedFd>) = (1..4)
                .map(|number| {
                    let (client, served) = pair();
                    (client, (Held::Passed(number), served.into()))
                })
                .unzip();
            let sessions = handover::take_up(&server, &file, &mut held).expect("the file is there");
            drop(held);
            let started = sessions.into_iter().map(Session::start);
            assert!(started.into_iter().all(|started| started.is_ok()));
            for mut client in clients {
                // It may be closed already.
                let _ = client.write_all(b"\nstop\nstatus\n");
                let _ = hear(client);
            }
            keeper.end(server);
        },
        bytes,
    );
}

/// What a keeper holds when the journal says this: rings of the first two processes, and sockets.
fn left(records: &[u8]) -> HashMap<Held, OwnedFd> {
    let mut held: HashMap<Held, OwnedFd> = journal_of(records).into();
    for (process, output) in [(1, b"running output\n"), (2, b"its last output")] {
        let mut ring = Ring::create(8192).expect("there is memory");
        let (reader, writer) = nix::unistd::pipe().expect("there are descriptors");
        File::from(writer).write_all(output).expect("a pipe has room");
        let filled = ring.fill(reader, Stream::Out, Time(7), Overflow::Drop, 0);
        assert!(filled.is_ok());
        let file = ring.as_file().try_clone_to_owned().expect("there are descriptors");
        held.insert(Held::Ring(process), file);
    }
    for socket in 1..3 {
        held.insert(Held::Socket(socket), pair().0.into());
    }
    held
}

fn journal_of(records: &[u8]) -> [(Held, OwnedFd); 1] {
    let file = Journal::with_records(records).expect("there is memory");
    [(Held::Journal(1), file.into())]
}

/// A keeper that holds, and does no more.
struct Keeper(JoinHandle<HashMap<Held, OwnedFd>>);

impl Keeper {
    /// The server is over, as by SIGKILL. What was held stays.
    fn end(self, server: Arc<Server>) -> HashMap<Held, OwnedFd> {
        drop(server);
        // Every session has to be over for that: they have the link, too.
        self.0.join().expect("the keeper does not panic")
    }
}

fn recover(held: HashMap<Held, OwnedFd>) -> (Arc<Server>, Keeper) {
    let Ok(cli::Request::Run(options)) = cli::parse(["--port=0"]) else {
        panic!("a port is an option");
    };
    let start = Start::from_text("1 none 1024 4096 store=0 keepers=1").expect("it can be read");
    let (link, server_end) = Link::pair().expect("there are descriptors");
    let copy = |(name, fd): (&Held, &OwnedFd)| (*name, fd.try_clone().expect("descriptors"));
    let handed = held.iter().map(copy).collect();
    let keeper = Keeper(thread::spawn(move || hold(&link, held)));
    let recovered = Server::recover(&options, Arc::new(Link::new(server_end)), start, handed);
    let (server, _control) = recovered.unwrap_or_else(|error| panic!("not recovered: {error}"));
    (Arc::new(server), keeper)
}

fn hold(link: &Link, mut held: HashMap<Held, OwnedFd>) -> HashMap<Held, OwnedFd> {
    while let Some(message) = link.hear_server().expect("a server speaks as one") {
        match message {
            ToKeeper::Hold(fds, _done) => held.extend(fds),
            ToKeeper::Drop(names, _done) => names.iter().for_each(|name| drop(held.remove(name))),
            _ => {}
        }
    }
    held
}

/// What a compacted journal would say.
fn records(server: &Server) -> Vec<u8> {
    let mut all = server.life.born.record().into_bytes();
    let mut write = |record: Record| {
        all.extend(record.into_bytes());
        Ok(())
    };
    let written = server
        .values
        .write_records(&mut write)
        .and_then(|()| server.sockets.write_records(&mut write))
        .and_then(|()| server.processes.write_records(&mut write));
    written.expect("memory takes it");
    all
}

fn assert_same(now: &[u8], before: &[u8]) {
    assert!(now == before, "{}\n\nand not\n\n{}", now.escape_ascii(), before.escape_ascii());
}

/// A client's end and the server's.
fn pair() -> (UnixStream, UnixStream) {
    let (client, served) = UnixStream::pair().expect("there are descriptors");
    served.set_nonblocking(true).expect("it is a socket");
    (client, served)
}

/// Says this, in pieces of so many bytes; returns all that was answered, `None` if the session had to
/// be hung up on.
fn speak(server: &Arc<Server>, said: &[u8], piece: usize) -> Option<Vec<u8>> {
    // Another session, so that papad does not end with this one if it is idle.
    let _other = server.admit("another".to_owned(), Uid::effective());
    let (mut client, served) = pair();
    let admission =
        server.admit("the fuzzer".to_owned(), Uid::effective()).expect("two are not too many");
    let session = Session::new(
        admission,
        OwnedFd::from(served).into(),
        "the fuzzer".to_owned(),
        nix::unistd::getuid(),
    );
    assert!(session.start().is_ok(), "there are threads");
    let writer = client.try_clone().expect("there are descriptors");
    let hearing = thread::spawn(move || hear(client_of(&mut client)));
    let piece = if piece == 0 { said.len().max(1) } else { piece };
    for piece in said.chunks(piece) {
        if (&writer).write_all(piece).is_err() {
            break;
        }
    }
    // It may have been closed by papad.
    let _ = writer.shutdown(Shutdown::Write);
    let heard = hearing.join().expect("hearing does not panic");
    // One that was hung up on may still be at its last request.
    while server.sessions.count() > 1 {
        thread::sleep(Duration::from_millis(1));
    }
    heard
}

fn client_of(client: &mut UnixStream) -> UnixStream {
    client.try_clone().expect("there are descriptors")
}

/// Hears everything to the end; hangs up if there is none.
fn hear(mut client: UnixStream) -> Option<Vec<u8>> {
    let mut heard = Vec::new();
    let _ = client.set_read_timeout(Some(PATIENCE));
    match client.read_to_end(&mut heard) {
        Ok(_) => Some(heard),
        Err(_) => {
            let _ = client.shutdown(Shutdown::Both);
            None
        }
    }
}

/// Skips what answers telnet's DO and WILL (RFC 854): IAC, WILL, WONT or DONT, and an option.
fn skip_telnet(mut heard: &[u8]) -> &[u8] {
    while let [255, 251 | 252 | 254, _, rest @ ..] = heard {
        heard = rest;
    }
    heard
}

/// A session that begins as one of protocol 2 hears nothing but whole answers and frames, and between
/// them what answers telnet.
fn check(said: &[u8], heard: Option<&[u8]>) {
    let Some(heard) = heard else { return };
    if !said.starts_with(&[PROTOCOL, b"\n"].concat()) {
        return;
    }
    let mut rest = heard.strip_prefix(BANNER).expect("a session begins with the banner");
    let line = |rest: &mut &[u8]| {
        let at = memchr::memchr(b'\n', rest)?;
        let (line, after) = rest.split_at(at);
        *rest = &after[1..];
        Some(line.to_vec())
    };
    rest = skip_telnet(rest);
    while let Some(first) = line(&mut rest) {
        match parse_server_line(&first) {
            Ok(ServerLine::Reply(ReplyHead::Ok(count))) => {
                for _ in 0..count {
                    assert!(line(&mut rest).is_some(), "an answer is cut off");
                }
            }
            Ok(ServerLine::Frame(Frame::Data { length, .. })) => {
                rest = rest.get(length as usize..).expect("output is cut off");
            }
            Ok(_) => {}
            Err(failure) => panic!("{failure}"),
        }
        rest = skip_telnet(rest);
    }
    assert!(rest.is_empty(), "not a line: {}", rest.escape_ascii());
}

type Work = (fn(&[u8]), Vec<u8>);

/// Runs this in a thread without files and without a network, the same one for all.
fn run_shut_in(work: fn(&[u8]), bytes: &[u8]) {
    static THREAD: OnceLock<Mutex<(Sender<Work>, Receiver<()>)>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (send, works) = mpsc::channel::<Work>();
        let (done, receive) = mpsc::channel();
        thread::spawn(move || {
            shut_in();
            for (work, bytes) in works {
                work(&bytes);
                clear();
                if done.send(()).is_err() {
                    return;
                }
            }
        });
        Mutex::new((send, receive))
    });
    let (send, done) = &*thread.lock().expect("a panic ends the process");
    send.send((work, bytes.to_vec())).expect("the thread lives");
    done.recv().expect("the thread lives");
}

/// Takes all files but `/dev/null`, and the network, from this thread and those that it starts.
fn shut_in() {
    // As every server does: it writes to connections that are closed.
    sys::ignore(libc::SIGPIPE).expect("it can be ignored");
    let folder = std::env::temp_dir().join(format!("papad-fuzz-{}", std::process::id()));
    // Where libFuzzer writes what made this thread panic: it does so in the very thread.
    let artifacts = ["sessions", "journal", "handover"].map(|target| format!("artifacts/{target}"));
    for inside in artifacts.iter().map(String::as_str).chain(["dev"]) {
        fs::create_dir_all(folder.join(inside)).expect("a directory for nothing");
    }
    let null = fs::metadata("/dev/null").expect("it is there").rdev();
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    let made = mknod(&folder.join("dev/null"), SFlag::S_IFCHR, mode, null);
    let without = made
        .and_then(|()| unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNET))
        .and_then(|()| nix::unistd::chroot(&folder))
        .and_then(|()| nix::unistd::chdir("/"));
    without.expect("this target shuts itself in, and has to be run as root for that");
}

/// Removes what was left.
fn clear() {
    for entry in fs::read_dir("/").into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
}
