//! Clients for whom the end of a connection is nothing special.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::{BANNER, DEADLINE, Frame, Papad, Stream, Watched};

/// What a reply ends in.
const PROMPT: &[u8] = b"\n> ";

/// What a batch ends in.
const END_OF_BATCH: &[u8] = b"] ";

/// Room for one read, in bytes.
const READ_SIZE: usize = 256 * 1024;

/// The connection has ended before what was waited for came, as it does when the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// One connection.
pub struct Client {
    socket: TcpStream,
    received: Vec<u8>,
    /// So many of them were taken already.
    taken: usize,
}

impl Client {
    /// Connects and waits until papad answers. While there is no server, the connection waits in
    /// the queue of the listening socket.
    pub fn connect(papad: &Papad) -> Result<Self, Gone> {
        let socket = TcpStream::connect(("127.0.0.1", papad.port())).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        socket.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut client = Self { socket, received: Vec::new(), taken: 0 };
        let banner = client.take(BANNER.len())?;
        assert_eq!(banner.escape_ascii().to_string(), BANNER.escape_default().to_string());
        Ok(client)
    }

    /// Sends a line and returns the reply, without the `\n> ` it ends in.
    pub fn ask(&mut self, line: &str) -> Result<String, Gone> {
        self.send(line)?;
        while !self.rest().ends_with(PROMPT) {
            self.receive()?;
        }
        let reply = self.take(self.rest().len() - PROMPT.len())?;
        self.take(PROMPT.len())?;
        Ok(String::from_utf8(reply).unwrap())
    }

    /// Sends a request in protocol 2, in which a session stays, and returns the first line of the
    /// answer.
    pub fn ask_in_protocol_2(mut self, line: &str) -> Result<String, Gone> {
        self.send("protocol 2")?;
        self.send(line)?;
        assert_eq!(self.take_line()?, "ok 1");
        // Whom one is speaking with.
        self.take_line()?;
        self.take_line()
    }

    /// Sends a line.
    pub fn send(&mut self, line: &str) -> Result<(), Gone> {
        let sent = self.socket.write_all(format!("{line}\n").as_bytes());
        sent.map_err(|error| gone(&error))
    }

    /// Begins to watch `name`; false if it is not there.
    pub fn watch(&mut self, name: &str) -> Result<bool, Gone> {
        self.send(&format!("watch processes {name}"))?;
        let answer = self.take_line()?;
        if answer == "Watching 1" {
            return Ok(true);
        }
        assert_eq!(answer, format!("Error: {name} not found"));
        assert_eq!(self.take(2)?, b"> ");
        Ok(false)
    }

    /// Reads the next batch of a watch, or its end.
    pub fn next_watched(&mut self) -> Result<Watched, Gone> {
        let mut frames = Vec::new();
        loop {
            if self.begins_with(END_OF_BATCH)? {
                self.take(END_OF_BATCH.len())?;
                return Ok(Watched::Batch(frames));
            }
            let line = self.take_line()?;
            let fields: Vec<&str> = line.split(':').collect();
            let (name, time) = match fields.as_slice() {
                [_, name, time, _] => ((*name).to_owned(), time.parse().unwrap()),
                _ => (String::new(), 0.0),
            };
            frames.push(match fields.as_slice() {
                [kind @ ("out" | "err"), _, _, length] => {
                    let stream = if *kind == "out" { Stream::Out } else { Stream::Err };
                    let data = self.take(length.parse().unwrap())?;
                    assert_eq!(self.take(1)?, b"\n");
                    Frame::Output { stream, name, time, data }
                }
                ["closed", _, _, code] => Frame::Closed { name, time, code: code.parse().unwrap() },
                _ => {
                    assert!(frames.is_empty(), "{line:?} came between frames");
                    assert_eq!(self.take(2)?, b"> ");
                    return Ok(Watched::Ended(line));
                }
            });
        }
    }

    /// Closes the connection, whatever it was in the middle of, and waits until papad has let go of
    /// it, too: until then this is one more watcher for which output is kept.
    pub fn leave(mut self) {
        // Where the server is gone already, so is the connection.
        let _ = self.socket.shutdown(Shutdown::Write);
        while let Ok(()) = self.receive() {
            self.taken = self.received.len();
        }
    }

    fn rest(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    fn begins_with(&mut self, wanted: &[u8]) -> Result<bool, Gone> {
        while self.rest().len() < wanted.len() {
            self.receive()?;
        }
        Ok(self.rest().starts_with(wanted))
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, Gone> {
        while self.rest().len() < length {
            self.receive()?;
        }
        let taken = self.rest()[..length].to_vec();
        self.taken += length;
        Ok(taken)
    }

    fn take_line(&mut self) -> Result<String, Gone> {
        let mut searched = 0;
        loop {
            let end = self.rest()[searched..].iter().position(|&byte| byte == b'\n');
            if let Some(end) = end {
                let line = self.take(searched + end)?;
                self.taken += 1;
                return Ok(String::from_utf8(line).unwrap());
            }
            searched = self.rest().len();
            self.receive()?;
        }
    }

    fn receive(&mut self) -> Result<(), Gone> {
        self.received.drain(..self.taken);
        self.taken = 0;
        let before = self.received.len();
        self.received.resize(before + READ_SIZE, 0);
        let result = self.socket.read(&mut self.received[before..]);
        self.received.truncate(before + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => Err(Gone),
            Ok(_) => Ok(()),
            Err(error) => Err(gone(&error)),
        }
    }
}

fn gone(error: &std::io::Error) -> Gone {
    let expected = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(expected.contains(&error.kind()), "papad does not answer: {error}");
    Gone
}

/// An answer that was waited for through any number of kills.
#[derive(Debug)]
pub struct Reply {
    /// The reply without the `\n> ` it ends in.
    pub text: String,
    /// It was asked before and not answered, so what was asked for may have been done already.
    pub repeated: bool,
}

/// A client that connects again whenever its connection has ended.
pub struct Patient<'a> {
    papad: &'a Papad,
    client: Option<Client>,
}

impl<'a> Patient<'a> {
    /// One that is not connected yet.
    #[must_use]
    pub fn new(papad: &'a Papad) -> Self {
        Self { papad, client: None }
    }

    /// Does something with a connection, once. If that ended meanwhile, the next call gets another.
    pub fn once<T>(&mut self, act: impl FnOnce(&mut Client) -> Result<T, Gone>) -> Result<T, Gone> {
        let mut client = loop {
            let client = self.client.take().map_or_else(|| Client::connect(self.papad), Ok);
            if let Ok(client) = client {
                break client;
            }
        };
        let done = act(&mut client)?;
        self.client = Some(client);
        Ok(done)
    }

    /// Closes the connection, whatever it was in the middle of; see [`Client::leave`].
    pub fn leave(&mut self) {
        if let Some(client) = self.client.take() {
            client.leave();
        }
    }

    /// Asks until there is an answer.
    pub fn ask(&mut self, line: &str) -> Reply {
        let mut repeated = false;
        loop {
            match self.once(|client| client.ask(line)) {
                Ok(text) => return Reply { text, repeated },
                Err(Gone) => repeated = true,
            }
        }
    }

    /// Asks in protocol 2, each time in a session of its own, until there is an answer, and returns
    /// its first line.
    pub fn ask_in_protocol_2(&self, line: &str) -> String {
        loop {
            let client = Client::connect(self.papad);
            if let Ok(answer) = client.and_then(|client| client.ask_in_protocol_2(line)) {
                return answer;
            }
        }
    }
}
