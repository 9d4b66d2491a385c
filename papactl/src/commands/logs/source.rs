//! What one watcher is told, line by line.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::SystemTime;

use papa_client::{
    Batch, End, ErrorKind, Event, Mode, Name, Papa, ProcessId, ProcessInfo, Stream, Watcher,
};

use super::gate::Gate;
use super::lines::{Assembler, Line, Piece};
use crate::failure::Result;

/// Bytes of batches that wait for the end of a line that begins in them. With more, lines are
/// broken: papad sends no more than a MiB ahead, and would wait for their acknowledgement.
const MAX_HELD: u64 = 512 << 10;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) name: Name,
    pub(super) id: ProcessId,
}

/// Something to show of a process.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) who: Who,
    pub(super) what: What,
}

/// What there is to show.
#[derive(Debug)]
pub(super) enum What {
    Line(Stream, Line),
    /// So many bytes are lost; output goes on at the position.
    Lost {
        position: u64,
        bytes: u64,
    },
    End {
        time: SystemTime,
        end: End,
    },
    Removed,
}

/// Which output is shown, and in which pieces.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) mode: Mode,
    /// One stream alone.
    pub(super) only: Option<Stream>,
    /// Output as it came, and not by lines.
    pub(super) is_raw: bool,
    pub(super) since: Option<SystemTime>,
}

/// Where to begin with a process.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) id: ProcessId,
    /// The position from which papad is to send.
    pub(super) position: u64,
    /// What of that is wanted, of stdout and of stderr.
    pub(super) gates: [Gate; 2],
    /// Its end was shown.
    pub(super) is_over: bool,
}

/// What there is to know of a process that is watched.
#[derive(Debug)]
struct Track {
    who: Who,
    gates: [Gate; 2],
    lines: [Assembler; 2],
    /// The end of what has come.
    position: u64,
    is_over: bool,
}

impl Track {
    fn new(who: Who, place: &Place) -> Self {
        let Place { position, gates, is_over, .. } = *place;
        Self { who, gates, lines: Default::default(), position, is_over }
    }

    /// Shows the lines that have not ended as they are.
    fn flush(&mut self, ready: &mut VecDeque<Entry>) {
        for (stream, lines) in [Stream::Out, Stream::Err].into_iter().zip(&mut self.lines) {
            let line = lines.flush().map(|line| What::Line(stream, line));
            ready.extend(line.map(|what| Entry { who: self.who.clone(), what }));
        }
    }
}

/// Which of what there are two of, for stdout and stderr.
fn of_stream<T>([out, err]: &mut [T; 2], stream: Stream) -> &mut T {
    match stream {
        Stream::Out => out,
        Stream::Err => err,
    }
}

/// What a source's answer is made of, in its order.
#[derive(Debug)]
enum Item {
    Piece(Stream, Piece),
    Lost { position: u64, bytes: u64 },
    End { time: SystemTime, end: End },
    Removed,
}

/// A batch that papad is to keep until all of it was shown.
#[derive(Debug)]
struct Held {
    number: u64,
    bytes: u64,
    batch: Batch,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Entry(Entry),
    /// Nothing yet: wait for the source, which is a descriptor.
    Nothing,
    Finished,
}

/// A watcher of some processes.
#[derive(Debug)]
pub(super) struct Source {
    watcher: Watcher,
    view: View,
    tracks: BTreeMap<ProcessId, Track>,
    /// How far to read; `None`: as long as there are processes.
    until: Option<Vec<ProcessInfo>>,
    queue: VecDeque<(ProcessId, Item)>,
    ready: VecDeque<Entry>,
    /// Batches until now, and those that papad is to keep.
    batches: u64,
    held: VecDeque<Held>,
}

impl Source {
    /// Begins to watch. With `until`, what these processes have written at that moment is read, and
    /// nothing later.
    pub(super) fn start<N: AsRef<[u8]>>(
        papa: &Papa,
        names: &[N],
        view: View,
        places: &BTreeMap<Name, Place>,
        until: Option<Vec<ProcessInfo>>,
    ) -> Result<Self> {
        let mut watch = papa.watch(names).mode(view.mode).follow(until.is_none());
        let mut tracks = BTreeMap::new();
        for (name, place) in places {
            watch = watch.resume_from(name.clone(), place.id, place.position);
            let who = Who { name: name.clone(), id: place.id };
            tracks.insert(place.id, Track::new(who, place));
        }
        let (queue, ready, held) = Default::default();
        let watcher = watch.start()?;
        Ok(Self { watcher, view, tracks, until, queue, ready, batches: 0, held })
    }

