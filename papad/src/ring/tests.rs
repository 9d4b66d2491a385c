//! The ring against a model: a list of the bytes that were written, each with its stream.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use proptest::prelude::*;

use super::*;

/// A ring, its pipes, and the keeper's duplicate of its file.
pub(super) struct Rig {
    pub(super) ring: Ring,
    held: File,
    out: (OwnedFd, File),
    err: (OwnedFd, File),
    pub(super) clock: u64,
    pub(super) written: Vec<(Stream, u8)>,
}

impl Rig {
    pub(super) fn new(bufsize: u64) -> Rig {
        let ring = Ring::create(bufsize).unwrap();
        let held = File::from(ring.as_file().try_clone_to_owned().unwrap());
        let pipe = || {
            let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
            (reader, File::from(writer))
        };
        Rig { ring, held, out: pipe(), err: pipe(), clock: 1, written: Vec::new() }
    }

    /// Writes so many bytes to a stream, and has the ring take them.
    pub(super) fn write(&mut self, stream: Stream, length: usize) {
        let bytes: Vec<u8> = (0..length).map(|at| (self.written.len() + at) as u8).collect();
        let (reader, writer) = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        writer.write_all(&bytes).unwrap();
        let mut left = length as u64;
        while left > 0 {
            match self
                .ring
                .fill(reader.as_fd(), stream, Time(self.clock), Overflow::Drop, 0)
                .unwrap()
            {
                Filled::Bytes(moved) => left -= moved,
                other => panic!("{other:?} with {left} bytes left"),
            }
        }
        self.written.extend(bytes.into_iter().map(|byte| (stream, byte)));
    }

    /// What a killed server leaves is what the keeper holds.
    pub(super) fn crash(&mut self) {
        self.ring = Ring::recover(self.held.try_clone().unwrap()).unwrap();
    }

    pub(super) fn kept(&self) -> Vec<(Stream, u8)> {
        let mut kept = Vec::new();
        for (stream, _, start, length) in self.ring.chunks_from(0) {
            let mut bytes = Vec::new();
            self.ring.read(start, length, &mut bytes).unwrap();
            kept.extend(bytes.into_iter().map(|byte| (stream, byte)));
        }
        kept
    }

    fn of(stream: Stream, bytes: &[(Stream, u8)]) -> Vec<u8> {
        bytes.iter().filter(|(of, _)| *of == stream).map(|(_, byte)| *byte).collect()
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.held.metadata().unwrap().blocks() * 512
    }
}

#[derive(Clone, Debug)]
enum Action {
    Write(Stream, usize),
    /// Acknowledge this many thousandths of what is kept.
    Acknowledge(u64),
    Wait(u64),
    Seal,
    Crash,
}

fn action() -> impl Strategy<Value = Action> {
    let stream = prop_oneof![Just(Stream::Out), Just(Stream::Err)];
    prop_oneof![
        4 => (stream, prop_oneof![1..200_usize, 1..20_000_usize])
            .prop_map(|(stream, length)| Action::Write(stream, length)),
        1 => (0..=1000_u64).prop_map(Action::Acknowledge),
        2 => prop_oneof![Just(1), Just(2_000_000)].prop_map(Action::Wait),
        1 => Just(Action::Seal),
        1 => Just(Action::Crash),
    ]
}

proptest! {
    #[test]
    fn a_ring_keeps_the_newest_bytes_that_are_not_acknowledged(
        bufsize in prop_oneof![1..100_u64, 1..10_000_u64, 1..300_000_u64],
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut rig = Rig::new(bufsize);
        let mut acknowledged = 0;
        for action in actions {
            match action {
                Action::Write(stream, length) => rig.write(stream, length),
                Action::Acknowledge(part) => {
                    let Ring { first, end, .. } = rig.ring;
                    acknowledged += (end - first) * part / 1000;
                    rig.ring.acknowledge(first + (end - first) * part / 1000).unwrap();
                }
                Action::Wait(nanoseconds) => rig.clock += nanoseconds,
                Action::Seal => rig.ring.seal(),
                Action::Crash => rig.crash(),
            }
            let Ring { first, end, lost, .. } = rig.ring;
            prop_assert_eq!(end, rig.written.len() as u64);
            prop_assert_eq!(first, acknowledged + lost);
            prop_assert!(end - first <= bufsize);
            let kept = rig.kept();
            prop_assert_eq!(&kept[..], &rig.written[first as usize..]);
        }
    }

    #[test]
    fn no_more_is_pushed_out_than_has_to_be(
        bufsize in 8_192..100_000_u64,
        lengths in prop::collection::vec(1..5_000_usize, 1..60),
    ) {
        let mut rig = Rig::new(bufsize);
        for length in lengths {
            rig.clock += 2_000_000;
            rig.write(Stream::Out, length);
            let Ring { first, end, .. } = rig.ring;
            // A chunk of up to 4096 bytes goes whole.
            prop_assert!(first == 0 || end - first > bufsize - WHOLE);
        }
    }
}

