//! A process and those who watch it: each is sent what it has not had, and acknowledges it.

use std::io;
use std::sync::Arc;

use papa_protocol::frame::Time;

use super::{Exit, Life, Next, Process};
use crate::log;
use crate::processes::output::Piece;
use crate::processes::reader::{Place, ReaderId, Wants};
use crate::processes::table::shown;
use crate::processes::waker::Waker;

/// Why a process has no new reader.
#[derive(Debug)]
pub(crate) enum NoReader {
    /// Its output is not recorded any more.
    Removed,
    /// It has not written as much as the reader has read.
    BeyondEnd,
    Failed(io::Error),
}

/// What a watching session is to do about one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// So many bytes of output; there may be more.
    Output(u64),
    /// So many bytes of output, and the end of the process.
    End(u64),
    Nothing,
    /// Its output is recorded no more, so there will never be anything.
    Removed,
}

/// How what a reader is sent is written, in one dialect or the other.
pub(crate) trait Frames {
    /// Where frames are written to.
    fn batch(&mut self) -> &mut Vec<u8>;
    /// Begins a frame of output; its bytes are appended next.
    fn begin_output(&mut self, process: &Process, piece: Piece);
    /// Ends a frame of output.
    fn end_output(&mut self);
    /// Output that the reader was not sent is kept no more: where it began, and its bytes.
    fn lost(&mut self, process: &Process, position: u64, bytes: u64);
    /// The end of the process, after all of its output.
    fn closed(&mut self, process: &Process, position: u64, time: Time, exit: Exit);
}

impl Process {
    /// Adds a reader; tells where it begins, and what has to be done then.
    pub(crate) fn attach(
        &self,
        waker: Arc<Waker>,
        wants: Wants,
    ) -> Result<(ReaderId, u64, Next), NoReader> {
        let mut state = self.lock();
        if state.removed {
            return Err(NoReader::Removed);
        }
        let attached = state.output.attach(waker, wants).map_err(NoReader::Failed)?;
        let (reader, start) = attached.ok_or(NoReader::BeyondEnd)?;
        Ok((reader, start, state.next()))
    }

    /// Adds a reader that another server had, and that had come this far there.
    pub(crate) fn attach_again(&self, waker: Arc<Waker>, wants: Wants, place: Place) -> ReaderId {
        self.lock().output.attach_again(waker, wants, place)
    }

    /// How far the reader has come.
    pub(crate) fn place(&self, reader: ReaderId) -> Option<Place> {
        self.lock().output.place(reader)
    }

    /// Appends frames with what the reader was not sent yet, up to `budget` bytes of output and
    /// none after the position `until`.
    pub(crate) fn send(
        &self,
        reader: ReaderId,
        budget: u64,
        until: u64,
        frames: &mut impl Frames,
    ) -> io::Result<Sent> {
        let mut state = self.lock();
        if state.removed {
            return Ok(Sent::Removed);
        }
        let output = &mut state.output;
        let lost = output.skip_lost(reader);
        if let Some((position, bytes)) = lost {
            frames.lost(self, position, bytes);
        }
        let mut sent = 0;
        while let Some(piece) = output.next_piece(reader, budget - sent, until) {
            frames.begin_output(self, piece);
            output.send(reader, piece, frames.batch())?;
            frames.end_output();
            sent += piece.length;
        }
        if let (Life::Exited(exit), Some(time)) = (state.life, state.closed)
            && state.output.awaits_end(reader)
        {
            let (_, end, _) = state.output.extent();
            state.output.send_end(reader);
            frames.closed(self, end, time, exit);
            return Ok(Sent::End(sent));
        }
        Ok(if sent > 0 || lost.is_some() { Sent::Output(sent) } else { Sent::Nothing })
    }

    /// The reader took all that it was sent, the end included.
    pub(crate) fn acknowledge_sent(&self, reader: ReaderId) -> io::Result<Next> {
        let mut state = self.lock();
        state.output.acknowledge_sent(reader)?;
        state.output.acknowledge_end(reader)?;
        Ok(state.next())
    }

    /// The reader took all before this position, or with `None` the end; `None` is answered if it
    /// was not sent that.
    pub(crate) fn acknowledge(
        &self,
        reader: ReaderId,
        position: Option<u64>,
    ) -> io::Result<Option<Next>> {
        let mut state = self.lock();
        let is_taken = match position {
            Some(position) => state.output.acknowledge(reader, position)?,
            None => state.output.acknowledge_end(reader)?,
        };
        Ok(is_taken.then(|| state.next()))
    }

    /// The reader is to be sent again what it has not acknowledged.
    pub(crate) fn send_again(&self, reader: ReaderId) {
        self.lock().output.send_again(reader);
    }

    /// Bytes that the reader was sent and has not acknowledged.
    pub(crate) fn in_flight(&self, reader: ReaderId) -> u64 {
        self.lock().output.in_flight(reader)
    }

    /// Whether takers that another server had are still to come back.
    pub(crate) fn is_waiting(&self) -> bool {
        self.lock().output.is_waiting()
    }

    /// Who has not come back is waited for no more.
    pub(crate) fn stop_waiting(&self) -> io::Result<Next> {
        let mut state = self.lock();
        state.output.stop_waiting()?;
        Ok(state.next())
    }

    /// The reader is gone.
    pub(crate) fn detach(&self, reader: ReaderId) -> Next {
        let mut state = self.lock();
        if let Err(error) = state.output.detach(reader) {
            log::error!("server", "what watchers of {} took is still kept: {error}", shown(self));
        }
        state.next()
    }
}
