//! Output buffers: what fits arrives whole, and of what does not, the newest.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::{Exact, Seen};
use papad_tests::{Fifo, Papad, Recording, ScratchDir, eventually, shell, wait_for_end};

/// `count` lines of nine bytes, each of which tells its place: `seq 10000000 ...`.
fn numbered_lines(count: usize) -> Vec<u8> {
    (10_000_000..).take(count).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn numbered_lines_command(count: usize) -> String {
    format!("/usr/bin/seq 10000000 {}", 10_000_000 + count - 1)
}

/// All that papad keeps of a process that has ended. Watchers look and leave without acknowledging
/// until one batch holds everything up to the end, so this is for buffers of less than a batch.
fn kept_of(papad: &Papad, name: &str) -> Recording {
    let mut kept = Recording::default();
    eventually("the end is in the batch", || {
        let mut session = papad.session();
        session.watch(name, 1);
        kept = Recording::default();
        session.read_batch().iter().for_each(|frame| kept.add(frame));
        kept.code.is_some()
    });
    kept
}

/// Fails with the first difference alone: nobody wants to read megabytes.
#[track_caller]
fn assert_same(seen: &[u8], expected: &[u8]) {
    let same = seen.iter().zip(expected).take_while(|(seen, expected)| seen == expected).count();
    assert!(
        seen.len() == expected.len() && same == seen.len(),
        "{} bytes instead of {}, and another one at {same}",
        seen.len(),
        expected.len()
    );
}

#[test]
fn a_watcher_that_does_not_read_holds_up_nobody() {
    const LINES: usize = 400_000;
    let papad = Papad::start();
    let mut idle = papad.session();
    idle.ask(format!("make process p bufsize=4m {}", numbered_lines_command(LINES)));
    idle.watch("p", 1);
    let mut session = papad.session();
    session.watch("p", 1);
    let seen = session.watch_on();
    assert_same(&seen["p"].out, &numbered_lines(LINES));
    papad.session().ask_expecting("get v", "");
}

#[test]
fn output_beyond_the_buffer_pushes_out_the_oldest() {
    const LINES: usize = 100_000;
    let papad = Papad::start();
    let command = numbered_lines_command(LINES);
    papad.session().ask(format!("make process p bufsize=64k {command}"));
    let kept = kept_of(&papad, "p");
    let (out, all) = (&kept.out, numbered_lines(LINES));
    assert!(out.len() <= 64 * 1024, "{} bytes in a buffer of 64k", out.len());
    // What is pushed out is whole chunks, of at most 4096 bytes.
    assert!(out.len() > 60 * 1024, "{} bytes in a buffer of 64k", out.len());
    assert_same(out, &all[all.len() - out.len()..]);
    assert_eq!(kept.code, Some(0));
}

#[test]
fn a_small_buffer_keeps_the_last_writes_whole() {
    let scratch = ScratchDir::new();
    let gate = Fifo::new(&scratch, "gate");
    let papad = Papad::start();
    let wait = format!("read x < {}", gate.path());
    let script =
        format!("echo a line too long; {wait}; echo Args:; {wait}; printf done >&2; exit 4");
    papad.session().ask(format!("make process p bufsize=14 {}", shell(&script)));
    // This keeps the writes apart: what a watcher was sent up to its end is a chunk that grows no more.
    let mut exact = Exact::tcp(&papad);
    exact.ask("watch p mode=peek");
    for end in [16, 22] {
        let is_last = |seen| matches!(seen, Seen::Data { position, data, .. } if position + data.len() as u64 == end);
        while !is_last(exact.next_seen()) {}
        gate.send_line();
    }
    assert_eq!(
        kept_of(&papad, "p"),
        Recording { out: b"Args:\n".into(), err: b"done".into(), code: Some(4) }
    );
}

#[test]
fn a_buffer_of_nothing_records_the_end_alone() {
    let papad = Papad::start();
    let mut session = papad.session();
    let ran = session.run(&format!("bufsize=0 {}", shell("seq 1 100000; echo e >&2; exit 9")));
    assert_eq!(ran, Recording { code: Some(9), ..Recording::default() });
}

#[test]
fn sizes_of_buffers_have_units() {
    let papad = Papad::start();
    let mut session = papad.session();
    let command = numbered_lines_command(200_000);
    for (name, size, bytes) in
        [("a", "8192", 8192), ("b", "8k", 8192), ("c", "8K", 8192), ("d", "512k", 524_288)]
    {
        session.ask(format!("make process {name} bufsize={size} {command}"));
        let kept = kept_of(&papad, name).out.len();
        assert!(kept > bytes - 4096 && kept <= bytes, "{kept} bytes in a buffer of {size}");
    }
    let command = numbered_lines_command(100_000);
    for size in ["1m", "1M", "1g", "1G"] {
        session.ask(format!("make process p bufsize={size} {command}"));
        wait_for_end(&mut session, "p");
        session.watch("p", 1);
        assert_eq!(session.watch_on()["p"].out.len(), 900_000, "in a buffer of {size}");
    }
}

#[test]
fn a_megabyte_fits_the_default_buffer() {
    const LINES: usize = 116_508;
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("make process p {}", numbered_lines_command(LINES)));
    wait_for_end(&mut session, "p");
    session.watch("p", 1);
    let seen = session.watch_on();
    assert_same(&seen["p"].out, &numbered_lines(LINES));
}

#[test]
fn the_default_buffer_can_be_chosen() {
    let papad = Papad::builder().arg("--bufsize").arg("64k").start();
    papad.session().ask(format!("make process p {}", numbered_lines_command(100_000)));
    let kept = kept_of(&papad, "p").out.len();
    assert!(kept > 60 * 1024 && kept <= 64 * 1024, "{kept} bytes in a buffer of 64k");
}

#[test]
fn a_flood_arrives_whole_at_a_watcher_that_acknowledges() {
    const LINES: usize = 2_222_222;
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("make process p bufsize=64m {}", numbered_lines_command(LINES)));
    session.watch("p", 1);
    let seen = session.watch_on();
    assert_same(&seen["p"].out, &numbered_lines(LINES));
    assert_eq!(seen["p"].code, Some(0));
}

#[test]
fn bytes_of_any_kind_pass_unchanged() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let every: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let file = scratch.join("every");
    std::fs::write(&file, &every).unwrap();
    let ran = papad.session().run(&format!("/bin/cat {file}"));
    assert_same(&ran.out, &every);
}
