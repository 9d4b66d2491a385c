//! How much memory a ring holds, and giving some of it back while output is kept.
//!
//! Pages stay in memory from when they are first written until they are given back: those behind
//! output that was acknowledged, too, until all of it is. So what is held follows from where the
//! pages begin, without asking the system at each write.

use std::io;

use super::file::{PAGE, SCRATCH};
use super::{Chunk, Ring};
use crate::sys;

/// What of a ring may be in memory, up to its end and apart from its header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resident {
    /// The position of the first byte whose page may be, and the number of the first chunk.
    position: u64,
    number: u64,
    pub(super) has_scratch: bool,
}

impl Ring {
    /// Bytes of memory that the ring holds: the pages of its file, and the server's list of chunks.
    pub(crate) fn held(&self) -> u64 {
        let Resident { position, number, has_scratch } = self.resident;
        let data = self.file.data_pages(position, self.end);
        let index = self.file.index_pages(number, self.next_number());
        let scratch = if has_scratch { SCRATCH } else { 0 };
        let chunks = self.chunks.len() * size_of::<Chunk>();
        PAGE + data + index + scratch + chunks as u64
    }

    fn next_number(&self) -> u64 {
        self.first_number + self.chunks.len() as u64
    }

    /// Notes that nothing is in memory but what is kept, and so many bytes before that.
    pub(super) fn note_resident(&mut self, surplus: u64) {
        let position = self.first.saturating_sub(surplus);
        self.resident = Resident { position, number: self.first_number, has_scratch: false };
    }

    /// Finds out what is in memory, where that does not follow from what this server did.
    pub(super) fn find_resident(&mut self) -> io::Result<()> {
        let resident = self.file.resident_bytes()?;
        self.note_resident(0);
        let chunks = self.chunks.len() * size_of::<Chunk>();
        self.note_resident(resident.saturating_sub(self.held() - chunks as u64));
        Ok(())
    }

    /// Has the ring hold no more than `most` bytes as far as that goes: first it gives back what it
    /// holds beside output, then, if it may, it loses the oldest. Returns bytes of output that were
    /// lost.
    pub(crate) fn shrink(&mut self, most: u64, may_lose: bool) -> io::Result<u64> {
        if self.held() <= most {
            return Ok(0);
        }
        let lost_before = self.lost;
        let before = self.resident;
        self.note_resident(0);
        let excess = self.held().saturating_sub(most);
        if may_lose && excess > 0 {
            let wanted = self.first.saturating_add(excess).next_multiple_of(PAGE).min(self.end);
            self.lose_before(self.whole_chunks_before(wanted));
        }
        // Until pages are given back they count.
        self.resident = before;
        // A server that takes over in between finds everything there, and nothing before it.
        self.write_live()?;
        sys::kill_point("shrinking");
        let numbers = self.first_number..self.next_number();
        self.file.give_back_all_but(self.first..self.end, numbers)?;
        self.find_resident()?;
        Ok(self.lost - lost_before)
    }
}

#[cfg(test)]
mod tests {
    use papa_protocol::frame::Stream;
    use proptest::prelude::*;

    use super::super::tests::Rig;
    use super::*;

    /// What of the server's own memory counts.
    fn chunks(rig: &Rig) -> u64 {
        (rig.ring.chunks.len() * size_of::<Chunk>()) as u64
    }

    #[track_caller]
    fn holds_what_the_system_counts(rig: &Rig) {
        assert_eq!(rig.ring.held() - chunks(rig), rig.resident_bytes());
    }

    #[test]
    fn what_is_held_follows_from_what_was_written() {
        let mut rig = Rig::new(1 << 20);
        holds_what_the_system_counts(&rig);
        for at in 0..200 {
            rig.clock += 2_000_000;
            rig.write(if at % 3 == 0 { Stream::Err } else { Stream::Out }, 1 + at * 97);
            holds_what_the_system_counts(&rig);
            if at % 50 == 49 {
                rig.ring.acknowledge(rig.ring.end()).unwrap();
                holds_what_the_system_counts(&rig);
            }
        }
        // Around more than once, until all pages there are have been written.
        for _ in 0..80 {
            rig.write(Stream::Out, 60_000);
        }
        holds_what_the_system_counts(&rig);
        rig.crash();
        holds_what_the_system_counts(&rig);
    }

    #[test]
    fn a_ring_shrinks_by_its_oldest_output_and_counts_it_as_lost() {
        let mut rig = Rig::new(1 << 20);
        for _ in 0..100 {
            rig.clock += 2_000_000;
            rig.write(Stream::Out, 10_000);
        }
        assert_eq!(rig.ring.shrink(u64::MAX, true).unwrap(), 0);
        let lost = rig.ring.shrink(300_000, true).unwrap();
        assert!((700_000..=720_000).contains(&lost), "{lost}");
        assert!(rig.ring.held() <= 300_000, "{}", rig.ring.held());
        holds_what_the_system_counts(&rig);
        for _ in 0..2 {
            assert_eq!((rig.ring.lost(), rig.ring.first()), (lost, lost));
            assert_eq!(rig.kept(), rig.written[lost as usize..]);
            rig.crash();
        }
    }

    #[test]
    fn what_was_acknowledged_is_given_back_before_anything_is_lost() {
        let mut rig = Rig::new(1 << 20);
        for _ in 0..100 {
            rig.write(Stream::Out, 10_000);
        }
        rig.ring.acknowledge(900_000).unwrap();
        assert!(rig.ring.held() > 1_000_000);
        assert_eq!(rig.ring.shrink(200_000, true).unwrap(), 0);
        assert!(rig.ring.held() < 120_000);
        holds_what_the_system_counts(&rig);
        assert_eq!(rig.kept(), rig.written[900_000..]);
    }

    #[test]
    fn a_ring_that_may_not_lose_keeps_all_its_output() {
        let mut rig = Rig::new(1 << 20);
        for _ in 0..100 {
            rig.write(Stream::Out, 10_000);
        }
        assert_eq!(rig.ring.shrink(0, false).unwrap(), 0);
        assert_eq!(rig.kept(), rig.written);
    }

    proptest! {
        #[test]
        fn a_ring_that_shrinks_keeps_the_newest_whatever_happens(
            bufsize in prop_oneof![1..10_000_u64, 1..300_000_u64],
            steps in prop::collection::vec((1..30_000_usize, 0..400_000_u64, 0..6_u8), 1..40),
        ) {
            let mut rig = Rig::new(bufsize);
            for (length, most, what) in steps {
                rig.clock += 500_000;
                rig.write(if length % 2 == 0 { Stream::Out } else { Stream::Err }, length);
                match what {
                    0 | 1 => {
                        rig.ring.shrink(most, true).unwrap();
                        // A page, and the chunk that is never lost in part.
                        prop_assert!(rig.ring.held() <= most.max(16 * 1024));
                    }
                    2 => {
                        let first = rig.ring.first();
                        let lost = rig.ring.shrink(most, false).unwrap();
                        prop_assert_eq!((lost, rig.ring.first()), (0, first));
                    }
                    3 => rig.crash(),
                    4 => {
                        let position = rig.ring.end() - (rig.ring.end() - rig.ring.first()) / 2;
                        rig.ring.acknowledge(position).unwrap();
                    }
                    _ => {}
                }
                let first = rig.ring.first();
                prop_assert_eq!(rig.ring.end(), rig.written.len() as u64);
                prop_assert_eq!(&rig.kept()[..], &rig.written[first as usize..]);
                prop_assert!(rig.ring.held() - chunks(&rig) >= rig.resident_bytes());
            }
        }
    }
}
