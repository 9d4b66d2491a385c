//! The keeper is killed: its server starts another, and nobody notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use nix::sys::utsname::uname;
use papad_tests::continuity::{Subject, Unchanged, open_files, sessions_go_on};
use papad_tests::exact::{Exact, Seen, number_of, wait_for_end, wait_for_keeper};
use papad_tests::{eventually, procfs};

/// Whether the kernel tells anybody but the parent how a process has ended: from Linux 6.15 on.
fn kernel_tells() -> bool {
    let uname = uname().unwrap();
    let release = uname.release().to_str().unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 15)
}

/// What is told of an orphan that has ended like this.
fn told(end: &str) -> String {
    if kernel_tells() { end.to_owned() } else { "unknown 0".to_owned() }
}

/// How processes end, each by its name, seen by a watcher of ends alone that acknowledges them.
fn ends(watcher: &mut Exact, count: usize) -> BTreeMap<String, String> {
    let mut ends = BTreeMap::new();
    while ends.len() < count {
        if let Seen::Closed { name, end, .. } = watcher.next_seen() {
            let name = String::from_utf8(name).unwrap();
            watcher.send(format!("ack {name} closed\n"));
            assert!(ends.insert(name.clone(), end).is_none(), "{name} has ended twice");
        }
    }
    ends
}

#[test]
fn sessions_of_every_kind_go_on() {
    let subject = Subject::start();
    // An echo's end is known only if it was the keeper's child, or if the kernel tells.
    if kernel_tells() {
        sessions_go_on(&subject, || subject.papad.kill_keeper());
    }
}

#[test]
fn there_is_another_keeper_whose_children_new_processes_are() {
    let subject = Subject::start();
    let before = subject.papad.keeper_pid();
    let old = subject.make("old", "", "exec sleep 1000");
    subject.papad.kill_keeper();
    let keeper = subject.papad.keeper_pid();
    assert_ne!(keeper, before);
    assert_ne!(procfs::stat(old).unwrap().parent, keeper);
    let new = subject.make("new", "", "exec sleep 1000");
    assert_eq!(procfs::stat(new).unwrap().parent, keeper);
    assert_eq!(procfs::stat(subject.papad.server_pid()).unwrap().parent, keeper);
    assert_eq!(number_of(subject.exact().hello(), "pid"), keeper as u64);
}

#[test]
fn ends_of_processes_made_before_and_after_are_told_with_their_codes() {
    let subject = Subject::start();
    let mut watcher = subject.exact();
    watcher.ask("watch p.* data=no");
    let fifo = subject.make_echo("p.before", 21);
    subject.papad.kill_keeper();
    let after = subject.make_echo("p.after", 22);
    subject.papad.kill_keeper();
    for fifo in [fifo, after] {
        fifo.send("end");
    }
    let ends = ends(&mut watcher, 2);
    assert_eq!(ends["p.before"], told("exit 21"));
    assert_eq!(ends["p.after"], told("exit 22"));
    let child = subject.make_echo("p.child", 23);
    child.send("end");
    assert_eq!(self::ends(&mut watcher, 1)["p.child"], "exit 23");
    watcher.ask_expecting("stop", "end stopped\n");
    assert_eq!(subject.exact().ask("list processes"), [""; 0]);
}

#[test]
fn processes_sockets_values_and_sessions_stay_through_ten_kills_in_a_row() {
    const KILLS: usize = 10;
    let subject = Subject::start();
    let mut session = subject.exact();
    for line in [
        "make process running -- /bin/sleep 1000",
        "make process ended -- /bin/echo unread",
        "make socket inet",
        "set value 1",
        "set mine 1 for=session",
    ] {
        session.ask(line);
    }
    session.ask(format!("make socket unix path={}", subject.scratch.join("unix")));
    wait_for_end(&mut session, "ended");
    let mut unchanged = Unchanged::look(&subject);
    // The first orphan needs a descriptor more, its pidfd.
    subject.papad.kill_keeper();
    unchanged.check(&subject);
    wait_for_keeper(&mut session);
    // The server before may have the lock for a moment longer, and it is tried again after a while.
    let lock = format!("{}.lock", subject.scratch.join("papad"));
    eventually("the server has its lock", || {
        open_files(&subject)[1].iter().any(|file| file.ends_with(&lock))
    });
    let files = open_files(&subject);
    for _ in 1..KILLS {
        subject.papad.kill_keeper();
        unchanged.check(&subject);
    }
    eventually(&format!("keeper and server have open what they had: {files:?}"), || {
        open_files(&subject) == files
    });
    assert_eq!(session.ask("get mine"), ["1"]);
}

#[test]
fn output_is_complete_while_the_keeper_is_killed_ten_times() {
    const LINES: usize = 1_000_000;
    const KILLS: usize = 10;
    let subject = Subject::start();
    subject.make("flood", "bufsize=64k overflow=block", &format!("exec seq 1 {LINES}"));
    let expected: Vec<u8> =
        (1..=LINES).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let mut watcher = subject.exact();
    watcher.ask("watch flood window=64k");
    let mut position = 0;
    let mut kills = 0;
    let end = loop {
        match watcher.next_seen() {
            Seen::Data { position: at, data, .. } => {
                assert_eq!(at as usize, position);
                let next = position + data.len();
                assert!(expected[position..next] == data[..], "other bytes at {position}");
                position = next;
                watcher.send(format!("ack flood {position}\n"));
            }
            Seen::Closed { end, .. } => break end,
            other => panic!("{other:?}"),
        }
        if kills < KILLS && position > (kills + 1) * expected.len() / (KILLS + 1) {
            kills += 1;
            subject.papad.kill_keeper();
        }
    };
    assert_eq!((kills, position, end), (KILLS, expected.len(), told("exit 0")));
    watcher.ask_expecting("ack flood closed", "end finished\n");
}

