//! A session in protocol 2. It reads words and frames by itself, so that a mistake of papad's in
//! writing them is not mended by the same mistake in reading.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::cmsg_space;
use nix::sys::socket::{
    self, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, recvmsg, sendmsg, sockopt,
};
use nix::sys::time::TimeVal;

use crate::{BANNER, DEADLINE, Papad, Stream, eventually, sys, wait_readable};

/// Room for one read, in bytes.
const READ_SIZE: usize = 256 * 1024;

/// Why a request was refused: the words of an `error` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The second word, for programs.
    pub code: String,
    /// The third, for people.
    pub what: String,
}

/// The lines of an `ok`, or the words of an `error`.
pub type Reply = Result<Vec<String>, Refusal>;

/// What a watching session is sent. Positions and lengths are bytes, times nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the frame's own")]
pub enum Seen {
    /// `data`, and its bytes.
    Data { name: Vec<u8>, stream: Stream, position: u64, time: u64, data: Vec<u8> },
    /// `lost`
    Lost { name: Vec<u8>, position: u64, bytes: u64 },
    /// `closed`; `end` is the last two words, as in `exit 0`.
    Closed { name: Vec<u8>, position: u64, time: u64, end: String },
    /// `joined`
    Joined { name: Vec<u8>, id: u64, pid: i32 },
    /// `removed`
    Removed { name: Vec<u8> },
    /// `end`, with why.
    End(String),
    /// Not a frame: the answer to a request.
    Reply(Reply),
}

/// The words of a line, by the rules of protocol 2.
///
/// # Panics
/// When it is not made of such words.
#[must_use]
#[track_caller]
pub fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let bad = || -> ! { panic!("not made of words: {}", line.escape_ascii()) };
    let mut words = Vec::new();
    let mut rest = line.iter().copied().peekable();
    loop {
        while rest.next_if_eq(&b' ').is_some() {}
        let mut word = Vec::new();
        match rest.next() {
            None => return words,
            Some(b'"') => loop {
                word.push(match rest.next().unwrap_or_else(|| bad()) {
                    b'"' => break,
                    b'\\' => match rest.next().unwrap_or_else(|| bad()) {
                        byte @ (b'\\' | b'"') => byte,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'x' => {
                            let mut digit = || {
                                let digit = rest.next().and_then(|it| char::from(it).to_digit(16));
                                digit.unwrap_or_else(|| bad()) as u8
                            };
                            digit() << 4 | digit()
                        }
                        _ => bad(),
                    },
                    byte @ b' '..=b'~' => byte,
                    _ => bad(),
                });
            },
            Some(first) => {
                word.push(first);
                word.extend(std::iter::from_fn(|| rest.next_if(|&byte| byte != b' ')));
                if !word.iter().all(|byte| matches!(byte, b'!'..=b'~') && !b"\"\\".contains(byte)) {
                    bad();
                }
            }
        }
        if rest.peek().is_some_and(|&byte| byte != b' ') {
            bad();
        }
        words.push(word);
    }
}

/// Any bytes as one word in quotes, with each byte as `\xHH`.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    let escapes: Vec<String> = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    format!("\"{}\"", escapes.concat())
}

/// Text as one word in quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n"))
}

/// The words that have a shell run `script`, with the `--` before them.
#[must_use]
pub fn script(script: &str) -> String {
    format!("-- /bin/sh -c {}", quoted(script))
}

/// The value of `key` in a line of a reply.
///
/// # Panics
/// When the line has no such key, or its value is not UTF-8.
#[must_use]
#[track_caller]
pub fn value_of(line: &str, key: &str) -> String {
    let words = words(line.as_bytes());
    let mut pairs = words.iter().take_while(|word| *word != b"--");
    let value = pairs.find_map(|word| word.strip_prefix(key.as_bytes())?.strip_prefix(b"="));
    let value = value.unwrap_or_else(|| panic!("no {key}= in: {line}"));
    String::from_utf8(value.to_vec()).unwrap()
}

/// The number that `key` is in a line of a reply.
#[must_use]
#[track_caller]
pub fn number_of(line: &str, key: &str) -> u64 {
    value_of(line, key).parse().unwrap()
}

/// A connection that speaks protocol 2.
pub struct Exact {
    socket: File,
    received: Vec<u8>,
    /// So many of them were taken already.
    taken: usize,
    /// Descriptors that came and were not asked for yet.
    descriptors: VecDeque<OwnedFd>,
    hello: String,
}

impl Exact {
    /// A session over TCP.
    #[must_use]
    pub fn tcp(papad: &Papad) -> Self {
        Self::try_tcp(papad).unwrap()
    }

    /// A session over papad's Unix socket.
    #[must_use]
    pub fn unix(papad: &Papad) -> Self {
        Self::over(UnixStream::connect(papad.unix_path()).unwrap().into()).unwrap()
    }