    /// Begins to watch one process alone, even if another has replaced it.
    pub(super) fn of_one(
        papa: &Papa,
        info: &ProcessInfo,
        view: View,
        place: Option<&Place>,
        follow: bool,
    ) -> Result<Self> {
        let watch = papa.watch([&info.name]).only(info.id).mode(view.mode).follow(follow);
        let (watch, tracks) = match place {
            None => (watch, BTreeMap::new()),
            Some(place) => {
                let who = Who { name: info.name.clone(), id: info.id };
                let watch = watch.resume_from(info.name.clone(), info.id, place.position);
                (watch, BTreeMap::from([(info.id, Track::new(who, place))]))
            }
        };
        let (queue, ready, held) = Default::default();
        let (watcher, until) = (watch.start()?, (!follow).then(|| vec![info.clone()]));
        Ok(Self { watcher, view, tracks, until, queue, ready, batches: 0, held })
    }

    /// The next entry, if it is there.
    pub(super) fn next(&mut self) -> Result<Next> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Next::Entry(entry));
            }
            if let Some((id, item)) = self.queue.pop_front() {
                self.show(id, item);
            } else if self.is_complete() {
                return Ok(Next::Finished);
            } else if let Some(batch) = self.watcher.try_next()? {
                self.receive(batch);
            } else if !self.watcher.is_finished() {
                return Ok(Next::Nothing);
            }
        }
    }

    /// Everything that [`Self::next`] gave was shown: papad need not keep it any longer.
    pub(super) fn settle(&mut self) {
        if !self.ready.is_empty() || !self.queue.is_empty() {
            return;
        }
        let open = self.tracks.values().flat_map(|track| &track.lines);
        let open = open.filter_map(Assembler::open_batch).min();
        while self.held.front().is_some_and(|held| open.is_none_or(|open| held.number < open)) {
            if let Some(Held { batch, .. }) = self.held.pop_front() {
                batch.acknowledge();
            }
        }
        if self.held.iter().map(|held| held.bytes).sum::<u64>() > MAX_HELD {
            self.flush();
        }
    }

    /// Has the lines that have not ended shown as they are; false if there are none.
    pub(super) fn flush(&mut self) -> bool {
        for track in self.tracks.values_mut() {
            track.flush(&mut self.ready);
        }
        !self.ready.is_empty()
    }

    /// Ends the watch, once papad has heard every acknowledgement: this server of its, or, if that
    /// ends, the next one.
    pub(super) fn stop(self, papa: &Papa) -> Result<()> {
        if self.view.mode != Mode::Take {
            return Ok(());
        }
        let places: Vec<(Name, Place)> = self.places().collect();
        match self.watcher.stop() {
            Err(error) if error.kind() == ErrorKind::Disconnected => {
                places.into_iter().try_for_each(|(name, place)| tell_again(papa, name, &place))
            }
            stopped => Ok(stopped?),
        }
    }

    /// Where another source would go on after all that was shown: a line that has not ended begins
    /// there again.
    pub(super) fn places(&self) -> impl Iterator<Item = (Name, Place)> {
        self.tracks.values().map(|track| {
            let begin = |index: usize| {
                let open = track.lines.get(index).and_then(Assembler::open_position);
                open.unwrap_or(track.position)
            };
            let (out, err) = (begin(0), begin(1));
            let [out_gate, err_gate] = track.gates;
            let place = Place {
                id: track.who.id,
                position: out.min(err),
                gates: [out_gate.at(out), err_gate.at(err)],
                is_over: track.is_over,
            };
            (track.who.name.clone(), place)
        })
    }

    /// Whether all has come that is to be shown.
    fn is_complete(&self) -> bool {
        let has_come = |info: &ProcessInfo| {
            self.tracks.get(&info.id).is_some_and(|track| {
                track.is_over || (info.is_running() && track.position >= info.next)
            })
        };
        let is_all = |infos: &Vec<ProcessInfo>| infos.iter().all(has_come);
        self.watcher.is_finished() || self.until.as_ref().is_some_and(is_all)
    }

    fn receive(&mut self, batch: Batch) {
        self.batches += 1;
        let mut bytes = 0;
        for event in &batch {
            bytes += match event {
                Event::Output { bytes, .. } => bytes.len() as u64,
                _ => 0,
            };
            self.hear(event);
        }
        match self.view.mode {
            Mode::Peek => batch.acknowledge(),
            Mode::Take => self.held.push_back(Held { number: self.batches, bytes, batch }),
        }
    }

    fn hear(&mut self, event: Event<'_>) {
        let id = event.id();
        if let Event::Joined { name, position, .. } = event {
            let who = Who { name: name.clone(), id };
            let place =
                Place { id, position, gates: [Gate::new(0, self.view.since); 2], is_over: false };
            self.tracks.entry(id).or_insert_with(|| Track::new(who, &place));
            return;
        }
        let Some(track) = self.tracks.get_mut(&id).filter(|track| !track.is_over) else {
            return;
        };
        let item = match event {
            Event::Output { stream, position, time, bytes, .. } => {
                track.position = position + bytes.len() as u64;
                if self.view.only.is_some_and(|only| only != stream) {
                    return;
                }
                let offset = of_stream(&mut track.gates, stream).offset(position, time, bytes);
                let wanted = bytes.get(offset..).unwrap_or_default();
                if wanted.is_empty() {
                    return;
                }
                let position = position + offset as u64;
                Item::Piece(stream, Piece::new(position, time, self.batches, wanted.to_vec()))
            }
            Event::Lost { position, bytes, .. } => {
                track.position = position + bytes;
                let [out, err] = track.gates.each_mut().map(|it| it.skip_to(track.position));
                if !out && !err {
                    return;
                }
                Item::Lost { position: track.position, bytes }
            }
            Event::Closed { time, end, .. } => {
                track.is_over = true;
                Item::End { time, end }
            }
            Event::Removed { .. } => {
                track.is_over = true;
                Item::Removed
            }
            _ => return,
        };
        self.queue.push_back((id, item));
    }

    /// Makes entries of an item. One whose output is not used up stays the next.
    fn show(&mut self, id: ProcessId, item: Item) {
        let Some(track) = self.tracks.get_mut(&id) else {
            return;
        };
        let what = match item {
            Item::Piece(stream, piece) if self.view.is_raw => What::Line(stream, piece.into_line()),
            Item::Piece(stream, mut piece) => {
                let Some(line) = of_stream(&mut track.lines, stream).next(&mut piece) else {
                    return;
                };
                self.queue.push_front((id, Item::Piece(stream, piece)));
                What::Line(stream, line)
            }
            Item::Lost { position, bytes } => {
                track.flush(&mut self.ready);
                What::Lost { position, bytes }
            }
            Item::End { time, end } => {
                track.flush(&mut self.ready);
                What::End { time, end }
            }
            Item::Removed => {
                track.flush(&mut self.ready);
                What::Removed
            }
        };
        let is_last = matches!(what, What::End { .. } | What::Removed);
        self.ready.push_back(Entry { who: track.who.clone(), what });
        if is_last && self.until.is_none() {
            // Nothing more comes of it, and there may be many of them.
            self.tracks.remove(&id);
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watcher.as_fd()
    }
}
/// Acknowledges what was shown of a process to a server that may not have heard of it.
fn tell_again(papa: &Papa, name: Name, place: &Place) -> Result<()> {
    let watch = papa.watch([&name]).only(place.id).follow(false);
    let watch = watch.resume_from(name, place.id, place.position);
    let mut watcher = match watch.start() {
        // Its end was heard.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        watcher => watcher?,
    };
    if place.is_over {
        for batch in watcher.by_ref() {
            let batch = batch?;
            // A new process of the name is nobody's to take here.
            if batch.iter().all(|event| event.id() == place.id) {
                batch.acknowledge();
            }
        }
    }
    Ok(watcher.stop()?)
}
