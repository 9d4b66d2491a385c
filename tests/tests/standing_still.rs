//! A server or keeper that stands still: stopped by a signal, as by a debugger, and not dead.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, script};
use papad_tests::{FakeSystemd, Papad, eventually, procfs};

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Stops a process, and returns when it stands still.
fn stop(pid: i32) {
    send(pid, Signal::SIGSTOP);
    eventually("it stands still", || procfs::stat(pid).is_some_and(|it| it.state == 'T'));
}

/// Makes processes until one is refused, and returns how many there are.
fn make_until_refused(exact: &mut Exact) -> usize {
    for number in 0..20_000 {
        let made = exact.try_ask(format!("make process p{number} {}", script("exit 7"))).unwrap();
        if let Err(failure) = made {
            assert!(failure.what.contains("the keeper does not respond"), "{failure:?}");
            return number;
        }
    }
    panic!("a keeper that stands still takes everything");
}

/// Sees that so many processes are there, and that the end of each becomes known.
fn expect_ends(exact: &mut Exact, count: usize) {
    eventually("all ends are known", || {
        let lines = exact.ask("list processes p*");
        assert_eq!(lines.len(), count);
        lines.iter().all(|line| line.contains("exit=7"))
    });
}

#[test]
fn stopped_server_is_replaced_when_a_client_waits() {
    let papad = Papad::start();
    Exact::tcp(&papad).ask("set a 1");
    let stopped = papad.server_pid();
    stop(stopped);
    // It connects at once, and is answered by the next server.
    assert_eq!(Exact::tcp(&papad).ask("get a"), ["1"]);
    assert_ne!(papad.server_pid(), stopped);
    papad.wait_for_log(&format!("error keeper: the server (pid {stopped}) has not responded for"));
}

#[test]
fn stopped_server_is_replaced_after_sighup() {
    let papad = Papad::start();
    Exact::tcp(&papad).ask("set a 1");
    let stopped = papad.server_pid();
    stop(stopped);
    send(papad.keeper_pid(), Signal::SIGHUP);
    papad.wait_for_log("has not responded for");
    eventually("there is another server", || papad.server_pid() != stopped);
    assert_eq!(Exact::tcp(&papad).ask("get a"), ["1"]);
}

#[test]
fn sigterm_ends_papad_though_its_server_is_stopped() {
    let mut papad = Papad::start();
    drop(papad.session());
    stop(papad.server_pid());
    send(papad.keeper_pid(), Signal::SIGTERM);
    assert!(papad.wait_for_exit().success());
    assert!(papad.log().contains("has not ended for"), "{}", papad.log());
}

#[test]
fn systemd_is_told_of_a_server_that_stands_still() {
    let systemd = FakeSystemd::new();
    let papad = Papad::builder().under(&systemd).start();
    drop(papad.session());
    let stopped = papad.server_pid();
    stop(stopped);
    drop(papad.session());
    let status = format!("STATUS=Not responding: the server (pid {stopped})");
    systemd.wait_for(0, &status);
}

#[test]
fn stopped_keeper_has_requests_refused_and_loses_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p {}", script("exit 7")));
    let (keeper, server) = (papad.keeper_pid(), papad.server_pid());
    stop(keeper);
    let made = make_until_refused(&mut exact);
    // What does not take the keeper goes on.
    exact.ask("set a 1");
    exact.ask_for("limit", "make socket s");
    send(keeper, Signal::SIGCONT);
    expect_ends(&mut exact, made + 1);
    papad.wait_for_log("the keeper responds again");
    exact.ask("remove processes p*");
    exact.ask("make socket s");
    // What was refused is held by neither of them: of the socket, one descriptor in each.
    let memory_files = |pid| {
        let files = procfs::open_files(pid).into_values();
        files.filter(|file| file.contains("papad-ring")).count()
    };
    eventually("nothing is held any more", || {
        memory_files(keeper) == 0 && memory_files(server) == 0
    });
    assert_eq!((papad.keeper_pid(), papad.server_pid()), (keeper, server));
}

#[test]
fn stopped_keeper_that_is_killed_has_lost_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make process waiting -- /bin/sleep 1000");
    stop(papad.keeper_pid());
    let made = make_until_refused(&mut exact);
    papad.kill_keeper();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask("list processes p*").len(), made);
    assert!(exact.ask("list processes waiting")[0].contains("state=running"));
    exact.ask("make process again -- /bin/true");
}
