//! Waiting until a process says that it is ready, by something that it writes.

use std::time::{Duration, Instant};

use memchr::memmem;
use papa_client::{ErrorKind, Event, Mode, Papa, Process, Stream};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::text;

/// Waits until a process has written this text, from `begun` on. Output that is kept counts; it is
/// only looked at, and stays for others.
///
/// # Errors
/// [`Exit::TOO_LATE`] if that takes longer than `patience`; a failure if the process ends first.
pub(crate) fn wait_for(
    papa: &Papa,
    process: &Process,
    wanted: &str,
    begun: Instant,
    patience: Duration,
) -> Result<()> {
    let (name, id) = (process.name(), process.id());
    let watch = papa.watch([name]).mode(Mode::Peek);
    let watch = watch.resume_from(name.clone(), id, process.info().first);
    let mut watcher = match watch.start() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(ended(process, "")),
        watcher => watcher?,
    };
    let mut search = Search::new(wanted.as_bytes());
    loop {
        let left = patience.saturating_sub(begun.elapsed());
        let Some(batch) = watcher.next_timeout(left)? else {
            if watcher.is_finished() {
                return Err(ended(process, ""));
            }
            if left.is_zero() {
                return Err(too_late(process, wanted, patience));
            }
            continue;
        };
        for event in batch.iter().filter(|event| event.id() == id) {
            match event {
                Event::Output { stream, bytes, .. } if search.see(stream, bytes) => return Ok(()),
                Event::Closed { end, .. } => return Err(ended(process, &format!(" ({end})"))),
                Event::Removed { .. } => return Err(ended(process, "")),
                _ => {}
            }
        }
        batch.acknowledge();
    }
}

fn ended(process: &Process, how: &str) -> Failure {
    let name = process.name();
    let what = format!("{name} has ended{how} before it was ready");
    Failure::new(Exit::FAILED, what)
        .hint(format!("\"papactl logs {name}\" shows what it has written"))
}

fn too_late(process: &Process, wanted: &str, patience: Duration) -> Failure {
    let name = process.name();
    let wanted = text::printable(wanted.as_bytes());
    let what = format!("{name} runs, and has not written \"{wanted}\" within {patience:?}");
    Failure::new(Exit::TOO_LATE, what)
        .hint(format!("\"papactl logs {name}\" shows what it has written"))
}

/// Looks for a text in output that comes in pieces, which are cut anywhere.
struct Search<'a> {
    wanted: &'a [u8],
    /// The end of what was seen of stdout and of stderr, too short to be all of the text.
    ends: [Vec<u8>; 2],
}

impl<'a> Search<'a> {
    fn new(wanted: &'a [u8]) -> Self {
        Self { wanted, ends: Default::default() }
    }

    /// Whether the text is there now.
    fn see(&mut self, stream: Stream, bytes: &[u8]) -> bool {
        let [out, err] = &mut self.ends;
        let seen = match stream {
            Stream::Out => out,
            Stream::Err => err,
        };
        seen.extend_from_slice(bytes);
        if memmem::find(seen, self.wanted).is_some() {
            return true;
        }
        let kept = self.wanted.len().saturating_sub(1).min(seen.len());
        seen.drain(..seen.len() - kept);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_across_pieces_of_one_stream() {
        let mut search = Search::new(b"ready");
        assert!(!search.see(Stream::Out, b"not yet re"));
        assert!(!search.see(Stream::Err, b"ady"));
        assert!(!search.see(Stream::Out, b"a"));
        assert!(search.see(Stream::Out, b"dy\n"));
        assert!(Search::new(b"x").see(Stream::Err, b"x"));
        assert!(search.ends.iter().all(|end| end.len() < 20));
    }
}
