//! A watcher that knows which bytes must come, through any number of kills: none twice that was
//! acknowledged, none left out, each in its stream.

use super::{Client, Gone, Patient, Random};
use crate::{Frame, Stream, Watched};

/// What a process writes and how it ends.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// All of its stdout.
    pub out: &'a [u8],
    /// All of its stderr.
    pub err: &'a [u8],
    /// Its exit status, or minus the signal.
    pub code: i32,
}

/// How many bytes of each stream came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    out: usize,
    err: usize,
}

impl Place {
    /// Goes on by these bytes; false if others must come here.
    fn pass(&mut self, stream: Stream, data: &[u8], of: &Expected) -> bool {
        let (all, at) = match stream {
            Stream::Out => (of.out, &mut self.out),
            Stream::Err => (of.err, &mut self.err),
        };
        let fits = all[*at..].starts_with(data);
        *at += data.len();
        fits
    }
}

/// Where in its output papad and the watcher are.
struct Watching<'a> {
    name: &'a str,
    expected: Expected<'a>,
    /// What papad has as acknowledged: one place, or two as long as an acknowledgement was sent
    /// and not answered.
    acknowledged: Vec<Place>,
    /// What came since, for each of these.
    places: Vec<Place>,
    /// An acknowledgement of the end was sent: the process may have left the list.
    may_be_gone: bool,
}

/// Watches `name` to its end and leaves it off the list. It acknowledges most batches, and leaves
/// without a word, or stops watching, after others.
///
/// # Panics
/// At the first byte that is not the one that must come, and when it ends otherwise than expected.
#[track_caller]
pub fn watch_to_end(patient: &mut Patient, random: &mut Random, name: &str, expected: Expected) {
    let start = Place { out: 0, err: 0 };
    let acknowledged = vec![start];
    let places = Vec::new();
    let mut watching = Watching { name, expected, acknowledged, places, may_be_gone: false };
    loop {
        match patient.once(|client| watching.watch(client, random)) {
            Ok(After::End) => return,
            Ok(After::Leave) => patient.leave(),
            Ok(After::Pause) | Err(Gone) => {}
        }
    }
}

/// How a watch went on.
enum After {
    /// Nothing is left to watch.
    End,
    /// The watch was stopped by the watcher.
    Pause,
    /// The connection is to be closed in the middle of the watch.
    Leave,
}

impl Watching<'_> {
    fn watch(&mut self, client: &mut Client, random: &mut Random) -> Result<After, Gone> {
        if !client.watch(self.name)? {
            assert!(self.may_be_gone, "{} is lost", self.name);
            return Ok(After::End);
        }
        self.may_be_gone = false;
        self.places.clone_from(&self.acknowledged);
        loop {
            let frames = match client.next_watched()? {
                Watched::Batch(frames) => frames,
                Watched::Ended(reply) if reply == "Stopped watching" => {
                    self.acknowledged.clone_from(&self.places);
                    return Ok(After::Pause);
                }
                Watched::Ended(reply) => {
                    assert_eq!(reply, "Nothing left to watch");
                    assert!(self.may_be_gone, "{reply}, before {} has closed", self.name);
                    return Ok(After::End);
                }
            };
            // What comes after an acknowledgement is the answer to it.
            self.acknowledged.clone_from(&self.places);
            for frame in &frames {
                self.take(frame);
            }
            if random.one_in(20) {
                return Ok(After::Leave);
            }
            self.acknowledged.extend(&self.places);
            self.acknowledged.dedup();
            self.may_be_gone = matches!(frames.last(), Some(Frame::Closed { .. }));
            client.send(if random.one_in(20) { "q" } else { "" })?;
        }
    }

    fn take(&mut self, frame: &Frame) {
        assert_eq!(frame.name(), self.name);
        let (name, expected, before) = (self.name, &self.expected, self.places.clone());
        match frame {
            Frame::Output { stream, data, .. } => {
                self.places.retain_mut(|place| place.pass(*stream, data, expected));
                let start = &data[..data.len().min(100)];
                assert!(
                    !self.places.is_empty(),
                    "{name}, at {before:?}: not these bytes of {stream:?}: {}",
                    start.escape_ascii()
                );
            }
            Frame::Closed { code, .. } => {
                let end = Place { out: expected.out.len(), err: expected.err.len() };
                self.places.retain(|place| *place == end);
                assert_eq!(self.places, [end], "{name} closed, but the rest after {before:?}");
                assert_eq!(*code, expected.code, "{name}");
            }
        }
    }
}
