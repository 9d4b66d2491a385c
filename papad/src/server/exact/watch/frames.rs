//! Frames as protocol 2 writes them.

use papa_protocol::exact::{self, Frame};
use papa_protocol::frame::Time;

use crate::processes::{Exit, Frames, Piece, Process};

/// Appends them to what is sent.
pub(super) struct Streamed<'a>(pub(super) &'a mut Vec<u8>);

impl Frames for Streamed<'_> {
    fn batch(&mut self) -> &mut Vec<u8> {
        self.0
    }

    fn begin_output(&mut self, process: &Process, piece: Piece) {
        let Piece { stream, time, start, length } = piece;
        exact::write_data(self.0, &process.name, stream, start, time, length);
    }

    fn end_output(&mut self) {}

    fn lost(&mut self, process: &Process, position: u64, bytes: u64) {
        Frame::Lost { name: process.name.clone(), position, bytes }.write(self.0);
    }

    fn closed(&mut self, process: &Process, position: u64, time: Time, exit: Exit) {
        let end = exit.ending.into();
        Frame::Closed { name: process.name.clone(), position, time, end }.write(self.0);
    }
}
