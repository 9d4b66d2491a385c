//! Processes in protocol 2: what can be asked for, as the child sees it, and what is told of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use papad_tests::exact::{Exact, Seen, number_of, script, value_of, words};
use papad_tests::{Papad, ScratchDir, eventually, is_root, procfs};

#[test]
fn a_process_is_told_of_by_all_that_a_manager_asks() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let made = exact.ask_line("make process web -- /bin/sleep 1000");
    let (pid, started) = (number_of(&made, "pid"), number_of(&made, "started"));
    assert_eq!(
        made,
        format!(
            "name=web id=1 state=running pid={pid} started={started} bufsize=2097152 overflow=drop \
             first=0 next=0 lost=0 watchers=0 -- /bin/sleep 1000"
        )
    );
    assert_eq!(procfs::stat(pid as i32).unwrap().parent, papad.keeper_pid());
    assert_eq!(exact.ask("list processes"), [made]);
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
    eventually("it has ended", || exact.ask_line("list processes").contains("state=exited"));
    let ended = exact.ask_line("list processes");
    let end = number_of(&ended, "ended");
    assert!(end > started, "{ended}");
    assert_eq!(
        ended,
        format!(
            "name=web id=1 state=exited pid={pid} started={started} signal=15 ended={end} \
             bufsize=2097152 overflow=drop first=0 next=0 lost=0 watchers=0 -- /bin/sleep 1000"
        )
    );
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).ask("list processes"), [ended]);
}

#[test]
fn positions_and_watchers_are_told() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask(format!("make process p bufsize=8k {}", script("head -c 10000 /dev/zero; exit 3")));
    eventually("it has ended", || exact.ask_line("list processes").contains("exit=3"));
    eventually("its output has come", || exact.ask_line("list processes").contains(" next=10000 "));
    let line = exact.ask_line("list processes");
    let (first, lost) = (number_of(&line, "first"), number_of(&line, "lost"));
    assert!(first >= 10_000 - 8192 && lost == first, "{line}");
    let mut watcher = Exact::tcp(&papad);
    watcher.ask("watch p");
    assert_eq!(number_of(&exact.ask_line("list processes"), "watchers"), 1);
    while !matches!(watcher.next_seen(), Seen::Closed { .. }) {}
    watcher.ask_expecting("ack p 9000\nstop", "end stopped\n");
    let line = exact.ask_line("list processes");
    assert_eq!((number_of(&line, "first"), number_of(&line, "lost")), (9000, lost), "{line}");
    assert_eq!(number_of(&line, "watchers"), 0);
}

#[test]
fn a_new_process_of_an_old_name_has_another_id() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for id in 1..=3 {
        let made = exact.ask_line("make process p -- /bin/true");
        assert_eq!(number_of(&made, "id"), id);
        eventually("it has ended", || exact.ask_line("list processes").contains("exit=0"));
        exact.ask_expecting("remove processes p", "ok 1\nname=p\n");
        papad.kill_server();
        exact = Exact::tcp(&papad);
    }
}

#[test]
fn a_removed_process_that_runs_is_listed_as_that() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let made = exact.ask_line("make process p -- /bin/sleep 1000");
    exact.ask("remove processes p");
    let line = exact.ask_line("list processes");
    assert_eq!(value_of(&line, "removed"), "1");
    assert_eq!(value_of(&line, "state"), "running");
    exact.ask_expecting("watch p", "ok 0\nend finished\n");
    kill(Pid::from_raw(number_of(&made, "pid") as i32), Signal::SIGKILL).unwrap();
    eventually("it has left the list", || exact.ask("list processes").is_empty());
}

#[test]
fn processes_are_removed_by_names_all_of_which_are_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["a", "b.1", "b.2"] {
        exact.ask(format!("make process {name} -- /bin/true"));
    }
    eventually("all have ended", || {
        exact.ask("list processes").iter().all(|line| line.contains("exit=0"))
    });
    exact.ask_for("usage", "remove processes");
    exact.ask_for("not-found", "remove processes a nothing");
    exact.ask_expecting("remove processes b.* x*", "ok 2\nname=b.1\nname=b.2\n");
    exact.ask_expecting("remove processes *", "ok 1\nname=a\n");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn the_same_name_with_the_same_options_is_the_same_process() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let dir = scratch.path().display();
    let options = format!("bufsize=64k linger=1000 dir={dir} env.A=1 env.B=2 umask=22");
    let made = exact.ask_line(format!("make process p {options} -- /bin/sleep 1000"));
    for same in [
        format!("env.B=2 env.A=1 umask=022 bufsize=65536 working_dir={dir}"),
        format!("overflow=drop stdout=keep stderr=keep shell=0 {options}"),
    ] {
        assert_eq!(exact.ask_line(format!("make process p {same} -- /bin/sleep 1000")), made);
    }
    for other in [
        format!("{options} overflow=block"),
        options.replace("umask=22", "umask=23"),
        options.replace("linger=1000", "linger=999"),
        options.replace("64k", "65k"),
        options.replace("env.A=1 ", ""),
        format!("{options} rlimit.nofile=10:20"),
        format!("{options} shell=1"),
        format!("{options} stderr=stdout"),
    ] {
        exact.ask_for("exists", format!("make process p {other} -- /bin/sleep 1000"));
    }
    exact.ask_for("exists", format!("make process p {options} -- /bin/sleep 1000 \"\""));
    // papa's words are the same process, too.
    let plain = format!("make process p working_dir={dir} bufsize=64k env.A=1 env.B=2");
    let reply = papad.session().ask_for_error(&format!("{plain} /bin/sleep 1000"));
    assert!(reply.starts_with("Process for p has already been created - p pid="), "{reply}");
}

