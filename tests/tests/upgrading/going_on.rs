//! What goes on through an upgrade: everything.

use std::path::Path;

use nix::sys::signal::Signal;
use papad_tests::continuity::{Subject, Unchanged, open_files, sessions_go_on};
use papad_tests::exact::{Seen, value_of, wait_until_closed};
use papad_tests::{copy_program, eventually, procfs};

#[test]
fn sessions_of_every_kind_go_on_after_an_upgrade_in_protocol_2() {
    let subject = Subject::start();
    sessions_go_on(&subject, || subject.upgrade());
}

#[test]
fn sessions_of_every_kind_go_on_after_an_upgrade_in_papa_1_0() {
    let subject = Subject::start();
    sessions_go_on(&subject, || {
        let before = subject.papad.server_pid();
        let mut session = subject.papad.session();
        let version = value_of(subject.exact().hello(), "version");
        session.ask_expecting("upgrade", format!("Upgraded to papad {version}"));
        assert_ne!(subject.papad.server_pid(), before);
    });
}

#[test]
fn sessions_of_every_kind_go_on_after_an_upgrade_by_a_signal() {
    let subject = Subject::start();
    sessions_go_on(&subject, || {
        subject.install_again();
        let before = subject.papad.server_pid();
        subject.signal_keeper(Signal::SIGHUP);
        subject.papad.wait_for_log("keeper: upgraded");
        assert_ne!(subject.papad.server_pid(), before);
    });
}

#[test]
fn a_program_elsewhere_becomes_server_and_then_keeper() {
    let subject = Subject::start();
    let elsewhere = subject.scratch.join("elsewhere");
    copy_program(Path::new(subject.program()), &elsewhere);
    let inode = |path: String| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).unwrap().ino()
    };
    subject.ask_for_upgrade(&format!("upgrade {elsewhere}")).unwrap();
    let installed = inode(elsewhere);
    assert_eq!(inode(format!("/proc/{}/exe", subject.papad.server_pid())), installed);
    eventually("the keeper is the new program", || subject.keepers_program() == Some(installed));
}

#[test]
fn keeper_and_server_end_up_with_what_they_had_and_the_keeper_with_its_pid() {
    let subject = Subject::start();
    let count_pipes = |files: &[String]| files.iter().filter(|kind| *kind == "pipe").count();
    let pipes = open_files(&subject).map(|files| count_pipes(&files));
    let mut session = subject.exact();
    for line in [
        "make process running -- /bin/sleep 1000",
        "make process ended -- /bin/echo unread",
        "make socket inet",
        "set value 1",
    ] {
        session.ask(line);
    }
    session.ask(format!("make socket unix path={}", subject.scratch.join("unix")));
    wait_until_closed(&subject.papad, "ended");
    // Its pipes are closed a moment later. Those of the other one are left.
    eventually("the pipes of what has ended are closed", || {
        open_files(&subject).map(|files| count_pipes(&files)) == pipes.map(|pipes| pipes + 2)
    });
    let mut unchanged = Unchanged::look(&subject);
    let keeper = subject.papad.keeper_pid();
    let before = open_files(&subject);
    // The second one is from a keeper that has become another program itself.
    for _ in 0..2 {
        subject.upgrade();
        subject.wait_for_keeper_to_change();
        unchanged.check(&subject);
        assert_eq!(procfs::stat(subject.papad.server_pid()).unwrap().parent, keeper);
        eventually(&format!("keeper and server have open what they had: {before:?}"), || {
            open_files(&subject) == before
        });
    }
}

#[test]
fn an_upgrade_right_after_another_is_refused_while_the_new_version_is_on_trial() {
    let subject = Subject::start();
    subject.install_again();
    let mut asking = subject.exact();
    // At once: the new server goes on with the second one, and a trial is over in a few seconds.
    asking.send("upgrade\nupgrade\n");
    asking.reply().unwrap();
    assert_eq!(asking.reply().unwrap_err().what, "another upgrade is under way");
    subject.wait_for_keeper_to_change();
    subject.upgrade();
}

