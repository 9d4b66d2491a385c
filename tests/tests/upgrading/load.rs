//! Upgrades while much goes on.

use std::fmt::Write;
use std::thread;

use papad_tests::continuity::{Subject, open_files};
use papad_tests::eventually;
use papad_tests::exact::{Exact, Seen, number_of};

/// Sessions that ask all the time.
const SESSIONS: usize = 200;

/// Requests that each of them makes.
const REQUESTS: usize = 100;

/// Lines of each flood.
const LINES: usize = 300_000;

/// Floods.
const FLOODS: usize = 4;

/// Watches a flood to its end, byte for byte.
fn watch_flood(mut exact: Exact, name: &str) {
    let mut expected = String::new();
    for number in 1..=LINES {
        writeln!(expected, "{number}").unwrap();
    }
    exact.ask(format!("watch {name} window=64k"));
    let mut position = 0;
    loop {
        match exact.next_seen() {
            Seen::Data { position: at, data, .. } => {
                assert_eq!(at as usize, position);
                let next = position + data.len();
                assert!(expected.as_bytes()[position..next] == data, "other bytes at {position}");
                position = next;
                exact.send(format!("ack {name} {position}\n"));
            }
            Seen::Closed { position: at, end, .. } => {
                assert_eq!(
                    (at as usize, position, end.as_str()),
                    (position, expected.len(), "exit 0")
                );
                exact.ask_expecting(format!("ack {name} closed"), "end finished\n");
                return;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn two_hundred_sessions_and_floods_that_wait_for_their_watchers_go_on() {
    let subject = Subject::start();
    let mut sessions: Vec<Exact> = (0..SESSIONS).map(|_| subject.exact()).collect();
    let floods: Vec<String> = (0..FLOODS).map(|number| format!("flood.{number}")).collect();
    for flood in &floods {
        subject.make(flood, "bufsize=64k overflow=block", &format!("exec seq 1 {LINES}"));
    }
    let mut asking = subject.exact();
    thread::scope(|scope| {
        for flood in &floods {
            let exact = subject.exact();
            scope.spawn(move || watch_flood(exact, flood));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            let requests =
                (0..REQUESTS).map(|turn| format!("set s.{number} {turn}\nget s.{number}\n"));
            session.send(requests.collect::<String>());
        }
        asking.send("upgrade\n");
        asking.reply().unwrap();
        // Each request is answered once and in order, before the upgrade or after it.
        for session in &mut sessions {
            for turn in 0..REQUESTS {
                assert_eq!(session.reply().unwrap(), [""; 0]);
                assert_eq!(session.reply().unwrap(), [turn.to_string()]);
            }
        }
    });
    assert_eq!(asking.ask("list processes"), [""; 0]);
}

#[test]
fn upgrades_in_a_row_need_no_more_descriptors_and_memory_than_one() {
    const UPGRADES: usize = 4;
    let subject = Subject::start();
    let mut session = subject.exact();
    session.ask("make process running -- /bin/sleep 1000");
    session.ask("make socket inet");
    let upgrade = || {
        subject.upgrade();
        subject.wait_for_keeper_to_change();
    };
    upgrade();
    let (files, first) = (open_files(&subject), memory(&mut session));
    for _ in 1..UPGRADES {
        upgrade();
    }
    eventually("as many descriptors are open as after the first", || open_files(&subject) == files);
    let last = memory(&mut session);
    // What an allocator and a scheduler do makes more difference than this from run to run.
    assert!(last < first + first / 2, "{first} bytes after one upgrade, {last} after {UPGRADES}");
}

fn memory(session: &mut Exact) -> u64 {
    number_of(&session.ask("status")[0], "memory")
}
