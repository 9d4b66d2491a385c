//! A session of lines, as telnet has it: for what is measured of single requests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The longest that anybody may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is read at once.
const BLOCK: usize = 64 << 10;

/// A connection to a port of this machine.
#[derive(Debug)]
pub(crate) struct Lines {
    stream: BufReader<TcpStream>,
}

impl Lines {
    pub(crate) fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("connecting")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// A session of papad's protocol 2.
    pub(crate) fn exact(port: u16) -> Result<Self> {
        let mut lines = Self::connect(port)?;
        lines.read_until("> ")?;
        lines.ask("protocol 2\n")?;
        Ok(lines)
    }

    pub(crate) fn send(&mut self, text: &str) -> Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).context("sending")
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            bail!("the connection has ended");
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// Sends a request of protocol 2 and returns the lines of its answer.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<String>> {
        self.send(request)?;
        self.answer()
    }

    /// The answer to the oldest request that has none yet.
    pub(crate) fn answer(&mut self) -> Result<Vec<String>> {
        let first = self.line()?;
        let Some(count) = first.strip_prefix("ok ") else { bail!("{first}") };
        (0..count.parse::<usize>()?).map(|_| self.line()).collect()
    }

    /// Reads up to this text, which papa 1.0 ends each reply with.
    pub(crate) fn read_until(&mut self, end: &str) -> Result<Vec<u8>> {
        let mut read = Vec::new();
        let mut buffer = vec![0; BLOCK];
        while !read.ends_with(end.as_bytes()) {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                bail!("the connection has ended");
            }
            read.extend_from_slice(&buffer[..count]);
        }
        Ok(read)
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}
