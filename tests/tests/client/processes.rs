//! Processes: made as described, signaled and waited for, each as itself alone.

use std::time::Duration;

use papa_client::{
    End, Endpoint, ErrorKind, Event, Overflow, Papa, Process, Resource, Signal, State, Stderr,
    Stdout,
};
use papad_tests::{DEADLINE, Papad, eventually, procfs};

use crate::{Hosted, kind};

/// A process that runs until it is told to end.
fn sleeper(papa: &Papa, name: &str) -> Process {
    papa.process(name, "/bin/sleep").arg("1000").env_clear().make().unwrap()
}

/// Both ways to reach a papad.
fn both(hosted: &Hosted) -> [Papa; 2] {
    [hosted.papa.clone(), hosted.over_tcp()]
}

#[test]
fn a_process_is_what_was_described() {
    let hosted = Hosted::start();
    let (papa, scratch) = (&hosted.papa, &hosted.scratch);
    let script = "printf '%s|' \"$1\" \"$2\" \"$A\" \"$(pwd)\" \"$(umask)\" \"$(ulimit -n)\"; \
                  echo err >&2";
    let made = papa
        .process("web", "/bin/sh")
        .args(["-c", script, "sh", "", "a b\n"])
        .env_clear()
        .env("A", "\u{e9}")
        .current_dir(scratch.path())
        .umask(0o027)
        .rlimit(Resource::Nofile, 77, 99)
        .bufsize(1 << 16)
        .overflow(Overflow::Block)
        .stderr(Stderr::Null)
        .stdout(Stdout::Keep)
        .linger(Duration::from_millis(1))
        .make()
        .unwrap();
    let info = made.info();
    assert_eq!((info.bufsize, info.overflow, info.shell), (1 << 16, Overflow::Block, false));
    assert_eq!(info.directory.as_deref(), Some(scratch.path()));
    assert_eq!(info.command[3..], ["sh", "", "a b\n"]);
    let shown = papa.show_process("web").unwrap();
    assert_eq!(shown[..3], ["make", "process", "web"]);
    assert!(shown.contains(&"umask=0027".into()), "{shown:?}");
    let expected = format!("|a b\n|\u{e9}|{}|0027|77|", scratch.path().display());
    assert_eq!(written(papa, "web"), expected);
}

#[test]
fn the_same_process_is_found_again_and_another_is_refused() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let first = sleeper(papa, "web");
    assert_eq!(sleeper(papa, "web").id(), first.id());
    let other = papa.process("web", "/bin/sleep").arg("1001").env_clear().make();
    assert_eq!(kind(other), ErrorKind::Exists);
    let failed = papa.process("bad", "/no/such/program").make();
    assert_eq!(kind(failed), ErrorKind::Spawn);
    assert_eq!(kind(papa.process("a:b", "/bin/true").make()), ErrorKind::Usage);
    assert!(papa.process_named("bad").unwrap().is_none());
    first.kill().unwrap();
}

#[test]
fn a_command_may_be_a_line_of_shell() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let made = papa.process("line", "echo $((6 * 7))").shell().make().unwrap();
    assert!(made.info().shell);
    assert_eq!(written(papa, "line"), "42\n");
}

#[test]
fn processes_are_listed_with_all_there_is_to_know() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let web = sleeper(papa, "web.1");
    papa.process("web.2", "/bin/sh").args(["-c", "printf abc; exit 3"]).make().unwrap();
    // What it has written may be read a moment after it has ended.
    let ended =
        |info: &papa_client::ProcessInfo| info.end() == Some(End::Exited(3)) && info.next == 3;
    eventually("it has ended", || ended(&papa.processes("web.2").unwrap()[0]));
    let listed = papa.processes("web.*").unwrap();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0].name, listed[0].id), (web.name(), web.id()));
    assert!(listed[0].is_running() && listed[0].started == web.info().started);
    let State::Exited { at, .. } = listed[1].state else { panic!("{listed:?}") };
    assert!(at >= listed[1].started);
    assert_eq!((listed[1].first, listed[1].next, listed[1].lost), (0, 3, 0));
    let watcher = papa.watch(["web.1"]).start().unwrap();
    assert_eq!(web.reload().unwrap().unwrap().watchers, 1);
    drop(watcher);
    assert!(papa.processes("none").unwrap().is_empty());
    web.kill().unwrap();
}