#[test]
fn of_two_upgrades_at_once_one_is_refused() {
    let subject = Subject::start();
    let mut sessions = [subject.exact(), subject.exact()];
    for session in &mut sessions {
        session.send("upgrade\n");
    }
    let replies = sessions.each_mut().map(|session| session.reply());
    let refused: Vec<_> = replies.iter().filter_map(|reply| reply.as_ref().err()).collect();
    assert_eq!(refused.len(), 1, "{replies:?}");
    assert_eq!(refused[0].what, "another upgrade is under way");
    for session in &mut sessions {
        session.ask("set value 1");
    }
}

#[test]
fn the_end_of_a_process_that_ends_during_an_upgrade_is_told_once_with_its_code() {
    const PROCESSES: usize = 40;
    let subject = Subject::start();
    let mut watcher = subject.exact();
    watcher.ask("watch life.* data=no");
    let fifos: Vec<_> = (0..PROCESSES)
        .map(|number| subject.make_echo(&format!("life.{number}"), number as u8))
        .collect();
    let mut asking = subject.exact();
    asking.send("upgrade\n");
    // They end while one server follows the other, one after another.
    for fifo in &fifos {
        fifo.send("end");
    }
    let mut closed = vec![0; PROCESSES];
    while closed.iter().sum::<i32>() < PROCESSES as i32 {
        if let Seen::Closed { name, end, .. } = watcher.next_seen() {
            let name = String::from_utf8(name).unwrap();
            let number: usize = name.strip_prefix("life.").unwrap().parse().unwrap();
            assert_eq!(end, format!("exit {number}"));
            closed[number] += 1;
            watcher.send(format!("ack {name} closed\n"));
        }
    }
    asking.reply().unwrap();
    watcher.ask_expecting("stop", "end stopped\n");
    assert_eq!(closed, [1; PROCESSES]);
    assert_eq!(subject.exact().ask("list processes"), [""; 0]);
}

#[test]
fn processes_made_during_an_upgrade_join_each_watch_once() {
    const PROCESSES: usize = 200;
    let subject = Subject::start();
    let mut watcher = subject.exact();
    watcher.ask("watch new.* mode=peek data=no");
    let mut maker = subject.exact();
    let mut asking = subject.exact();
    let make = |number: usize| format!("make process new.{number} -- /bin/sleep 1000\n");
    maker.send((0..PROCESSES).map(make).collect::<String>());
    asking.send("upgrade\n");
    for _ in 0..PROCESSES {
        maker.reply().unwrap();
    }
    asking.reply().unwrap();
    let mut joined: Vec<u64> = (0..PROCESSES)
        .map(|_| match watcher.next_seen() {
            Seen::Joined { id, .. } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    joined.sort_unstable();
    assert_eq!(joined, (1..=PROCESSES as u64).collect::<Vec<_>>());
    watcher.ask_expecting("stop", "end stopped\n");
}

#[test]
fn the_signal_to_end_given_during_an_upgrade_is_obeyed() {
    let mut subject = Subject::start();
    let mut asking = subject.exact();
    asking.send("upgrade\n");
    subject.signal_keeper(Signal::SIGTERM);
    assert!(subject.papad.wait_for_exit().success());
}

#[test]
fn the_signal_to_end_given_after_an_upgrade_is_obeyed() {
    let mut subject = Subject::start();
    subject.upgrade();
    subject.wait_for_keeper_to_change();
    subject.signal_keeper(Signal::SIGTERM);
    assert!(subject.papad.wait_for_exit().success());
    assert!(!std::fs::exists(subject.papad.unix_path()).unwrap());
}

#[test]
fn a_new_version_that_is_told_to_stop_is_not_said_to_have_failed() {
    let mut subject = Subject::start();
    subject.upgrade();
    subject.signal_keeper(Signal::SIGTERM);
    assert!(subject.papad.wait_for_exit().success());
    let log = subject.papad.log();
    assert!(!log.contains(" error "), "{log}");
}
