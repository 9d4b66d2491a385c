//! Those who read: the least that one can do for a process's output.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::writing::READY;

/// What a process's output is read into, again from the start when it is full.
const MEMORY: usize = 2 << 20;

/// What the relay reads at once: all that a pipe holds.
const BLOCK: usize = 64 << 10;

/// Events that are taken at once.
const EVENTS: usize = 64;

/// Memory that is filled round and round.
struct Round {
    memory: Vec<u8>,
    at: usize,
    total: usize,
}

impl Round {
    fn new() -> Self {
        Self { memory: vec![0; MEMORY], at: 0, total: 0 }
    }

    /// Reads once. False when there is no more.
    fn fill(&mut self, pipe: &mut File) -> Result<bool> {
        let count = match pipe.read(&mut self.memory[self.at..]) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        self.at = (self.at + count) % MEMORY;
        self.total += count;
        Ok(count > 0)
    }
}

/// Starts a command and returns the pipe that it writes to.
fn start(command: &[OsString]) -> Result<(Child, File)> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().context("no pipe")?;
    Ok((child, File::from(OwnedFd::from(stdout))))
}

pub(super) fn read_loop(command: &[OsString]) -> Result<()> {
    let (mut child, mut pipe) = start(command)?;
    let mut round = Round::new();
    while round.fill(&mut pipe)? {}
    child.wait()?;
    Ok(())
}

pub(super) fn epoll_loop(count: usize, command: &[OsString]) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut processes = Vec::new();
    for number in 0..count {
        let (child, pipe) = start(command)?;
        epoll.add(&pipe, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        processes.push((child, pipe, Round::new()));
    }
    let mut not_ready = count;
    let mut open = count;
    let mut events = [EpollEvent::empty(); EVENTS];
    while open > 0 {
        let found = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..found] {
            let (_, pipe, round) = &mut processes[event.data() as usize];
            let was_ready = round.total >= READY.len();
            if !round.fill(pipe)? {
                epoll.delete(&*pipe)?;
                open -= 1;
            } else if !was_ready && round.total >= READY.len() {
                not_ready -= 1;
                if not_ready == 0 {
                    std::io::stdout().write_all(READY)?;
                }
            }
        }
    }
    for (child, _, _) in &mut processes {
        child.wait()?;
    }
    Ok(())
}

pub(super) fn relay(port: u16, command: &[OsString]) -> Result<()> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_nodelay(true)?;
    let (mut child, mut pipe) = start(command)?;
    let mut block = vec![0; BLOCK];
    loop {
        let count = pipe.read(&mut block)?;
        if count == 0 {
            break;
        }
        connection.write_all(&block[..count])?;
    }
    child.wait()?;
    Ok(())
}