    /// As [`Self::tcp`], for when papad's server may be killed meanwhile.
    pub fn try_tcp(papad: &Papad) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", papad.port()))?;
        stream.set_nodelay(true)?;
        Self::over(stream.into())
    }

    /// Over a connection that the test has made itself.
    pub fn over(socket: OwnedFd) -> io::Result<Self> {
        let seconds = i64::try_from(DEADLINE.as_secs()).expect("the deadline is short");
        socket::setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(seconds, 0))?;
        let mut exact = Self {
            socket: File::from(socket),
            received: Vec::new(),
            taken: 0,
            descriptors: VecDeque::new(),
            hello: String::new(),
        };
        exact.try_send("protocol 2\n")?;
        let banner = exact.try_take(BANNER.len())?;
        assert_eq!(banner.escape_ascii().to_string(), BANNER.escape_default().to_string());
        let mut hello = exact.try_reply()?.expect("papad speaks protocol 2");
        exact.hello = hello.pop().expect("one line");
        Ok(exact)
    }

    /// The line that the session was greeted with.
    #[must_use]
    pub fn hello(&self) -> &str {
        &self.hello
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// As [`Self::send`], for when papad may close the connection meanwhile.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends bytes and with them descriptors.
    pub fn send_with(&mut self, bytes: impl AsRef<[u8]>, descriptors: &[BorrowedFd]) {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let bytes = bytes.as_ref();
        let control = [ControlMessage::ScmRights(&raw)];
        let parts = [IoSlice::new(bytes)];
        let flags = MsgFlags::MSG_NOSIGNAL;
        let sent = sendmsg::<()>(self.socket.as_raw_fd(), &parts, &control, flags, None).unwrap();
        assert_eq!(sent, bytes.len());
    }

    /// Ends the sending direction; what papad sends can still be read.
    pub fn finish_sending(&mut self) {
        socket::shutdown(self.socket.as_raw_fd(), Shutdown::Write).unwrap();
    }

    /// Closes the connection, and waits until papad has let go of it, too: of the session, of what
    /// it watched, and of its descriptors.
    pub fn leave(mut self) {
        self.finish_sending();
        while self.receive().is_ok() {
            self.taken = self.received.len();
        }
    }

    /// The oldest descriptor that came and was not taken.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Reads exactly `expected`, and nothing after it.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.rest().len() < expected.len() && expected.starts_with(self.rest()) {
            let more = self.receive();
            assert!(more.is_ok(), "ended after: {}", self.rest().escape_ascii());
        }
        assert!(
            self.rest().starts_with(expected),
            "expected: {}\n     got: {}",
            expected.escape_ascii(),
            self.rest()[..self.rest().len().min(1000)].escape_ascii()
        );
        self.taken += expected.len();
    }

    /// Reads a line, without its end.
    #[track_caller]
    pub fn next_line(&mut self) -> Vec<u8> {
        self.try_line().unwrap()
    }

    /// Sends a line and reads exactly `expected`.
    #[track_caller]
    pub fn ask_expecting(&mut self, line: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send([line.as_ref(), b"\n"].concat());
        self.expect(expected);
    }

    /// Sends a line and returns the lines of its `ok`.
    #[track_caller]
    pub fn ask(&mut self, line: impl AsRef<[u8]>) -> Vec<String> {
        let line = line.as_ref();
        let reply = self.try_ask(line).unwrap();
        reply.unwrap_or_else(|why| panic!("{}\nis refused: {why:?}", line.escape_ascii()))
    }

    /// As [`Self::ask`] for what is answered by one line.
    #[track_caller]
    pub fn ask_line(&mut self, line: impl AsRef<[u8]>) -> String {
        let mut lines = self.ask(line);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// Sends a line that is to be refused with `code`, and returns the reason.
    #[track_caller]
    pub fn ask_for(&mut self, code: &str, line: impl AsRef<[u8]>) -> String {
        let line = line.as_ref();
        match self.try_ask(line).unwrap() {
            Err(refusal) if refusal.code == code && !refusal.what.is_empty() => refusal.what,
            other => panic!("{}\nis to be refused: {code}\n{other:?}", line.escape_ascii()),
        }
    }

    /// Sends a line and reads its answer.
    pub fn try_ask(&mut self, line: impl AsRef<[u8]>) -> io::Result<Reply> {
        self.try_send([line.as_ref(), b"\n"].concat())?;
        self.try_reply()
    }

    /// Reads an answer.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply().unwrap()
    }

    fn try_reply(&mut self) -> io::Result<Reply> {
        match self.try_next_seen()? {
            Seen::Reply(reply) => Ok(reply),
            frame => panic!("expected an answer, but got {frame:?}"),
        }
    }

    /// Reads what comes next in a watch.
    #[track_caller]
    pub fn next_seen(&mut self) -> Seen {
        self.try_next_seen().unwrap()
    }

    /// As [`Self::next_seen`], for when papad's server may be killed meanwhile.
    pub fn try_next_seen(&mut self) -> io::Result<Seen> {
        let line = self.try_line()?;
        let unknown = || -> ! { panic!("neither an answer nor a frame: {}", line.escape_ascii()) };
        let words = words(&line);
        let name = || words[1].clone();
        let text = |at: usize| String::from_utf8(words[at].clone()).unwrap();
        let number = |at: usize| text(at).parse::<u64>().unwrap_or_else(|_| unknown());
        let kind = words.first().map_or("", |word| str::from_utf8(word).unwrap());
        Ok(match (kind, words.len()) {
            ("ok", 2) => {
                let lines: io::Result<Vec<Vec<u8>>> =
                    (0..number(1)).map(|_| self.try_line()).collect();
                let lines = lines?.into_iter().map(|line| String::from_utf8(line).unwrap());
                Seen::Reply(Ok(lines.collect()))
            }
            ("error", 3) => Seen::Reply(Err(Refusal { code: text(1), what: text(2) })),
            ("data", 6) => {
                let stream = match &words[2][..] {
                    b"out" => Stream::Out,
                    b"err" => Stream::Err,
                    _ => unknown(),
                };
                let (position, time) = (number(3), number(4));
                let data = self.try_take(number(5) as usize)?;
                assert!(!data.is_empty(), "a data frame has data");
                Seen::Data { name: name(), stream, position, time, data }
            }
            ("lost", 4) => Seen::Lost { name: name(), position: number(2), bytes: number(3) },
            ("closed", 6) => {
                let end = format!("{} {}", text(4), number(5));
                Seen::Closed { name: name(), position: number(2), time: number(3), end }
            }
            ("joined", 4) => {
                Seen::Joined { name: name(), id: number(2), pid: text(3).parse().unwrap() }
            }
            ("removed", 2) => Seen::Removed { name: name() },
            ("end", 2) => Seen::End(text(1)),
            _ => unknown(),
        })
    }

    /// Reads that papad has closed the connection, and nothing before that. A reset is an end, too:
    /// that is what closing with unread bytes looks like from here.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        while self.receive().is_ok() {}
        assert!(self.rest().is_empty(), "after the end: {}", self.rest().escape_ascii());
    }

    fn rest(&self) -> &[u8] {
        &self.received[self.taken..]
    }

    fn try_take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.rest().len() < length {
            self.receive()?;
        }
        let taken = self.rest()[..length].to_vec();
        self.taken += length;
        Ok(taken)
    }

    fn try_line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.rest()[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.try_take(searched + at)?;
                self.taken += 1;
                return Ok(line);
            }
            searched = self.rest().len();
            self.receive()?;
        }
    }

    /// One read into `received`; the end of the connection is an error.
    fn receive(&mut self) -> io::Result<()> {
        assert!(
            wait_readable(&self.socket),
            "nothing came for {DEADLINE:?} after: {}",
            self.rest().escape_ascii()
        );
        self.received.drain(..self.taken);
        self.taken = 0;
        let before = self.received.len();
        self.received.resize(before + READ_SIZE, 0);
        let mut control = cmsg_space!([RawFd; 8]);
        let mut parts = [IoSliceMut::new(&mut self.received[before..])];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let read = recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
        let mut came = Vec::new();
        let read = read.and_then(|message| {
            for part in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(raw) = part {
                    came.extend(raw);
                }
            }
            Ok(message.bytes)
        });
        self.received.truncate(before + read.unwrap_or(0));
        self.descriptors.extend(sys::own_received(came));
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Makes a process that writes `text` and waits; returns its pid when that is recorded.
#[track_caller]
pub fn make_writer(exact: &mut Exact, name: &str, text: &str) -> i32 {
    let command = script(&format!("printf %s '{text}'; exec /bin/sleep 1000"));
    let made = exact.ask_line(format!("make process {name} {command}"));
    let next = format!(" next={} ", text.len());
    eventually("it has written", || {
        exact.ask_line(format!("list processes {name}")).contains(&next)
    });
    number_of(&made, "pid") as i32
}

