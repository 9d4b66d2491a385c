//! Connects, sends what comes from standard input, and writes what comes back: for guests that only a
//! process of their own can be. `guest tcp PORT` or `guest unix PATH`.
#![allow(clippy::unwrap_used)]

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().collect();
    let [_, how, whereto] = &args[..] else { panic!("guest tcp PORT or guest unix PATH") };
    let mut connection = File::from(match how.as_str() {
        "tcp" => OwnedFd::from(TcpStream::connect(("127.0.0.1", whereto.parse().unwrap()))?),
        _ => OwnedFd::from(UnixStream::connect(whereto)?),
    });
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    io::stdin().read_to_end(&mut said)?;
    // Whoever is refused is not listened to.
    let _ = connection.write_all(&said);
    let _ = connection.read_to_end(&mut heard);
    io::stdout().write_all(&heard)
}
