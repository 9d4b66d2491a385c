//! Shows what processes write, as `tail -f` does, and takes nothing from whoever else reads it.
//!
//! `tail [-n] PATTERN...`: what standard output was shows on standard output, and standard error on
//! standard error. With `-n`, only what is there now.

use std::io::{self, Write};
use std::process::ExitCode;

use papa_client::{Endpoint, Event, Mode, Papa, Stream};

fn main() -> ExitCode {
    let mut patterns: Vec<String> = std::env::args().skip(1).collect();
    let follow = patterns.first().is_none_or(|word| word != "-n");
    if !follow {
        patterns.remove(0);
    }
    match tail(&patterns, follow) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tail: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tail(patterns: &[String], follow: bool) -> Result<(), Box<dyn std::error::Error>> {
    let papa = Papa::connect(&Endpoint::from_env()?)?;
    for batch in papa.watch(patterns).mode(Mode::Peek).follow(follow).start()? {
        let batch = batch?;
        for event in &batch {
            match event {
                Event::Output { stream, bytes, .. } => write(stream, bytes)?,
                Event::Lost { name, bytes, .. } => eprintln!("{name}: {bytes} bytes are lost"),
                Event::Closed { name, end, .. } => eprintln!("{name}: {end}"),
                _ => {}
            }
        }
        io::stdout().flush()?;
        batch.acknowledge();
    }
    Ok(())
}

fn write(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Out => io::stdout().write_all(bytes),
        Stream::Err => io::stderr().write_all(bytes),
    }
}
