//! Upgrades that cannot be: the old version goes on undisturbed, and the caller reads why.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::continuity::{Subject, go_on, open_files, sessions_go_on};
use papad_tests::{copy_program, eventually, procfs};

/// Sees that an upgrade by `line` fails for this reason, in both dialects, and that nothing has
/// changed.
#[track_caller]
fn fails(subject: &Subject, line: &str, why: &str) {
    let (server, keeper) = (subject.papad.server_pid(), subject.papad.keeper_pid());
    go_on(subject, || {
        let said = subject.upgrade_refused(line);
        assert!(said.contains(why), "{line}: {said}");
        let said = subject.papad.session().ask_for_error(line);
        assert!(said.contains(why), "{line}: {said}");
    });
    assert_eq!((subject.papad.server_pid(), subject.papad.keeper_pid()), (server, keeper));
}

/// The program `no-papad` under this name, which says what it does.
fn no_papad(subject: &Subject, name: &str) -> String {
    let path = subject.scratch.join(name);
    copy_program(Path::new(env!("CARGO_BIN_EXE_no-papad")), &path);
    path
}

/// The candidate that is a program of this name, once it runs.
fn candidate(subject: &Subject, name: &str) -> i32 {
    let mut candidate = None;
    eventually("the candidate runs", || {
        let children = procfs::children(subject.papad.keeper_pid());
        candidate = children.into_iter().find(|child| {
            let program = fs::read_link(format!("/proc/{}/exe", child.pid));
            program.is_ok_and(|program| program.ends_with(name))
        });
        candidate.is_some()
    });
    candidate.expect("the wait ends when it is found").pid
}

#[test]
fn a_path_that_is_no_program_is_refused() {
    let subject = Subject::start();
    let plain = subject.scratch.join("plain");
    fs::write(&plain, "").unwrap();
    for (path, why) in [
        ("/no/such/program", "No such file or directory"),
        ("/tmp", "is no program"),
        (plain.as_str(), "is no program"),
        ("bin/true", "is no absolute path"),
    ] {
        fails(&subject, &format!("upgrade {path}"), why);
    }
    subject.exact().ask_for("not-found", "upgrade /no/such/program");
    subject.exact().ask_for("usage", "upgrade bin/true");
    subject.exact().ask_for("usage", "upgrade /bin/true /bin/true");
}

#[test]
fn a_program_that_is_not_papad_is_refused() {
    let subject = Subject::start();
    let before = open_files(&subject);
    let [unable, nonsense] = ["unable", "nonsense"].map(|name| no_papad(&subject, name));
    let garbage = subject.scratch.program("garbage", "no program and no script");
    let script = subject.scratch.program("script", "#!/bin/sh\nexec papad \"$@\"\n");
    let ended = "ended before it could take over";
    for (program, why) in [
        ("/bin/true", ended),
        ("/bin/cat", ended),
        (nonsense.as_str(), ended),
        (garbage.as_str(), "cannot be run"),
        (unable.as_str(), "there is a reason"),
        (script.as_str(), "it is a script"),
    ] {
        fails(&subject, &format!("upgrade {program}"), why);
    }
    eventually("keeper and server have open what they had", || open_files(&subject) == before);
    eventually("no candidate is left", || procfs::children(subject.papad.keeper_pid()).len() == 1);
    // The failures are over, and said to nobody who asks later.
    subject.upgrade();
}

#[test]
fn a_program_that_says_anything_but_that_it_is_able_is_given_up_when_its_time_is_over() {
    let subject = Subject::start();
    let eager = no_papad(&subject, "eager");
    let server = subject.papad.server_pid();
    let mut asking = subject.exact();
    sessions_go_on(&subject, || {
        asking.send(format!("upgrade {eager}\n"));
        candidate(&subject, "eager");
        assert_eq!(subject.upgrade_refused("upgrade"), "another upgrade is under way");
        // Others are served meanwhile.
        subject.exact().ask("set meanwhile 1");
        let refusal = asking.reply().unwrap_err();
        assert!(refusal.what.contains("does not say that it can take over"), "{refusal:?}");
        assert_eq!(subject.exact().ask("get meanwhile"), ["1"]);
        subject.exact().ask("unset meanwhile");
    });
    assert_eq!(subject.papad.server_pid(), server);
}

#[test]
fn a_program_that_only_says_that_it_took_over_leaves_one_papad() {
    let subject = Subject::start();
    subject.exact().ask("set value 1");
    let (liar, keeper) = (no_papad(&subject, "liar"), subject.papad.keeper_pid());
    // The session that asks goes on only if the next server still finds it.
    let _ = subject.exact().try_ask(format!("upgrade {liar}"));
    subject.papad.wait_for_log("the old one is put back");
    assert_eq!(subject.exact().ask("get value"), ["1"]);
    assert_eq!(subject.papad.servers().len(), 1);
    assert_eq!(subject.papad.keeper_pid(), keeper);
    let log = subject.papad.log();
    assert!(!log.contains("starting another"), "{log}");
    subject.upgrade();
}

#[test]
fn a_missing_program_where_papad_was_started_from_is_no_end() {
    let subject = Subject::start();
    fs::remove_file(subject.program()).unwrap();
    fails(&subject, "upgrade", "No such file or directory");
    subject.signal_keeper(Signal::SIGHUP);
    subject.papad.wait_for_log("No such file or directory");
    // A server can be started without it.
    subject.papad.kill_server();
    subject.exact().ask("set value 1");
}

#[test]
fn a_server_that_is_killed_while_a_candidate_is_checked_is_followed_by_the_old_version() {
    let subject = Subject::start();
    let silent = no_papad(&subject, "silent");
    subject.exact().ask("set value 1");
    let mut asking = subject.exact();
    asking.send(format!("upgrade {silent}\n"));
    candidate(&subject, "silent");
    subject.papad.kill_server();
    asking.expect_closed();
    assert_eq!(subject.exact().ask("get value"), ["1"]);
    eventually("the candidate is dismissed", || {
        procfs::children(subject.papad.keeper_pid()).len() == 1
    });
    subject.upgrade();
}

#[test]
fn a_candidate_that_is_killed_while_it_is_checked_changes_nothing() {
    let subject = Subject::start();
    let silent = no_papad(&subject, "silent");
    let mut asking = subject.exact();
    asking.send(format!("upgrade {silent}\n"));
    kill(Pid::from_raw(candidate(&subject, "silent")), Signal::SIGKILL).unwrap();
    let refusal = asking.reply().unwrap_err();
    assert!(refusal.what.contains("ended before it could take over"), "{refusal:?}");
    subject.upgrade();
}