#[test]
fn writes_within_a_millisecond_share_a_chunk_unless_it_was_seen() {
    let mut rig = Rig::new(1000);
    let lengths = |rig: &Rig| rig.ring.chunks_from(0).map(|(_, _, _, n)| n).collect::<Vec<_>>();
    rig.write(Stream::Out, 1);
    rig.write(Stream::Out, 2);
    assert_eq!(lengths(&rig), [3]);
    rig.write(Stream::Err, 4);
    assert_eq!(lengths(&rig), [3, 4]);
    rig.clock += MERGE_WITHIN;
    rig.write(Stream::Err, 5);
    assert_eq!(lengths(&rig), [3, 4, 5]);
    rig.ring.seal();
    rig.write(Stream::Err, 6);
    assert_eq!(lengths(&rig), [3, 4, 5, 6]);
    rig.clock -= MERGE_WITHIN;
    rig.write(Stream::Err, 7);
    assert_eq!(lengths(&rig), [3, 4, 5, 6, 7], "a clock set back begins a new chunk");
}

#[test]
fn the_next_server_knows_who_was_taking() {
    let mut rig = Rig::new(1 << 16);
    assert_eq!(rig.ring.claims(), Claims::default());
    let claims = Claims { takers: 2, end_taken: true, all_taken: false };
    rig.ring.note_claims(claims).unwrap();
    rig.write(Stream::Out, 100);
    rig.crash();
    assert_eq!(rig.ring.claims(), claims);
    rig.ring.note_claims(Claims::default()).unwrap();
    rig.crash();
    assert_eq!(rig.ring.claims(), Claims::default());
}

#[test]
fn short_chunks_are_pushed_out_whole() {
    let mut rig = Rig::new(14);
    for length in [15, 27, 7, 4] {
        rig.clock += MERGE_WITHIN;
        rig.write(Stream::Out, length);
    }
    assert_eq!(rig.kept().len(), 11);
    assert_eq!(rig.ring.lost(), 42);
}

#[test]
fn a_full_index_merges_chunks_and_loses_neither_bytes_nor_streams() {
    let mut rig = Rig::new(16 * 1024);
    for _ in 0..6_000 {
        rig.clock += MERGE_WITHIN;
        rig.write(Stream::Out, 1);
        rig.write(Stream::Err, 1);
    }
    for _ in 0..2 {
        assert_eq!(rig.ring.lost(), 0);
        for stream in [Stream::Out, Stream::Err] {
            assert_eq!(Rig::of(stream, &rig.kept()), Rig::of(stream, &rig.written));
        }
        rig.crash();
    }
}

#[test]
fn a_merge_that_was_planned_is_done_by_the_next_server() {
    for cut_at in 0..3 {
        let mut rig = Rig::new(16 * 1024);
        for _ in 0..10 {
            rig.clock += MERGE_WITHIN;
            rig.write(Stream::Out, 3);
            rig.write(Stream::Err, 5);
        }
        let streams = [Stream::Out, Stream::Err].map(|stream| Rig::of(stream, &rig.written));
        let chunk = |start, stream| Some(Chunk { start, stream, time: Time(9) });
        let merge = file::Merge { number: 0, count: 20, start: 0, length: 80 };
        let to = [chunk(0, Stream::Out), chunk(30, Stream::Err)];
        rig.ring.file.plan_merge(merge, to, &streams.concat()).unwrap();
        // As far as a kill may let it come, and then over again.
        for _ in 0..cut_at {
            rig.ring.file.finish_merge().unwrap();
            rig.ring.file.plan_merge(merge, to, &streams.concat()).unwrap();
        }
        rig.crash();
        let kept = rig.kept();
        assert_eq!([Stream::Out, Stream::Err].map(|stream| Rig::of(stream, &kept)), streams);
        assert_eq!(rig.ring.chunks_from(0).count(), 2);
    }
}