#[test]
fn show_process_is_the_request_that_makes_it_again() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket web");
    exact.ask("make socket other");
    let dir = scratch.join("a b");
    std::fs::create_dir(&dir).unwrap();
    for options in [
        String::new(),
        format!("\"dir={dir}\" umask=27 bufsize=100k overflow=block linger=0"),
        "stdout=null".to_owned(),
        "stderr=stdout shell=1".to_owned(),
        "stderr=null stdout=null bufsize=0".to_owned(),
        "listen=web,other env.A= \"env.B=\\n\\xff =\"".to_owned(),
        "inherit=web listen=other rlimit.nofile=50:60 rlimit.core=unlimited".to_owned(),
        "env.P=$(socket.web.port) rlimit.core=0".to_owned(),
        if is_root("making a process of another user") { "uid=nobody" } else { "" }.to_owned(),
    ] {
        let command = r#"-- /bin/sh -c "exec /bin/sleep 1000" "" "\n" $(socket.web.port)"#;
        let command = if options.contains("shell=1") { "-- exec /bin/sleep 1000" } else { command };
        let made = exact.ask_line(format!("make process p {options} {command}"));
        let shown = exact.ask_line("show process p");
        assert!(shown.starts_with("make process p "), "{shown}");
        assert_eq!(exact.ask_line(&shown), made, "{shown}");
        exact.ask("remove processes p");
        kill(Pid::from_raw(number_of(&made, "pid") as i32), Signal::SIGKILL).unwrap();
        eventually("it has left the list", || exact.ask("list processes").is_empty());
        exact.ask(&shown);
        assert_eq!(exact.ask_line("show process p"), shown);
        papad.kill_server();
        exact = Exact::tcp(&papad);
        assert_eq!(exact.ask_line("show process p"), shown);
        let pid = number_of(&exact.ask_line("list processes"), "pid");
        exact.ask("remove processes p");
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        eventually("it has left the list", || exact.ask("list processes").is_empty());
    }
    exact.ask_for("not-found", "show process p");
    exact.ask_for("not-found", "show process p*");
    exact.ask_for("usage", "show process");
    exact.ask_for("usage", "show processes");
    exact.ask_for("usage", "show process a b");
}

#[test]
fn requests_that_are_not_understood_make_nothing() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket s");
    exact.ask("make socket a:b");
    for options in [
        "colour=red",
        "env.=1",
        "env.A=1 env.A=1",
        "\"env.A=\\x00\"",
        "uid=",
        "dir=",
        "dir=/ working_dir=/",
        "umask=8",
        "umask=1000",
        "umask=",
        "bufsize=many",
        "bufsize=65g",
        "bufsize=-1",
        "overflow=wait",
        "overflow=block bufsize=0",
        "stdout=1",
        "stdout=stderr",
        "stderr=err",
        "linger=-1",
        "linger=3600001",
        "linger=1s",
        "shell=yes",
        "watch=1",
        "listen=",
        "listen=s,",
        "listen=s,s",
        "listen=s inherit=s",
        "listen=a:b",
        "listen=s env.LISTEN_FDS=1",
        "rlimit.files=1",
        "rlimit.NOFILE=1",
        "rlimit.nofile=-1",
        "rlimit.nofile=2:1",
        "rlimit.nofile=1:2:3",
        "rlimit.nofile=",
        "bare",
    ] {
        exact.ask_for("usage", format!("make process p {options} -- /bin/true"));
    }
    for line in [
        "make process",
        "make process p",
        "make process p --",
        "make process p /bin/true",
        "make process p env.A=1 /bin/true",
        "make process a:b -- /bin/true",
        "make process a* -- /bin/true",
        "make process \"a b\" -- /bin/true",
        "make process \"\" -- /bin/true",
        "make process p -- /bin/echo \"\\x00\"",
    ] {
        exact.ask_for("usage", line);
    }
    exact.ask_for("not-found", "make process p listen=nothing -- /bin/true");
    exact.ask_for("not-found", "make process p inherit=nothing -- /bin/true");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn a_program_that_cannot_be_run_is_told_by_its_kind() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask_expecting(
        "make process p -- /no/such",
        "error spawn \"Bad command - No such file or directory: /no/such\"\n",
    );
    exact.ask_for("spawn", "make process p -- \"\"");
    exact.ask_for("spawn", "make process p dir=/no/such -- /bin/true");
    exact.ask_for("spawn", "make process p -- /etc/passwd");
    exact.ask_expecting("list processes", "ok 0\n");
}

#[test]
fn names_of_papas_sessions_are_the_same() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let mut plain = papad.session();
    plain.ask(r"make process p env.A=x\ y /bin/sleep 1000");
    let shown = exact.ask_line("show process p");
    assert_eq!(words(shown.as_bytes()).last().unwrap(), b"1000");
    assert!(shown.contains("\"env.A=x y\""), "{shown}");
    let made = exact.ask_line(&shown);
    assert_eq!(made, exact.ask_line("list processes p"));
}

#[test]
fn a_process_that_a_signal_has_stopped_is_told_from_others() {
    let papad = Papad::start();
    let mut session = papad.session();
    let pid = papad_tests::make_stopped(&mut session, "p", "", "");
    let mut exact = Exact::tcp(&papad);
    let listed = exact.ask_line("list processes");
    assert!(listed.contains(" state=running ") && listed.contains(" stopped=1 "), "{listed}");
    // papa 1.0 knows none that are.
    let line = session.ask("list processes");
    assert!(line.contains(" running=True ") && !line.contains("stopped"), "{line}");
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    eventually("it has ended", || {
        let listed = exact.ask_line("list processes");
        assert!(!listed.contains("state=exited") || !listed.contains("stopped="), "{listed}");
        listed.contains("state=exited")
    });
}
