//! What a process leaves that another replaces, and who is in the sessions of processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, Seen, number_of, script, value_of, wait_for_end};
use papad_tests::{Fifo, Papad, ScratchDir, eventually, procfs};

const SLEEPER: &str = "-- /bin/sleep 1000";

/// Has `job` write a line, end, and be replaced.
fn replace(exact: &mut Exact) {
    exact.ask(format!("make process job {}", script("echo one; exit 3")));
    wait_for_end(exact, "job");
    exact.ask(format!("make process job replace=ended {SLEEPER}"));
}

/// What a look at the first `job` shows, up to its end.
fn read_previous(exact: &mut Exact) -> Vec<Seen> {
    exact.ask("watch job id=1 mode=peek");
    let mut seen = vec![exact.next_seen()];
    while seen.last() != Some(&Seen::End("finished".to_owned())) {
        seen.push(exact.next_seen());
    }
    seen
}

/// The first process's output, and how it ended.
fn output_and_end(seen: &[Seen]) -> (Vec<u8>, String) {
    let (mut output, mut how) = (Vec::new(), None);
    for seen in seen {
        match seen {
            Seen::Data { data, .. } => output.extend(data),
            Seen::Closed { end, .. } => how = Some(end.clone()),
            Seen::End(_) => {}
            other => panic!("{other:?}"),
        }
    }
    (output, how.unwrap())
}

fn members(exact: &mut Exact, name: &str) -> BTreeSet<i32> {
    let lines = exact.ask(format!("list members {name}"));
    lines.iter().map(|line| number_of(line, "pid") as i32).collect()
}

#[test]
fn previous_process_survives_a_kill_of_the_server() {
    let papad = Papad::start();
    replace(&mut Exact::tcp(&papad));
    for _ in 0..2 {
        papad.kill_server();
        let mut exact = Exact::tcp(&papad);
        assert_eq!(value_of(&exact.ask_line("list processes"), "id"), "2");
        assert_eq!(value_of(&exact.ask_line("list previous"), "id"), "1");
        let left = output_and_end(&read_previous(&mut exact));
        assert_eq!(left, (b"one\n".to_vec(), "exit 3".to_owned()));
    }
}

#[test]
fn previous_process_goes_when_it_is_taken_and_does_not_come_back() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    replace(&mut exact);
    exact.ask("watch job id=1");
    while !matches!(exact.next_seen(), Seen::Closed { .. }) {}
    exact.send("ack job closed\n");
    exact.expect("end finished\n");
    assert_eq!(exact.ask("list previous"), [""; 0]);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list previous"), [""; 0]);
    assert_eq!(exact.ask("list processes").len(), 1);
}

#[test]
fn previous_process_goes_with_its_successor_s_removal() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    replace(&mut exact);
    exact.ask("remove processes job");
    assert_eq!(exact.ask("list previous"), [""; 0]);
    // The second runs and keeps the name; the first is gone for good.
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).ask("list previous"), [""; 0]);
}

#[test]
fn papa_1_0_does_not_see_previous_processes() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    replace(&mut exact);
    let listed = papad.session().ask("list processes");
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains("running=True"), "{listed}");
    let pid = number_of(&exact.ask_line("list previous"), "pid");
    let by_pid = papad.session().ask(format!("list processes {pid}"));
    assert!(!by_pid.contains("running=False"), "{by_pid}");
}

#[test]
fn process_that_cannot_be_replaced_stays_as_it_was() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process job {}", script("echo one; exit 3")));
    wait_for_end(&mut exact, "job");
    let before = exact.ask("list processes");
    exact.ask_for("spawn", "make process job replace=ended -- /no/such/program");
    assert_eq!(exact.ask("list processes"), before);
    assert_eq!(exact.ask("list previous"), [""; 0]);
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(value_of(&exact.ask_line("list processes"), "id"), "1");
    let left = output_and_end(&read_previous(&mut exact));
    assert_eq!(left, (b"one\n".to_vec(), "exit 3".to_owned()));
}

#[test]
fn process_that_cannot_be_replaced_stays_though_its_end_is_taken() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    // One has output, whose index would keep what watchers have said over a kill, the other has not.
    exact.ask("make process web bufsize=0 -- /bin/false");
    exact.ask(format!("make process job {}", script("echo one; exit 3")));
    for name in ["web", "job"] {
        wait_for_end(&mut exact, name);
        exact.ask_for("spawn", format!("make process {name} replace=ended -- /no/such/program"));
        exact.ask(format!("watch {name}"));
        while !matches!(exact.next_seen(), Seen::Closed { .. }) {}
        exact.send(format!("ack {name} closed\n"));
        exact.expect("end finished\n");
        exact.ask_for("spawn", format!("make process {name} replace=ended -- /no/such/program"));
    }
    for _ in 0..2 {
        assert_eq!(exact.ask("list processes").len(), 2);
        papad.kill_server();
        exact = Exact::tcp(&papad);
    }
    // When it has been replaced, nothing keeps it.
    exact.ask(format!("make process job replace=ended {SLEEPER}"));
    assert_eq!(exact.ask("list previous"), [""; 0]);
    exact.ask("remove processes web");
    assert_eq!(exact.ask("list processes").len(), 1);
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).ask("list processes").len(), 1);
}