#[test]
fn pushed_out_and_merged_chunks_are_recovered_together() {
    // A full index is merged at numbers whose slots are those of chunks that were pushed out. Once,
    // a recovered ring took the emptied slots for the index's end, and went back to position 0.
    for bufsize in [16 * 1024, 64 * 1024] {
        let mut rig = Rig::new(bufsize);
        for at in 0..60_000_usize {
            rig.clock += MERGE_WITHIN;
            let stream = if at % 2 == 0 { Stream::Out } else { Stream::Err };
            rig.write(stream, 1 + at * 7 % 30);
            if at % 997 == 0 {
                let (first, end, lost) = (rig.ring.first(), rig.ring.end(), rig.ring.lost());
                let kept = rig.kept();
                rig.crash();
                assert_eq!((rig.ring.first(), rig.ring.end(), rig.ring.lost()), (first, end, lost));
                assert_eq!(rig.kept(), kept);
            }
        }
    }
}

#[test]
fn a_chunk_that_was_begun_and_not_filled_keeps_its_place_over_kills() {
    // Once, a recovered ring took the number of an empty first chunk for used. The next recovery
    // stopped at that chunk, and took all that followed for output of its stream.
    let mut rig = Rig::new(1000);
    rig.write(Stream::Out, 13);
    rig.ring.acknowledge(13).unwrap();
    let nothing = rig.ring.fill(rig.out.0.as_fd(), Stream::Out, Time(5), Overflow::Drop, 0);
    assert_eq!(nothing.unwrap(), Filled::Nothing);
    rig.crash();
    rig.write(Stream::Out, 4);
    rig.write(Stream::Err, 4);
    rig.crash();
    assert_eq!(rig.kept(), rig.written[13..]);
}

#[test]
fn a_ring_that_may_not_drop_is_full_rather_than_lossy() {
    let mut rig = Rig::new(16 * 1024);
    let fill = |rig: &mut Rig, stream, at| {
        rig.clock += MERGE_WITHIN;
        let (reader, writer) = if stream == Stream::Out { &mut rig.out } else { &mut rig.err };
        writer.write_all(&[1]).unwrap();
        // A reader has been sent everything, every time, and has acknowledged nothing.
        rig.ring.seal();
        rig.ring.fill(reader.as_fd(), stream, Time(rig.clock), Overflow::Block, at).unwrap()
    };
    let mut at = 0;
    while fill(&mut rig, if at % 2 == 0 { Stream::Out } else { Stream::Err }, at) != Filled::Full {
        at += 1;
    }
    assert_eq!((rig.ring.lost(), rig.ring.first(), rig.ring.end()), (0, 0, at));
    rig.ring.acknowledge(at).unwrap();
    assert_ne!(fill(&mut rig, Stream::Out, at), Filled::Full);
}

#[test]
fn what_a_reader_was_sent_is_not_rearranged() {
    let mut rig = Rig::new(16 * 1024);
    let (reader, writer) = &mut rig.out;
    for at in 0..3_000_u64 {
        writer.write_all(&[1]).unwrap();
        rig.clock += MERGE_WITHIN;
        // A reader has been sent everything, every time.
        let stream = if at % 2 == 0 { Stream::Out } else { Stream::Err };
        rig.ring.fill(reader.as_fd(), stream, Time(rig.clock), Overflow::Drop, at).unwrap();
    }
    assert!(rig.ring.lost() > 0, "with nothing to merge, the oldest goes");
    let starts: Vec<u64> = rig.ring.chunks_from(0).map(|(_, _, start, _)| start).collect();
    assert_eq!(starts, (rig.ring.first()..3_000).collect::<Vec<_>>());
}

