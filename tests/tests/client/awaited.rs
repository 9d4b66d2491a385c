//! The same calls within tokio.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use papa_client::tokio::{Lock, Papa, Process, Watcher};
use papa_client::{Batch, Endpoint, ErrorKind, Signal};
use papad_tests::{DEADLINE, Fifo, ScratchDir, papad_program};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::flood::Flood;
use crate::{Hosted, continue_server, kind, stop_server};

/// Both ways to reach a papad.
async fn both(hosted: &Hosted) -> [Papa; 2] {
    let unix = Papa::connect(&hosted.endpoint()).await.unwrap();
    [unix, Papa::connect(&hosted.tcp_endpoint()).await.unwrap()]
}

async fn sleeper(papa: &Papa, name: &str) -> Process {
    papa.process(name, "/bin/sleep").arg("1000").env_clear().make().await.unwrap()
}

/// The next batch, which must come.
async fn next(watcher: &mut Watcher) -> Batch {
    timeout(DEADLINE, watcher.next()).await.unwrap().expect("the watch goes on").unwrap()
}

#[tokio::test]
async fn calls_are_awaited() {
    let hosted = Hosted::start();
    for papa in &both(&hosted).await {
        papa.set("a", "1").await.unwrap();
        assert_eq!(papa.get("a").await.unwrap().unwrap(), b"1");
        assert!(!papa.compare_and_set("a", None, "2").await.unwrap());
        let socket = papa.socket("web").make().await.unwrap();
        assert_eq!(papa.sockets("*").await.unwrap(), [socket]);
        assert!(papa.remove_socket("web").await.unwrap());
        assert_eq!(papa.status().await.unwrap().values, 1);
        assert_eq!(kind(papa.process("a", "/no/program").make().await), ErrorKind::Spawn);
    }
}

#[tokio::test]
async fn processes_are_signaled_waited_for_and_stopped() {
    let hosted = Hosted::start();
    for papa in &both(&hosted).await {
        let process = sleeper(papa, "web").await;
        assert!(timeout(Duration::from_millis(1), process.wait()).await.is_err());
        process.signal(Signal::USR1).await.unwrap();
        assert_eq!(process.wait().await.unwrap().signal(), Some(Signal::USR1));
        assert_eq!(kind(process.kill().await), ErrorKind::Ended);
        assert!(papa.remove_process("web").await.unwrap());
        let process = sleeper(papa, "web").await;
        let again = papa.process_again("web").await.unwrap().replace_ended();
        let end = process.stop(DEADLINE).await.unwrap();
        assert_eq!(end.signal(), Some(Signal::TERM));
        let process = again.make().await.unwrap();
        process.signal_group(Signal::USR2).await.unwrap();
        assert_eq!(process.wait().await.unwrap().signal(), Some(Signal::USR2));
        assert!(papa.remove_process("web").await.unwrap());
    }
}

#[tokio::test]
async fn a_socket_is_fetched_and_adopted() {
    let hosted = Hosted::start();
    let [papa, over_tcp] = both(&hosted).await;
    let port = papa.socket("web").make().await.unwrap().port();
    let listener = papa.tcp_listener("web").await.unwrap();
    assert_eq!(listener.local_addr().ok().map(|address| address.port()), port);
    assert_eq!(kind(over_tcp.tcp_listener("web").await), ErrorKind::NeedsUnix);
    assert!(papa.remove_socket("web").await.unwrap());
    assert_eq!(papa.adopt("web", &listener).await.unwrap().port(), port);
}

#[tokio::test]
async fn a_watcher_is_a_stream_through_kills() {
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.endpoint()).await.unwrap();
    let flood = Flood::make(&hosted.papa, "web", 300_000);
    let mut watcher = papa.watch(["web"]).start().await.unwrap();
    let mut check = flood.check();
    loop {
        let polled = std::future::poll_fn(|context| {
            futures_core::Stream::poll_next(Pin::new(&mut watcher), context)
        });
        let Some(batch) = timeout(DEADLINE, polled).await.unwrap() else {
            break;
        };
        let batch = batch.unwrap();
        check.take(&batch);
        hosted.papad.kill_server();
        batch.acknowledge();
    }
    assert!(check.is_closed() && watcher.is_finished());
}

#[tokio::test]
async fn many_watchers_share_a_thread() {
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.tcp_endpoint()).await.unwrap();
    let fifo = Fifo::new(&hosted.scratch, "go");
    let flood = Flood::make_waiting(&hosted.papa, "web", 100_000, fifo.path());
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let mut watcher = papa.watch(["web"]).start().await.unwrap();
        let mut check = flood.check();
        tasks.spawn(async move {
            while !check.is_closed() {
                let batch = next(&mut watcher).await;
                check.take(&batch);
                batch.acknowledge();
            }
            watcher.stop().await.unwrap();
        });
    }
    fifo.send_line();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert!(papa.processes("*").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_that_is_dropped_comes_again() {
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.endpoint()).await.unwrap();
    sleeper(&papa, "web").await;
    let mut watcher = papa.watch(["web"]).start().await.unwrap();
    drop(next(&mut watcher).await);
    let again = next(&mut watcher).await;
    assert_eq!(again.iter().len(), 1);
    again.acknowledge();
    let mut nothing_more = Box::pin(watcher.next());
    let polled = std::future::poll_fn(|context| Poll::Ready(nothing_more.as_mut().poll(context)));
    assert!(polled.await.is_pending());
}