#[test]
fn a_process_is_signaled_and_waited_for() {
    let hosted = Hosted::start();
    for papa in &both(&hosted) {
        let process = sleeper(papa, "web");
        assert_eq!(process.wait_timeout(Duration::ZERO).unwrap(), None);
        process.signal(Signal::USR1).unwrap();
        let end = process.wait().unwrap();
        assert_eq!(end, End::Signaled(Signal::USR1));
        assert_eq!(end.status().unwrap().code(), None);
        assert_eq!(kind(process.signal(Signal::TERM)), ErrorKind::Ended);
        assert_eq!(process.wait().unwrap(), end);
        assert!(papa.remove_process("web").unwrap());
        assert_eq!(process.reload().unwrap(), None);
    }
}

#[test]
fn who_does_not_end_when_asked_is_killed() {
    let hosted = Hosted::start();
    for papa in &both(&hosted) {
        let polite = sleeper(papa, "polite");
        assert_eq!(polite.stop(DEADLINE).unwrap(), End::Signaled(Signal::TERM));
        assert_eq!(polite.stop(DEADLINE).unwrap(), End::Signaled(Signal::TERM));
        // An ignored signal stays ignored through exec.
        let stubborn = papa
            .process("stubborn", "/bin/sh")
            .args(["-c", "trap '' TERM; echo ready; exec sleep 1000"])
            .make()
            .unwrap();
        eventually("it ignores the signal", || papa.processes("stubborn").unwrap()[0].next > 0);
        assert_eq!(stubborn.stop(Duration::from_millis(1)).unwrap(), End::Signaled(Signal::KILL));
        papa.remove_processes("*").unwrap();
    }
}

#[test]
fn an_end_that_a_watcher_took_is_known_still_or_said_to_be_unknown() {
    let hosted = Hosted::start();
    for papa in &both(&hosted) {
        let process = papa.process("web", "/bin/sh").args(["-c", "exec cat"]).make().unwrap();
        let process = match process.wait().unwrap() {
            // Its standard input is empty.
            End::Exited(0) => process,
            end => panic!("{end}"),
        };
        for batch in papa.watch(["web"]).start().unwrap() {
            batch.unwrap().acknowledge();
        }
        eventually("it has left the list", || process.reload().unwrap().is_none());
        let end = process.wait().unwrap();
        assert!(matches!(end, End::Exited(0) | End::Unknown), "{end}");
    }
}

#[test]
fn ends_are_known_to_a_papad_that_was_started_with_sigchld_ignored() {
    let papad = Papad::builder().after_shell("trap '' CHLD").start();
    let papa = Papa::connect(&Endpoint::tcp(papad.port())).unwrap();
    let process = papa.process("web", "/bin/sh").args(["-c", "exit 3"]).make().unwrap();
    assert_eq!(process.wait_timeout(DEADLINE).unwrap(), Some(End::Exited(3)));
    papad.kill_server();
    assert_eq!(papa.process_named("web").unwrap().unwrap().wait().unwrap(), End::Exited(3));
}

#[test]
fn a_handle_that_was_told_of_an_end_knows_it_when_papad_does_not() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    papa.process("web", "/bin/sh").args(["-c", "exit 3"]).make().unwrap().wait().unwrap();
    let process = papa.process_named("web").unwrap().unwrap();
    assert_eq!(process.info().end(), Some(End::Exited(3)));
    assert!(papa.remove_process("web").unwrap());
    assert_eq!(process.wait().unwrap(), End::Exited(3));
    assert_eq!(process.stop(DEADLINE).unwrap(), End::Exited(3));
}