#[test]
fn memory_is_given_back_when_everything_is_acknowledged() {
    let mut rig = Rig::new(1 << 20);
    let empty = rig.resident_bytes();
    for _ in 0..40 {
        rig.write(Stream::Out, 20_000);
    }
    assert!(rig.resident_bytes() > 800_000);
    rig.ring.acknowledge(rig.ring.end()).unwrap();
    assert_eq!(rig.resident_bytes(), empty);
    rig.crash();
    assert_eq!((rig.ring.first(), rig.ring.end()), (800_000, 800_000));
    rig.write(Stream::Out, 5);
    rig.crash();
    assert_eq!(rig.kept().len(), 5);
}

#[test]
fn an_empty_pipe_and_an_ended_one_are_told_apart() {
    let mut rig = Rig::new(100);
    let fill = |rig: &mut Rig| {
        rig.ring.fill(rig.out.0.as_fd(), Stream::Out, Time(1), Overflow::Drop, 0).unwrap()
    };
    assert_eq!(fill(&mut rig), Filled::Nothing);
    rig.out.1 = File::open("/dev/null").unwrap();
    assert_eq!(fill(&mut rig), Filled::End);
}

#[test]
fn a_chunk_that_was_begun_and_not_filled_pushes_nothing_out() {
    // Once, a recovered ring let the last kept byte go: it saw a chunk behind that one, though an
    // empty one, and so pushed out the former whole.
    let mut rig = Rig::new(1);
    rig.write(Stream::Out, 253);
    rig.clock += MERGE_WITHIN;
    let nothing = rig.ring.fill(rig.out.0.as_fd(), Stream::Out, Time(rig.clock), Overflow::Drop, 0);
    assert_eq!(nothing.unwrap(), Filled::Nothing);
    rig.crash();
    assert_eq!((rig.ring.first(), rig.ring.end(), rig.ring.lost()), (252, 253, 252));
    assert_eq!(rig.kept(), rig.written[252..]);
}

/// A ring of 1000 bytes that has 13, and in whose file something else is done then.
fn recovered_after(damage: impl Fn(&File)) -> io::Result<Ring> {
    let mut rig = Rig::new(1000);
    rig.write(Stream::Out, 13);
    damage(&rig.held);
    Ring::recover(rig.held.try_clone().unwrap())
}

/// Writes a word of the header.
fn set_word(at: u64) -> impl Fn(u64) -> Box<dyn Fn(&File)> {
    move |word: u64| {
        Box::new(move |file| {
            std::os::unix::fs::FileExt::write_all_at(file, &word.to_le_bytes(), at).unwrap();
        })
    }
}

#[test]
fn a_ring_that_no_server_can_have_left_so_is_refused() {
    let (bufsize, first, first_number) = (set_word(16), set_word(64), set_word(72));
    let (merge_count, merge_length) = (set_word(104), set_word(120));
    assert!(recovered_after(|_| {}).is_ok());
    for bytes in [0, 999_999, u64::MAX] {
        assert!(recovered_after(bufsize(bytes)).is_err(), "bufsize {bytes}");
    }
    assert!(recovered_after(|file| file.set_len(1 << 20).unwrap()).is_err());
    assert!(recovered_after(first(14)).is_err());
    // Without the index, nobody knows what the bytes are.
    assert!(recovered_after(first_number(u64::MAX)).is_err());
    assert!(recovered_after(merge_length(u64::MAX)).is_err());
    assert!(
        recovered_after(|file| {
            merge_count(u64::MAX)(file);
            merge_length(1)(file);
        })
        .is_err()
    );
    // The file's offset is where the newest byte ends.
    assert!(
        recovered_after(|file| {
            first_number(1)(file);
            sys::set_offset(file, 6_356_444).unwrap();
        })
        .is_err()
    );
}

#[test]
fn what_is_no_ring_is_refused() {
    let file = sys::memfd(c"other").unwrap();
    assert!(Ring::recover(file.try_clone().unwrap()).is_err());
    file.set_len(1 << 20).unwrap();
    assert!(Ring::recover(file).is_err());
}