#[tokio::test]
async fn a_call_that_is_dropped_does_no_harm_to_the_next() {
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.endpoint()).await.unwrap();
    papa.set("a", "1").await.unwrap();
    papa.set("b", "2").await.unwrap();
    for _ in 0..20 {
        let mut dropped = Box::pin(papa.get("a"));
        // It is sent, and its answer is not waited for.
        let polled = std::future::poll_fn(|context| Poll::Ready(dropped.as_mut().poll(context)));
        drop(polled.await);
        drop(dropped);
        assert_eq!(papa.get("b").await.unwrap().unwrap(), b"2");
    }
}

#[tokio::test]
async fn a_call_fails_when_its_deadline_has_passed() {
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.endpoint()).await.unwrap();
    let server = stop_server(&hosted.papad);
    papa.set_deadline(Duration::from_millis(20));
    assert_eq!(kind(papa.get("a").await), ErrorKind::Timeout);
    continue_server(server);
    papa.set_deadline(DEADLINE);
    assert_eq!(papa.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_lock_is_held_by_one_and_its_loss_is_told() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let lock = Lock::try_acquire(&endpoint, "manager").await.unwrap().unwrap();
    assert!(Lock::try_acquire(&endpoint, "manager").await.unwrap().is_none());
    let soon = Duration::from_millis(1);
    assert_eq!(kind(Lock::acquire(&endpoint, "manager", soon).await), ErrorKind::Timeout);
    assert!(lock.is_held().await);
    assert!(timeout(soon, lock.lost()).await.is_err());
    hosted.papad.kill_server();
    timeout(DEADLINE, lock.lost()).await.unwrap();
    let lock = Lock::acquire(&endpoint, "manager", DEADLINE).await.unwrap();
    assert!(lock.release().await.unwrap());
}

#[tokio::test]
async fn the_loss_of_a_lock_is_told_to_all_who_wait_for_it() {
    let hosted = Hosted::start();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").await.unwrap().unwrap();
    let lock = Arc::new(lock);
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let lock = Arc::clone(&lock);
        tasks.spawn(async move { timeout(DEADLINE, lock.lost()).await.unwrap() });
    }
    // They wait by now: all of them are on this thread.
    tokio::task::yield_now().await;
    hosted.papad.kill_server();
    while let Some(told) = tasks.join_next().await {
        told.unwrap();
    }
}

#[tokio::test]
async fn a_lock_whose_value_was_removed_is_lost() {
    let hosted = Hosted::start();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").await.unwrap().unwrap();
    hosted.papa.remove_values("*").unwrap();
    timeout(DEADLINE, lock.lost()).await.unwrap();
}

#[tokio::test]
async fn a_lock_that_is_kept_outlives_papads_server_until_it_is_taken() {
    let hosted = Hosted::start();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").await.unwrap().unwrap().keep();
    let value = || hosted.papa.get("manager").unwrap();
    let before = value();
    for _ in 0..3 {
        hosted.papad.kill_server();
        while value() != before {
            sleep(Duration::from_millis(2)).await;
        }
    }
    hosted.papa.set("manager", "another").unwrap();
    let lost = timeout(DEADLINE, lock.lost()).await.unwrap();
    assert_eq!(lost.to_string(), "the lock manager is lost: somebody else has it");
    assert!(!lock.release().await.unwrap());

    hosted.papa.remove_values("*").unwrap();
    let lock = Lock::try_acquire(&hosted.endpoint(), "manager").await.unwrap().unwrap().keep();
    assert!(lock.release().await.unwrap());
    assert!(hosted.papa.get("manager").unwrap().is_none());
}

#[tokio::test]
async fn tasks_that_share_a_session_wait_at_the_same_time() {
    // One after the other, they would take longer than any machine holds up one of them.
    const TASKS: u32 = 400;
    let hosted = Hosted::start();
    let papa = Papa::connect(&hosted.endpoint()).await.unwrap();
    let server = stop_server(&hosted.papad);
    let time = Duration::from_millis(200);
    papa.set_deadline(time);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let papa = papa.clone();
        tasks.spawn(async move { kind(papa.get("a").await) });
    }
    while let Some(answer) = tasks.join_next().await {
        assert_eq!(answer.unwrap(), ErrorKind::Timeout);
    }
    assert!(begun.elapsed() < TASKS / 2 * time, "they have waited one after the other");
    continue_server(server);
}

#[tokio::test]
async fn a_lock_is_waited_for_no_longer_than_asked() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint().deadline(Duration::from_secs(100_000));
    let server = stop_server(&hosted.papad);
    let soon = Duration::from_millis(20);
    assert_eq!(kind(Lock::acquire(&endpoint, "manager", soon).await), ErrorKind::Timeout);
    continue_server(server);
    let lock = Lock::acquire(&endpoint, "manager", Duration::MAX).await.unwrap();
    assert!(lock.is_held().await);
}

#[tokio::test]
async fn papad_is_started_where_nobody_answers() {
    let scratch = ScratchDir::new();
    let endpoint = Endpoint::unix(scratch.join("papad")).program(papad_program());
    let papa = Papa::connect_or_start(&endpoint).await.unwrap();
    let pid = papa.status().await.unwrap().pid;
    assert!(papa.exit_if_idle().await.unwrap());
    drop(papa);
    while papad_tests::procfs::stat(pid).is_some() {
        sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn without_a_runtime_there_is_an_error() {
    let hosted = Hosted::start();
    let endpoint = hosted.endpoint();
    let mut connecting = Box::pin(Papa::connect(&endpoint));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut context) else {
        panic!("it waits for a runtime that is not there");
    };
    assert_eq!(kind(connected), ErrorKind::Usage);
}