#[test]
fn a_process_that_is_made_while_the_keeper_is_killed_is_made_once() {
    const PROCESSES: usize = 100;
    let subject = Subject::start();
    let mut watcher = subject.exact();
    watcher.ask("watch new.* data=no mode=peek");
    let mut maker = subject.exact();
    for round in 0..3 {
        let request = |n: usize| format!("make process new.{round}.{n} -- /bin/sleep 1000\n");
        maker.send((0..PROCESSES).map(request).collect::<String>());
        subject.papad.kill_keeper();
        let mut made: Vec<u64> =
            (0..PROCESSES).map(|_| number_of(&maker.reply().unwrap()[0], "pid")).collect();
        let mut joined: Vec<u64> = (0..PROCESSES)
            .map(|_| match watcher.next_seen() {
                Seen::Joined { pid, .. } => pid as u64,
                other => panic!("{other:?}"),
            })
            .collect();
        for pids in [&mut made, &mut joined] {
            pids.sort_unstable();
            pids.dedup();
        }
        assert_eq!((made.len(), made), (PROCESSES, joined));
    }
    let listed = maker.ask("list processes");
    let running = listed.iter().filter(|line| line.contains(" state=running "));
    assert_eq!(running.count(), 3 * PROCESSES);
}

#[test]
fn the_next_server_is_killed_as_soon_as_the_next_keeper_has_one() {
    let subject = Subject::start();
    subject.exact().ask("set value 1");
    let pid = subject.make("running", "", "exec sleep 1000");
    for _ in 0..5 {
        subject.papad.kill_keeper();
        subject.papad.kill_server();
        let mut session = subject.exact();
        assert_eq!(session.ask("get value"), ["1"]);
        let line = session.ask_line("list processes running");
        assert!(line.contains(&format!(" pid={pid} ")), "{line}");
    }
}

/// A server that was to take over from the one that had started the keeper died first, and that one
/// went on. The keeper took its closed link for its death, and started another server beside it: two
/// keepers and two servers, for ever, with values of their own and one journal.
#[test]
fn one_server_is_left_when_the_next_does_not_take_over() {
    let subject = Subject::with_kill_points();
    subject.exact().ask("set value 0");
    let mut session = subject.exact();
    for point in ["called", "baton-taken"] {
        subject.arm(point);
        subject.papad.kill_keeper_at_once();
        subject.wait_for_kill_at(point);
        subject.papad.wait_for_keeper();
        eventually("one server is left", || subject.papad.servers().len() == 1);
        subject.exact().ask("set value 1");
        for _ in 0..20 {
            assert_eq!(subject.exact().ask("get value"), ["1"]);
        }
        assert_eq!(session.ask("get value"), ["1"]);
    }
}

#[test]
fn an_upgrade_follows_the_death_of_the_keeper() {
    let subject = Subject::start();
    let fifo = subject.make_echo("echo", 24);
    let mut watcher = subject.exact();
    watcher.ask("watch echo data=no");
    subject.papad.kill_keeper();
    let keeper = subject.papad.keeper_pid();
    let mut unchanged = Unchanged::look(&subject);
    subject.upgrade();
    subject.wait_for_keeper_to_change();
    unchanged.check(&subject);
    assert_eq!(subject.papad.keeper_pid(), keeper);
    fifo.send("end");
    assert_eq!(ends(&mut watcher, 1)["echo"], told("exit 24"));
}

#[test]
fn the_next_keeper_ends_everything_in_order() {
    let mut subject = Subject::start();
    subject.papad.kill_keeper();
    let mut session = subject.exact();
    let path = subject.scratch.join("unix");
    session.ask(format!("make socket unix path={path}"));
    subject.signal_keeper(Signal::SIGTERM);
    session.expect_closed();
    subject.papad.wait_for_exit();
    assert!(!std::fs::exists(subject.papad.unix_path()).unwrap());
    assert!(!std::fs::exists(path).unwrap());
}

/// Upgrades, while the keeper is killed at `point`; sessions of every kind go on. Returns what is
/// answered to whoever asked.
#[track_caller]
fn killed_at(point: &str) -> papad_tests::exact::Reply {
    let subject = Subject::with_kill_points();
    let mut reply = None;
    sessions_go_on(&subject, || {
        let keeper = subject.papad.keeper_pid();
        subject.arm(point);
        subject.papad.look_after_children(keeper);
        subject.install_again();
        let mut asking = subject.exact();
        asking.send("upgrade\n");
        subject.wait_for_kill_at(point);
        subject.papad.wait_until_keeper_is_gone(keeper);
        subject.papad.wait_for_keeper();
        reply = Some(asking.reply());
    });
    subject.upgrade();
    reply.expect("the change has been")
}

#[test]
fn killed_before_the_candidate_is_called() {
    if !kernel_tells() {
        return;
    }
    for point in ["keeper-checks", "keeper-parts"] {
        let refusal = killed_at(point).expect_err(point);
        assert_eq!(refusal.what, "the keeper was killed meanwhile", "{point}");
    }
}

#[test]
fn killed_when_the_candidate_is_called_or_has_taken_over() {
    if !kernel_tells() {
        return;
    }
    for point in ["keeper-calls", "keeper-changes"] {
        killed_at(point).unwrap();
    }
}

#[test]
fn killed_on_its_way_to_become_the_new_program() {
    if !kernel_tells() {
        return;
    }
    for point in ["keeper-becomes", "keeper-inherits"] {
        killed_at(point).unwrap();
    }
}