#[test]
fn a_process_is_started_in_place_of_one_that_has_ended_if_asked_for() {
    let hosted = Hosted::start();
    for papa in &both(&hosted) {
        let builder = papa.process("web", "/bin/sh").args(["-c", "read line"]).env_clear();
        let ended = builder.make().unwrap();
        ended.wait().unwrap();
        // What is there is as good, even if it runs no more.
        assert_eq!(builder.make().unwrap().id(), ended.id());
        let new = builder.replace_ended().make().unwrap();
        assert_ne!(new.id(), ended.id());
        new.wait().unwrap();
        let sleeper = || papa.process("web", "/bin/sleep").arg("1000").env_clear().replace_ended();
        let running = sleeper().make().unwrap();
        assert_eq!(sleeper().make().unwrap().id(), running.id());
        running.kill().unwrap();
        running.wait().unwrap();
        papa.remove_process("web").unwrap();
    }
}

#[test]
fn a_process_with_a_name_that_papa_1_0_allows_is_found() {
    let hosted = Hosted::start();
    let mut old = hosted.papad.session();
    old.ask("make process web* /bin/sleep 1000");
    sleeper(&hosted.papa, "web.1");
    let listed = hosted.papa.processes("web*").unwrap();
    let info = listed.into_iter().find(|info| info.name == "web*").unwrap();
    let process = hosted.papa.process_named(&info.name).unwrap().unwrap();
    assert_eq!(process.id(), info.id);
    let listed = hosted.papa.process_listed(info);
    assert_eq!(listed.stop(DEADLINE).unwrap(), End::Signaled(Signal::TERM));
    assert_eq!(process.wait().unwrap(), End::Signaled(Signal::TERM));
}

#[test]
fn a_handle_never_means_another_process_of_its_name() {
    let hosted = Hosted::start();
    for papa in &both(&hosted) {
        let old = sleeper(papa, "web");
        let by_name = papa.process_named("web").unwrap().unwrap();
        assert_eq!(by_name.id(), old.id());
        let listed = papa.process_listed(papa.processes("web").unwrap().remove(0));
        old.kill().unwrap();
        old.wait().unwrap();
        papa.remove_process("web").unwrap();
        let new = sleeper(papa, "web");
        assert_ne!(new.id(), old.id());
        // One that has its pidfd, and others that have never asked for it.
        for handle in [&old, &by_name, &listed] {
            assert_eq!(kind(handle.signal(Signal::KILL)), ErrorKind::Ended);
        }
        assert!(procfs::stat(new.info().pid).is_some_and(|process| !process.is_zombie()));
        new.kill().unwrap();
        new.wait().unwrap();
        papa.remove_process("web").unwrap();
    }
}

#[test]
fn a_handle_outlives_papads_server() {
    let hosted = Hosted::start();
    let process = sleeper(&hosted.papa, "web");
    hosted.papad.kill_server();
    process.kill().unwrap();
    hosted.papad.kill_server();
    assert_eq!(process.wait().unwrap(), End::Signaled(Signal::KILL));
}

#[test]
fn a_removed_process_runs_on() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let process = sleeper(papa, "web");
    assert!(papa.remove_process("web").unwrap());
    assert!(process.reload().unwrap().is_some_and(|info| info.removed && info.is_running()));
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!papa.remove_process("web").unwrap());
}

/// What a process has written, once it has ended.
fn written(papa: &Papa, name: &str) -> String {
    let mut written = Vec::new();
    for batch in papa.watch([name]).start().unwrap() {
        let batch = batch.unwrap();
        for event in &batch {
            if let Event::Output { bytes, .. } = event {
                written.extend_from_slice(bytes);
            }
        }
        batch.acknowledge();
    }
    String::from_utf8(written).unwrap()
}
