//! A connection to papad that reads exactly what a test asks for.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{
    self, Shutdown, SockFlag, SockType, SockaddrLike, SockaddrStorage, sockopt,
};
use nix::sys::time::TimeVal;

use crate::exact::Exact;
use crate::{DEADLINE, wait_readable};

/// What a session begins with.
pub const BANNER: &str = "Papa is home. Type \"help\" for commands.\n> ";

/// What a reply ends in.
const PROMPT: &[u8] = b"\n> ";

/// Room for one read, in bytes.
const READ_SIZE: usize = 64 * 1024;

/// Writes `text` as one word of a command: every space becomes `\ `.
#[must_use]
pub fn argument(text: &str) -> String {
    text.replace(' ', "\\ ")
}

/// The words that have a shell run `script`.
#[must_use]
pub fn shell(script: &str) -> String {
    format!("/bin/sh -c {}", argument(script))
}

/// The value of `key` in a line such as `NAME key=value key=value`.
///
/// # Panics
/// When the line has no such key.
#[must_use]
#[track_caller]
pub fn field<'a>(line: &'a str, key: &str) -> &'a str {
    line.split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("no {key}= in: {line}"))
}

/// A connection, over TCP or a Unix socket.
pub struct Session {
    socket: File,
    /// What came and was not yet asked for.
    received: Vec<u8>,
}

impl Session {
    pub(crate) fn tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Each `send` is to leave at once, as one packet.
        stream.set_nodelay(true).unwrap();
        Self::over(stream.into())
    }

    pub(crate) fn unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).unwrap().into())
    }

    /// A connection that the test has made itself.
    #[must_use]
    pub fn over(socket: OwnedFd) -> Self {
        let seconds = i64::try_from(DEADLINE.as_secs()).expect("the deadline is short");
        socket::setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(seconds, 0)).unwrap();
        Self { socket: File::from(socket), received: Vec::new() }
    }

    /// A session in protocol 2 with the same papad, over a connection of its own.
    #[must_use]
    pub fn another(&self) -> Exact {
        let address: SockaddrStorage = socket::getpeername(self.socket.as_raw_fd()).unwrap();
        let family = address.family().expect("a connection is of a family");
        let socket =
            socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        socket::connect(socket.as_raw_fd(), &address).unwrap();
        Exact::over(socket).unwrap()
    }

    /// Sends bytes as they are, in one write where the kernel takes them at once.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// As [`Self::send`], for when papad may close the connection meanwhile.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Ends the sending direction; what papad sends can still be read.
    pub fn finish_sending(&mut self) {
        socket::shutdown(self.socket.as_raw_fd(), Shutdown::Write).unwrap();
    }

    /// Closes the connection, and waits until papad has let go of it, too: until then this is one
    /// more watcher for which output is kept.
    pub fn leave(mut self) {
        self.finish_sending();
        self.read_to_end();
    }

    /// What has come and was not asked for, or else what a single read gives. Empty at the end.
    pub fn read_once(&mut self) -> Vec<u8> {
        if self.received.is_empty() {
            self.receive().unwrap();
        }
        std::mem::take(&mut self.received)
    }

    /// Reads exactly `expected`, and nothing after it.
    ///
    /// # Panics
    /// At the first byte that differs, at an early end, and when nothing comes for the deadline.
    #[track_caller]
    pub fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        loop {
            let so_far = expected.len().min(self.received.len());
            assert!(
                self.received[..so_far] == expected[..so_far],
                "expected: {}\n     got: {}",
                expected.escape_ascii(),
                self.received.escape_ascii()
            );
            if so_far == expected.len() {
                self.received.drain(..so_far);
                return;
            }
            let more = self.receive().unwrap_or(0);
            assert!(
                more > 0,
                "expected: {}\n but end: {}",
                expected.escape_ascii(),
                self.received.escape_ascii()
            );
        }
    }

    /// Sends a line and returns the reply to it, without the `\n> ` it ends in.
    #[track_caller]
    pub fn ask(&mut self, line: impl AsRef<[u8]>) -> String {
        self.send([line.as_ref(), b"\n"].concat());
        self.read_reply()
    }

    /// Sends a line and reads exactly the reply `expected`, which is given without its `\n> `.
    #[track_caller]
    pub fn ask_expecting(&mut self, line: impl AsRef<[u8]>, expected: impl AsRef<[u8]>) {
        self.send([line.as_ref(), b"\n"].concat());
        self.expect([expected.as_ref(), PROMPT].concat());
    }

    /// Sends a line that is to fail, and returns the reason: the reply without `Error: `.
    #[track_caller]
    pub fn ask_for_error(&mut self, line: &str) -> String {
        let reply = self.ask(line);
        match reply.strip_prefix("Error: ") {
            Some(reason) if !reason.trim().is_empty() => reason.to_owned(),
            _ => panic!("{line}\nis to be refused for a reason, but the reply is\n{reply}"),
        }
    }

    /// Reads up to the next `\n> `, which is left out. Nothing may have come after it.
    #[track_caller]
    pub fn read_reply(&mut self) -> String {
        while !self.received.ends_with(PROMPT) {
            let more = self.receive().unwrap();
            assert!(more > 0, "ended within a reply: {}", self.received.escape_ascii());
        }
        self.received.truncate(self.received.len() - PROMPT.len());
        String::from_utf8(std::mem::take(&mut self.received)).unwrap()
    }

    /// Reads up to and with `\n`, which is left out.
    pub fn read_line(&mut self) -> Vec<u8> {
        self.read_line_or(None)
    }

    /// Reads until papad closes the connection. A reset is an end, too: that is what closing with
    /// unread bytes looks like from here.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while let Ok(1..) = self.receive() {}
        std::mem::take(&mut self.received)
    }

    /// Reads that papad has closed the connection, and nothing before that.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "expected the end, but got: {}", rest.escape_ascii());
    }

    /// Reads `length` bytes.
    pub(crate) fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            let more = self.receive().unwrap();
            assert!(more > 0, "ended within {length} bytes of data");
        }
        let rest = self.received.split_off(length);
        std::mem::replace(&mut self.received, rest)
    }

    /// Reads up to and with `\n`, which is left out. A line that begins with `short` ends with it.
    pub(crate) fn read_line_or(&mut self, short: Option<&[u8]>) -> Vec<u8> {
        let mut searched = 0;
        loop {
            if let Some(short) = short.filter(|short| self.received.starts_with(short)) {
                return self.received.drain(..short.len()).collect();
            }
            let end = self.received[searched..].iter().position(|&byte| byte == b'\n');
            if let Some(end) = end {
                let mut line: Vec<u8> = self.received.drain(..=searched + end).collect();
                line.pop();
                return line;
            }
            searched = self.received.len();
            let more = self.receive().unwrap();
            assert!(more > 0, "ended within a line: {}", self.received.escape_ascii());
        }
    }

    /// One read into `received`: how many bytes came, 0 at the end.
    fn receive(&mut self) -> io::Result<usize> {
        assert!(
            wait_readable(&self.socket),
            "nothing came for {DEADLINE:?} after: {}",
            self.received.escape_ascii()
        );
        let before = self.received.len();
        self.received.resize(before + READ_SIZE, 0);
        let result = self.socket.read(&mut self.received[before..]);
        self.received.truncate(before + result.as_ref().copied().unwrap_or(0));
        result
    }
}
