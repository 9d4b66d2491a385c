//! Something at papad's place that speaks protocol 2 as a test has it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use papa_client::Endpoint;
use papad_tests::{BANNER, ScratchDir};

/// What papad says when a session asks to be exact.
const HELLO: &str = "ok 1\nprotocol=2 version=0.1.0 pid=7 id=0123456789abcdef\n";

/// A listener that greets whoever connects. When it is dropped its place is free.
pub(crate) struct StandIn {
    scratch: ScratchDir,
    connections: Arc<AtomicUsize>,
}

/// A connection that was greeted.
pub(crate) struct Guest {
    connection: BufReader<UnixStream>,
}

impl StandIn {
    /// Has each connection served, by its number, one after the other. One that is not returned is
    /// closed.
    pub(crate) fn start(mut serve: impl FnMut(usize, &mut Guest) + Send + 'static) -> Self {
        let scratch = ScratchDir::new();
        let listener = UnixListener::bind(scratch.join("papad")).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let mut guest = Guest { connection: BufReader::new(connection.unwrap()) };
                guest.say(BANNER);
                if guest.hear() == "protocol 2" {
                    guest.say(HELLO);
                    serve(number, &mut guest);
                }
            }
        });
        Self { scratch, connections }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::unix(self.scratch.join("papad"))
    }

    /// How many have connected.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Guest {
    /// The next line; nothing at the end.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        // Whoever has gone says no more.
        let _ = self.connection.read_line(&mut line);
        line.trim_end().to_owned()
    }

    pub(crate) fn say(&mut self, bytes: impl AsRef<[u8]>) {
        // Whoever has gone hears nothing.
        let _ = self.connection.get_ref().write_all(bytes.as_ref());
    }

    /// Hears a line that must begin like this, and answers it.
    pub(crate) fn answer(&mut self, request: &str, answer: &str) {
        let line = self.hear();
        assert!(line.starts_with(request), "{line}");
        self.say(answer);
    }

    /// Waits until the other side has gone.
    pub(crate) fn wait_for_end(&mut self) {
        while !self.hear().is_empty() {}
    }
}
