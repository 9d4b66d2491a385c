//! What is kept of a process's output in protocol 2: `overflow=`, `linger=` and `bufsize=`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::{Exact, Seen, number_of, script, wait_for_end};
use papad_tests::{Fifo, Papad, ScratchDir, eventually, procfs};

/// Bytes that the flooding processes write: numbers, so that each byte's place is known.
fn numbers(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn is_waiting_to_write(pid: i32) -> bool {
    let where_it_waits = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    where_it_waits.contains("pipe") || procfs::stat(pid).is_some_and(|it| it.state == 'S')
}

#[test]
fn with_block_a_full_buffer_makes_the_writer_wait_and_loses_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let made = exact.ask_line("make process p bufsize=16k overflow=block -- /usr/bin/seq 1 300000");
    let pid = number_of(&made, "pid") as i32;
    eventually("the writer waits", || {
        exact.ask_line("list processes").contains(" next=16384 ") && is_waiting_to_write(pid)
    });
    // Nobody reads, so nothing more comes, and the process does not end.
    let line = exact.ask_line("list processes");
    assert!(
        line.contains(" state=running ") && line.contains(" first=0 next=16384 lost=0 "),
        "{line}"
    );

    exact.ask("watch p window=8k");
    let mut output = Vec::new();
    loop {
        match exact.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position, output.len() as u64);
                output.extend(data);
                exact.send(format!("ack p {}\n", output.len()));
            }
            Seen::Closed { position, end, .. } => {
                assert_eq!((position, end.as_str()), (output.len() as u64, "exit 0"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(output == numbers(300_000));
    exact.send("ack p closed\n");
    exact.expect("end finished\n");
}

#[test]
fn with_block_the_writer_goes_on_when_its_output_is_not_wanted_any_more() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let flood = script("/usr/bin/seq 1 300000; exit 7");
    let made = exact.ask_line(format!("make process p bufsize=16k overflow=block {flood}"));
    eventually("the buffer is full", || exact.ask_line("list processes").contains(" next=16384 "));
    exact.ask("remove processes p");
    eventually("it has ended", || {
        procfs::stat(number_of(&made, "pid") as i32).is_none_or(|it| it.is_zombie())
    });
    eventually("it has left the list", || exact.ask("list processes").is_empty());
}

#[test]
fn with_block_a_peeker_does_not_make_room() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p bufsize=16k overflow=block -- /usr/bin/seq 1 300000");
    eventually("the buffer is full", || exact.ask_line("list processes").contains(" next=16384 "));
    let mut peeker = Exact::tcp(&papad);
    peeker.ask("watch p mode=peek");
    let mut length = 0;
    while length < 16384 {
        match peeker.next_seen() {
            Seen::Data { data, .. } => length += data.len(),
            other => panic!("{other:?}"),
        }
    }
    peeker.ask_expecting("ack p 16384\nstop", "end stopped\n");
    let line = exact.ask_line("list processes");
    assert!(line.contains(" first=0 next=16384 lost=0 "), "{line}");
}

#[test]
fn with_block_a_full_buffer_and_a_killed_server_lose_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process p bufsize=16k overflow=block -- /usr/bin/seq 1 100000");
    eventually("the buffer is full", || exact.ask_line("list processes").contains(" next=16384 "));
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    exact.ask("watch p");
    let mut output = Vec::new();
    loop {
        match exact.next_seen() {
            Seen::Data { position, data, .. } => {
                assert_eq!(position, output.len() as u64);
                output.extend(data);
                exact.send(format!("ack p {}\n", output.len()));
            }
            Seen::Closed { .. } => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(output == numbers(100_000));
}

#[test]
fn with_drop_the_oldest_goes_and_what_a_watcher_missed_is_told() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let flood = script(&format!("echo first; read go < {}; /usr/bin/seq 1 100000", go.path()));
    exact.ask(format!("make process p bufsize=16k {flood}"));
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch p window=4k");
    let Seen::Data { position: 0, data, .. } = watcher.next_seen() else { panic!("no data") };
    assert_eq!(data, b"first\n");
    // Its window is full, as far as can be, while the flood passes.
    go.send_line();
    wait_for_end(&mut exact, "p");
    let all = [&b"first\n"[..], &numbers(100_000)].concat();
    let (mut position, mut lost) = (6, 0);
    loop {
        match watcher.next_seen() {
            Seen::Data { position: at, data, .. } => {
                assert_eq!(at, position);
                assert!(all[at as usize..].starts_with(&data), "at {at}");
                position += data.len() as u64;
            }
            Seen::Lost { position: at, bytes, .. } => {
                assert_eq!(at, position);
                position += bytes;
                lost += bytes;
            }
            Seen::Closed { position: at, .. } => {
                assert_eq!((at, position), (position, all.len() as u64));
                break;
            }
            other => panic!("{other:?}"),
        }
        watcher.send(format!("ack p {position}\n"));
    }
    assert!(lost >= all.len() as u64 - 16384 - 256 * 1024, "{lost}");
    let line = exact.ask_line("list processes");
    assert_eq!(number_of(&line, "next"), all.len() as u64);
    assert!(number_of(&line, "lost") >= lost, "{line}");
}

