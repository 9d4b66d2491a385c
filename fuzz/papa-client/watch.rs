//! A watch over real sockets, with a papad that says what the fuzzer thinks of. This is a module of
//! papa-client's `watch`, in fuzz builds alone.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::task::Poll;
use std::thread::sleep;
use std::time::Duration;

use papa_protocol::frame::BANNER;

use super::batch::Contents;
use super::event::What;
use super::machine::Machine;
use super::{OnDisconnect, WatchBuilder};
use crate::endpoint::Endpoint;
use crate::process::ProcessId;

/// Separates what is said on one connection and on the next.
const HANG_UP: u8 = 0xf5;

/// Connections that are made at most: each takes a pause that is longer than the last.
const MOST_CONNECTIONS: usize = 4;

/// The longest of those pauses.
const PAUSE: Duration = Duration::from_millis(20);

const HELLO: &[u8] = b"ok 1\nprotocol=2 version=0.1.0 pid=7 id=0123456789abcdef\n";

/// Whatever papad says, in whatever pieces, and wherever connections end: nothing panics, and the
/// events of each process go on where those before have ended.
///
/// The first byte says what is watched. In the first of each connection is how it is cut into
/// pieces, and whether it begins with a greeting that is none of papad's.
///
/// # Panics
/// If that is not so.
pub fn watch(bytes: &[u8]) {
    let Some((&how, said)) = bytes.split_first() else { return };
    let mut watch = WatchBuilder::new((), if how & 1 == 0 { &["*"][..] } else { &["a", "b*"] });
    if how & 2 != 0 {
        watch = watch.on_disconnect(OnDisconnect::Report);
    }
    if how & 4 != 0 {
        watch = watch.only_exits();
    }
    if how & 8 != 0 {
        watch = watch.mode(super::Mode::Peek);
    }
    let ((), plan) = watch.into_parts().expect("it is a watch");
    let (path, listener) = listener();
    let patience = Duration::from_secs(3600);
    let machine = Machine::new(&Endpoint::unix(path), plan, patience).expect("descriptors");
    let mut watching = Watching { machine, seen: Seen::default(), step: 0 };
    for said in said.split(|&byte| byte == HANG_UP).take(MOST_CONNECTIONS) {
        let Some((&piece, said)) = said.split_first() else { continue };
        let Some(papad) = watching.connect(listener) else { break };
        watching.hear(papad, said, piece);
    }
    while watching.poll() {}
    watching.machine.close();
}

/// Where clients connect to in this process.
fn listener() -> &'static (PathBuf, UnixListener) {
    static LISTENER: OnceLock<(PathBuf, UnixListener)> = OnceLock::new();
    LISTENER.get_or_init(|| {
        let name = format!("papa-client-fuzz-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("the path is free");
        listener.set_nonblocking(true).expect("it is a socket");
        (path, listener)
    })
}

struct Watching {
    machine: Machine,
    seen: Seen,
    step: usize,
}

impl Watching {
    /// papad's end of the next connection, if there is to be one.
    fn connect(&mut self, listener: &UnixListener) -> Option<UnixStream> {
        for _ in 0..PAUSE.as_millis() * 4 {
            self.poll();
            if let Ok((papad, _)) = listener.accept() {
                return Some(papad);
            }
            if self.machine.is_finished() {
                return None;
            }
            sleep(PAUSE / 80);
        }
        None
    }

    fn hear(&mut self, mut papad: UnixStream, said: &[u8], piece: u8) {
        let has_greeting = piece & 0x80 == 0;
        if has_greeting && papad.write_all(&[BANNER, HELLO].concat()).is_err() {
            return;
        }
        let piece = match usize::from(piece & 0x7f) {
            0 => said.len().max(1),
            length => length,
        };
        for piece in said.chunks(piece) {
            while self.poll() {}
            // The client may have hung up; what it says is not read, and fits the socket's buffer.
            if papad.write_all(piece).is_err() {
                break;
            }
        }
        while self.poll() {}
    }

    /// Goes on as far as there is something; false if there is nothing, or an error.
    fn poll(&mut self) -> bool {
        match self.machine.poll() {
            Poll::Pending | Poll::Ready(Err(_)) => return false,
            Poll::Ready(Ok(())) => {}
        }
        let Some((number, contents)) = self.machine.take() else { return false };
        self.seen.see(number, &contents);
        self.step += 1;
        // A manager acknowledges most, holds some, and drops one now and then.
        match self.step % 4 {
            0 if self.seen.is_first_sight(number) => self.machine.put_back(number, contents),
            1 => {}
            _ => {
                self.machine.acknowledge(number);
                self.machine.give_back(contents.buffer);
            }
        }
        true
    }
}

/// What a manager was told.
#[derive(Default)]
struct Seen {
    /// How often each batch was handed out, and what it was.
    batches: BTreeMap<u64, (u32, String)>,
    /// Where the events of each process have got to.
    positions: HashMap<ProcessId, u64>,
}

impl Seen {
    fn is_first_sight(&self, number: u64) -> bool {
        self.batches.get(&number).is_some_and(|(times, _)| *times == 1)
    }

    fn see(&mut self, number: u64, contents: &Contents) {
        let shown = format!("{:?} {:?}", contents.items, contents.buffer);
        if let Some((times, before)) = self.batches.get_mut(&number) {
            *times += 1;
            assert_eq!(*before, shown, "a batch that was dropped comes again as another");
            return;
        }
        assert_eq!(self.batches.keys().next_back().map_or(0, |last| last + 1), number);
        self.batches.insert(number, (1, shown));
        for item in &contents.items {
            self.see_event(item.who.id, &item.what, contents);
        }
    }

    fn see_event(&mut self, id: ProcessId, what: &What, contents: &Contents) {
        let at = self.positions.get(&id).copied();
        match what {
            What::Joined { position, .. } => {
                self.positions.insert(id, *position);
            }
            What::Output { position, range, .. } => {
                assert_eq!(at, Some(*position), "output with a gap before it");
                let bytes = contents.buffer.get(range.clone()).expect("bytes of this batch");
                assert!(!bytes.is_empty());
                self.positions.insert(id, position + bytes.len() as u64);
            }
            What::Lost { position, bytes } => {
                assert_eq!(at, Some(*position), "a loss with a gap before it");
                assert!(*bytes > 0);
                self.positions.insert(id, position + bytes);
            }
            What::Closed { .. } => assert!(at.is_some(), "the end of what nobody was told of"),
            What::Removed => {
                assert!(self.positions.remove(&id).is_some(), "nobody was told of it");
            }
        }
    }
}
