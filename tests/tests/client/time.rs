//! Time: no call takes longer than it may, and none is confused by how long that is.

use std::thread;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use papa_client::{Endpoint, ErrorKind, Lock, Papa};
use papad_tests::{DEADLINE, ScratchDir, papad_program};

use crate::{Hosted, continue_server, kind, stop_server};

/// So long that a test which waits for it does not end.
const LONG: Duration = Duration::from_secs(100_000);
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn a_time_that_no_clock_can_tell_is_no_limit() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint().deadline(Duration::MAX);
    let papa = Papa::connect_or_start(&endpoint).unwrap();
    let web = papa.process("web", "/bin/echo").make().unwrap();
    assert!(web.wait_timeout(Duration::MAX).unwrap().expect("it ends").success());
    assert!(web.stop(Duration::MAX).unwrap().success());
    let mut watcher = papa.watch(["web"]).start().unwrap();
    watcher.next_timeout(Duration::MAX).unwrap().expect("it joins").acknowledge();
    watcher.stop().unwrap();
    let lock = Lock::acquire(&endpoint, "manager", Duration::MAX).unwrap();
    assert!(lock.release().unwrap());
}

#[test]
fn a_lock_is_waited_for_no_longer_than_asked_when_papad_does_not_answer() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint().deadline(LONG);
    let server = stop_server(&hosted.papad);
    assert_eq!(kind(Lock::acquire(&endpoint, "manager", SHORT)), ErrorKind::Timeout);
    continue_server(server);
}

#[test]
fn an_end_is_waited_for_no_longer_than_asked_when_papad_does_not_answer() {
    let hosted = Hosted::start();
    hosted.papa.set_deadline(LONG);
    let process = hosted.papa.process("web", "/bin/sleep").arg("1000").make().unwrap();
    let server = stop_server(&hosted.papad);
    assert_eq!(process.wait_timeout(SHORT).unwrap(), None);
    continue_server(server);
    process.kill().unwrap();
    assert!(process.wait_timeout(DEADLINE).unwrap().is_some());
}

#[test]
fn what_could_not_be_sent_in_time_is_not_done_later() {
    const CALLS: usize = 200;
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let server = stop_server(&hosted.papad);
    papa.set_deadline(Duration::from_millis(1));
    let large = "x".repeat(10_000);
    for call in 0..CALLS {
        assert_eq!(kind(papa.set(format!("{call}"), &large)), ErrorKind::Timeout);
    }
    continue_server(server);
    papa.set_deadline(DEADLINE);
    papa.set("last", "1").unwrap();
    let done = papa.values("*").unwrap().len();
    assert!(done < CALLS / 2, "{done} of {CALLS} were done");
}

#[test]
fn threads_that_share_a_session_wait_at_the_same_time() {
    let hosted = Hosted::start();
    let server = stop_server(&hosted.papad);
    hosted.papa.set_deadline(SHORT);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(kind(hosted.papa.get("a")), ErrorKind::Timeout));
        }
    });
    continue_server(server);
}

#[test]
fn a_fifo_where_the_lock_to_start_by_should_be_holds_nobody_up() {
    let scratch = ScratchDir::new();
    mkfifo(scratch.join("papad.lock").as_str(), Mode::S_IRWXU).unwrap();
    let endpoint = Endpoint::unix(scratch.join("papad")).program(papad_program());
    let papa = Papa::connect_or_start(&endpoint).unwrap();
    assert!(papa.exit_if_idle().unwrap());
}