#[test]
fn what_was_lost_does_not_fill_the_window() {
    let scratch = ScratchDir::new();
    let (go, done) = (Fifo::new(&scratch, "go"), Fifo::new(&scratch, "done"));
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let flood = script(&format!(
        "head -c 4096 /dev/zero; read go < {0}; head -c 60000 /dev/zero; echo > {1}; read go < {0}; \
         echo end; exec /bin/sleep 1000",
        go.path(),
        done.path()
    ));
    exact.ask(format!("make process p bufsize=16k {flood}"));
    eventually("it waits", || exact.ask_line("list processes").contains(" next=4096 "));
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch p window=4k");
    let mut sent = 0;
    while sent < 4096 {
        let Seen::Data { data, .. } = watcher.next_seen() else { panic!("no data") };
        sent += data.len();
    }
    go.send_line();
    done.read_line();
    let Seen::Lost { position: 4096, .. } = watcher.next_seen() else { panic!("not lost") };
    go.send_line();
    // It acknowledges what it has been sent. There is nothing to be said of what was lost.
    watcher.send("ack p 4096\n");
    loop {
        match watcher.next_seen() {
            Seen::Lost { .. } => {}
            Seen::Data { .. } => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn without_output_what_was_lost_does_not_fill_the_window_of_others() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let flood = format!("read go < {}; /usr/bin/seq 1 1000000; exec /bin/sleep 1000", go.path());
    exact.ask(format!("make process loud bufsize=16k {}", script(&flood)));
    exact.ask(format!("make process quiet {}", script("read go; exec /bin/cat")));
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch loud data=no");
    go.send_line();
    eventually("the flood is over", || {
        exact.ask_line("list processes loud").contains(" next=6888896 ")
    });
    exact.ask("make process third -- /bin/echo hello");
    watcher.send("watch third\n");
    assert!(matches!(watcher.next_seen(), Seen::Reply(Ok(_))));
    let Seen::Data { data, .. } = watcher.next_seen() else { panic!("no data") };
    assert_eq!(data, b"hello\n");
}

#[test]
fn the_end_waits_for_descendants_as_long_as_it_is_to_linger() {
    let scratch = ScratchDir::new();
    let never = Fifo::new(&scratch, "never");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let leave = script(&format!("echo before; {{ read go < {}; }} & exit 4", never.path()));
    for linger in ["linger=0", "linger=50", ""] {
        exact.ask(format!("make process p {linger} {leave}"));
        exact.ask("watch p");
        assert!(matches!(exact.next_seen(), Seen::Data { data, .. } if data == b"before\n"));
        assert!(matches!(exact.next_seen(), Seen::Closed { end, .. } if end == "exit 4"));
        exact.send("ack p closed\n");
        exact.expect("end finished\n");
    }
}

#[test]
fn without_lingering_the_end_comes_however_soon_the_process_ends() {
    let scratch = ScratchDir::new();
    let never = Fifo::new(&scratch, "never");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let leave = script(&format!("{{ read go < {}; }} & exit 4", never.path()));
    let count = 200;
    for number in 0..count {
        exact.ask(format!("make process p{number} linger=0 {leave}"));
    }
    assert_eq!(exact.ask("watch * data=no").len(), count);
    for _ in 0..count {
        assert!(matches!(exact.next_seen(), Seen::Closed { end, .. } if end == "exit 4"));
    }
}

#[test]
fn what_descendants_write_while_it_lingers_still_counts() {
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let leave = script(&format!("(read go < {}; echo late) & echo early", go.path()));
    exact.ask(format!("make process p linger=3600000 {leave}"));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=0"));
    exact.ask("watch p");
    assert!(matches!(exact.next_seen(), Seen::Data { data, .. } if data == b"early\n"));
    go.send_line();
    assert!(matches!(exact.next_seen(), Seen::Data { data, .. } if data == b"late\n"));
    assert!(matches!(exact.next_seen(), Seen::Closed { position: 11, .. }));
}

#[test]
fn a_pipe_that_is_left_to_fill_holds_no_descriptor_longer_than_needed() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let count = || procfs::open_files(papad.server_pid()).len();
    let before = count();
    for _ in 0..20 {
        exact.ask("make process p bufsize=4k overflow=block -- /usr/bin/seq 1 2000");
        exact.ask("watch p window=4k");
        let mut position = 0;
        loop {
            match exact.next_seen() {
                Seen::Data { data, .. } => position += data.len(),
                Seen::Closed { .. } => break,
                other => panic!("{other:?}"),
            }
            exact.send(format!("ack p {position}\n"));
        }
        exact.send("ack p closed\n");
        exact.expect("end finished\n");
    }
    eventually("the descriptors are closed", || count() <= before);
}