#[test]
fn watch_gets_all_of_a_process_before_its_successor_s_first_byte() {
    let papad = Papad::start();
    let scratch = ScratchDir::new();
    let go = Fifo::new(&scratch, "go");
    let mut exact = Exact::tcp(&papad);
    let mut watch = Exact::tcp(&papad);
    watch.ask("watch job*");
    // Its descendant has a word to say when it has been replaced.
    let descendant = format!("(read line <{}; echo late) & echo one; exit 3", go.path());
    exact.ask(format!("make process job linger=3600000 {}", script(&descendant)));
    assert!(matches!(watch.next_seen(), Seen::Joined { id: 1, .. }));
    eventually("it has ended", || value_of(&exact.ask_line("list processes"), "state") == "exited");
    exact.ask(format!("make process job replace=ended {}", script("echo two; exec sleep 1000")));
    eventually("the successor has written", || {
        number_of(&exact.ask_line("list processes job"), "next") == 4
    });
    go.send_line();
    let mut seen = vec![watch.next_seen()];
    while !matches!(seen.last(), Some(Seen::Closed { .. })) {
        seen.push(watch.next_seen());
    }
    assert_eq!(output_and_end(&seen), (b"one\nlate\n".to_vec(), "exit 3".to_owned()));
    watch.send("ack job closed\n");
    assert!(matches!(watch.next_seen(), Seen::Joined { id: 2, .. }));
    let Seen::Data { data, position: 0, .. } = watch.next_seen() else { panic!() };
    assert_eq!(data, b"two\n");
    watch.send("ack job 4\nstop\n");
    watch.expect("end stopped\n");
    assert_eq!(exact.ask("list previous"), [""; 0]);
    assert_eq!(number_of(&exact.ask_line("list processes"), "first"), 4);
}

#[test]
fn previous_processes_make_room_the_oldest_first() {
    let papad = Papad::builder().arg("--max-processes").arg("3").start();
    let mut exact = Exact::tcp(&papad);
    for name in ["a", "b"] {
        exact.ask(format!("make process {name} -- /bin/echo one"));
        wait_for_end(&mut exact, name);
    }
    exact.ask(format!("make process a replace=ended {SLEEPER}"));
    assert_eq!(value_of(&exact.ask_line("list previous"), "name"), "a");
    // Three there are: what is left of a goes.
    exact.ask(format!("make process b replace=ended {SLEEPER}"));
    assert_eq!(value_of(&exact.ask_line("list previous"), "name"), "b");
    exact.ask(format!("make process c {SLEEPER}"));
    assert_eq!(exact.ask("list previous"), [""; 0]);
    exact.ask_for("limit", format!("make process d {SLEEPER}"));
    // Where nothing else is left to go, it is the one that is replaced.
    exact.ask("remove processes a");
    kill(
        Pid::from_raw(number_of(&exact.ask("list processes b")[0], "pid") as i32),
        Signal::SIGKILL,
    )
    .unwrap();
    wait_for_end(&mut exact, "b");
    exact.ask(format!("make process b replace=ended {SLEEPER}"));
    assert_eq!(exact.ask("list previous"), [""; 0]);
}

#[test]
fn members_are_found_while_their_leader_runs_and_when_it_has_ended() {
    let papad = Papad::start();
    let scratch = ScratchDir::new();
    let (pids, go) = (Fifo::new(&scratch, "pids"), Fifo::new(&scratch, "go"));
    let mut exact = Exact::tcp(&papad);
    let line = format!(
        "sleep 1000 & echo $! >{pids}; setsid sleep 1000 & echo $! >{pids}; read line <{}",
        go.path(),
        pids = pids.path()
    );
    let leader = number_of(&exact.ask_line(format!("make process job {}", script(&line))), "pid");
    let child: i32 = pids.read_line().parse().unwrap();
    let stranger: i32 = pids.read_line().parse().unwrap();
    let all = BTreeSet::from([leader as i32, child]);
    // setsid(1) leaves the session when it runs.
    eventually("the session has its members", || members(&mut exact, "job") == all);
    go.send_line();
    wait_for_end(&mut exact, "job");
    assert_eq!(members(&mut exact, "job"), BTreeSet::from([child]));
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(members(&mut exact, "job"), BTreeSet::from([child]));
    // Those of one that was replaced are found as well.
    exact.ask(format!("make process job replace=ended {SLEEPER}"));
    let lines = exact.ask("list members job");
    let of_first = lines.iter().find(|line| value_of(line, "id") == "1").unwrap();
    assert_eq!(number_of(of_first, "pid") as i32, child);
    assert_eq!(lines.len(), 2);
    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
    eventually("it has ended", || exact.ask("list members job").len() == 1);
    kill(Pid::from_raw(stranger), Signal::SIGKILL).unwrap();
}

#[test]
fn member_is_told_by_pid_and_start() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process job {SLEEPER}"));
    let line = exact.ask_line("list members");
    let stat = procfs::stat(number_of(&line, "pid") as i32).unwrap();
    assert_eq!(number_of(&line, "starttime"), stat.started);
}