/// Waits until a process has ended and all that it wrote was taken, without acknowledging anything.
/// That it has ended is listed before that: its pipes are read by another thread.
#[track_caller]
pub fn wait_for_end(exact: &mut Exact, name: &str) {
    exact.ask(format!("watch {name} mode=peek data=no"));
    let closed = exact.next_seen();
    assert!(matches!(closed, Seen::Closed { .. }), "{closed:?}");
    assert_eq!(exact.next_seen(), Seen::End("finished".to_owned()));
}

/// The same in a session of its own, of which nothing is left when this returns.
#[track_caller]
pub fn wait_until_closed(papad: &Papad, name: &str) {
    let mut exact = Exact::tcp(papad);
    wait_for_end(&mut exact, name);
    exact.leave();
}

/// Waits until the keeper has dealt with all that the server has told it so far: a socket's removal
/// is answered when the keeper has let go of it, and messages are dealt with in order.
#[track_caller]
pub fn wait_for_keeper(exact: &mut Exact) {
    exact.ask("make socket heard");
    exact.ask("remove sockets heard");
}

/// Reads frames of data until so many bytes have come.
#[track_caller]
pub fn read_data(exact: &mut Exact, length: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        match exact.next_seen() {
            Seen::Data { data, .. } => all.extend(data),
            other => panic!("{other:?} after {}", all.escape_ascii()),
        }
    }
    all
}
