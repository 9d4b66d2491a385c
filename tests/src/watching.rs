//! Reading what a watch sends: batches of frames, each to be acknowledged.

use std::collections::BTreeMap;

use crate::Session;

/// Which of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// stdout
    Out,
    /// stderr
    Err,
}

/// One frame of a batch. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are the frame's own")]
pub enum Frame {
    /// A piece of output.
    Output { stream: Stream, name: String, time: f64, data: Vec<u8> },
    /// The process has ended; `code` is its exit status, or minus the signal.
    Closed { name: String, time: f64, code: i32 },
}

impl Frame {
    /// The process it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Output { name, .. } | Self::Closed { name, .. } => name,
        }
    }

    /// Its time.
    #[must_use]
    pub fn time(&self) -> f64 {
        match self {
            Self::Output { time, .. } | Self::Closed { time, .. } => *time,
        }
    }
}

/// What comes next in a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// Frames, to be acknowledged.
    Batch(Vec<Frame>),
    /// The reply that ends the watch, without its `\n> `.
    Ended(String),
}

/// What was seen of one process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recording {
    /// All of its stdout.
    pub out: Vec<u8>,
    /// All of its stderr.
    pub err: Vec<u8>,
    /// Its exit status, or minus the signal, once it has ended.
    pub code: Option<i32>,
}

impl Recording {
    /// Adds a frame.
    ///
    /// # Panics
    /// When the frame comes after `closed`.
    #[track_caller]
    pub fn add(&mut self, frame: &Frame) {
        assert_eq!(self.code, None, "{frame:?} came after closed");
        match frame {
            Frame::Output { stream: Stream::Out, data, .. } => self.out.extend(data),
            Frame::Output { stream: Stream::Err, data, .. } => self.err.extend(data),
            Frame::Closed { code, .. } => self.code = Some(*code),
        }
    }

    /// stdout as text.
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.out).unwrap()
    }
}

impl Session {
    /// Begins to watch `names`, which are `count` processes.
    #[track_caller]
    pub fn watch(&mut self, names: &str, count: usize) {
        self.send(format!("watch processes {names}\n"));
        self.expect(format!("Watching {count}\n"));
    }

    /// Reads the next batch, or the end of the watch.
    ///
    /// # Panics
    /// When what comes is neither.
    #[track_caller]
    pub fn next_watched(&mut self) -> Watched {
        const END_OF_BATCH: &[u8] = b"] ";
        let mut frames = Vec::new();
        loop {
            let line = self.read_line_or(Some(END_OF_BATCH));
            if line == END_OF_BATCH {
                assert!(!frames.is_empty(), "a batch has at least one frame");
                return Watched::Batch(frames);
            }
            let line = String::from_utf8(line).unwrap();
            match self.read_frame(&line) {
                Some(frame) => frames.push(frame),
                None if frames.is_empty() => {
                    self.expect("> ");
                    return Watched::Ended(line);
                }
                None => panic!("{line:?} came between frames"),
            }
        }
    }

    /// The frame that begins with `line`.
    fn read_frame(&mut self, line: &str) -> Option<Frame> {
        let fields: Vec<&str> = line.split(':').collect();
        let &[kind, name, time, last] = fields.as_slice() else {
            return None;
        };
        let name = name.to_owned();
        assert!(time.contains('.'), "a time has a fraction: {line}");
        let time = time.parse().unwrap();
        let stream = match kind {
            "out" => Stream::Out,
            "err" => Stream::Err,
            "closed" => {
                return Some(Frame::Closed { name, time, code: last.parse().unwrap() });
            }
            _ => return None,
        };
        let length = last.parse().unwrap();
        let data = self.read_bytes(length);
        self.expect("\n");
        Some(Frame::Output { stream, name, time, data })
    }

    /// Reads a batch.
    #[track_caller]
    pub fn read_batch(&mut self) -> Vec<Frame> {
        match self.next_watched() {
            Watched::Batch(frames) => frames,
            Watched::Ended(reply) => panic!("expected a batch, but the watch ended: {reply}"),
        }
    }

    /// Acknowledges the batch that was read.
    pub fn acknowledge(&mut self) {
        self.send("\n");
    }

    /// Reads and acknowledges until nothing is left to watch: what was seen, by process.
    #[track_caller]
    pub fn watch_on(&mut self) -> BTreeMap<String, Recording> {
        let mut seen: BTreeMap<String, Recording> = BTreeMap::new();
        loop {
            match self.next_watched() {
                Watched::Batch(frames) => {
                    for frame in &frames {
                        seen.entry(frame.name().to_owned()).or_default().add(frame);
                    }
                    self.acknowledge();
                }
                Watched::Ended(reply) => {
                    assert_eq!(reply, "Nothing left to watch");
                    return seen;
                }
            }
        }
    }

    /// Makes the process `p` of `what`, which is options and a command, and watches it to its end.
    #[track_caller]
    pub fn run(&mut self, what: &str) -> Recording {
        let made = self.ask(format!("make process p {what}"));
        assert!(made.starts_with("p pid="), "{what}\nis not made: {made}");
        self.watch("p", 1);
        self.watch_on().remove("p").expect("what is watched is seen")
    }
}
