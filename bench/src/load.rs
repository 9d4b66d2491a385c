//! A client that keeps a server busy with one request, over and over.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// A request and its reply, to the byte.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    pub(crate) request: &'static str,
    pub(crate) reply: &'static str,
}

/// How a server is kept busy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Requests of each connection that wait for their reply.
    pub(crate) in_flight: usize,
    /// All in all.
    pub(crate) requests: usize,
}

/// One of the connections.
struct Connection {
    stream: TcpStream,
    /// Requests still to be sent.
    unsent: usize,
    /// Requests that were sent and not answered.
    waiting: usize,
    /// Bytes of the reply that is being received.
    partial: usize,
}

/// Room for the replies of a connection.
const BUFFER: usize = 64 << 10;

impl Load {
    /// Requests a second.
    pub(crate) fn run(
        &self,
        connect: impl Fn() -> Result<TcpStream>,
        exchange: &Exchange,
    ) -> Result<f64> {
        let each = self.requests / self.connections;
        let batch = exchange.request.repeat(self.in_flight);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut connections = Vec::new();
        for number in 0..self.connections {
            let stream = connect()?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            connections.push(Connection { stream, unsent: each, waiting: 0, partial: 0 });
        }
        let began = Instant::now();
        for connection in &mut connections {
            connection.top_up(self.in_flight, exchange, &batch)?;
        }
        let mut busy = self.connections;
        let mut buffer = vec![0; BUFFER];
        let mut events = vec![EpollEvent::empty(); self.connections];
        while busy > 0 {
            // A single connection needs no epoll: reading waits.
            let ready = if self.connections == 1 {
                1
            } else {
                epoll.wait(&mut events, EpollTimeout::NONE)?
            };
            for event in &events[..ready] {
                let connection = connections
                    .get_mut(usize::try_from(event.data())?)
                    .context("an event of nobody")?;
                connection.receive(exchange, &mut buffer)?;
                connection.top_up(self.in_flight, exchange, &batch)?;
                busy -= usize::from(connection.waiting == 0);
            }
        }
        Ok((each * self.connections) as f64 / began.elapsed().as_secs_f64())
    }
}

impl Connection {
    /// Sends until so many are waiting, when at least half of them are answered.
    fn top_up(&mut self, in_flight: usize, exchange: &Exchange, batch: &str) -> Result<()> {
        let room = in_flight - self.waiting;
        if room < in_flight.div_ceil(2) {
            return Ok(());
        }
        let now = room.min(self.unsent);
        self.stream.write_all(&batch.as_bytes()[..now * exchange.request.len()])?;
        self.unsent -= now;
        self.waiting += now;
        Ok(())
    }

    /// Reads replies, which must be what they ought to be.
    fn receive(&mut self, exchange: &Exchange, buffer: &mut [u8]) -> Result<()> {
        let count = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            read => read?,
        };
        ensure!(count > 0, "the connection has ended");
        let reply = exchange.reply.as_bytes();
        let at = self.partial % reply.len();
        let first = (reply.len() - at).min(count);
        let as_expected = buffer[..first] == reply[at..at + first];
        ensure!(as_expected, "an unexpected reply: {}", buffer[..count].escape_ascii());
        let received = self.partial + count;
        self.waiting = self
            .waiting
            .checked_sub(received / reply.len())
            .context("more replies than requests")?;
        self.partial = received % reply.len();
        Ok(())
    }
}
