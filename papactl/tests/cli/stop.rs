//! stop and signal.

use papad_tests::exact::{Exact, make_writer, quoted};
use papad_tests::{Fifo, Papad, ScratchDir, eventually, procfs};
use serde_json::json;

use crate::ctl::Ctl;

/// Has a shell run this line as a process of this name.
fn run(ctl: &Ctl, name: &str, line: &str) {
    ctl.ok(&["run", name, "--", "/bin/sh", "-c", line]);
}

/// Has a process run that does not mind SIGTERM, and returns when it does not.
fn run_stubborn(ctl: &Ctl, name: &str, scratch: &ScratchDir) {
    let ready = Fifo::new(scratch, name);
    let path = ready.path();
    run(ctl, name, &format!("trap '' TERM; echo ready >{path}; exec sleep 1000"));
    ready.read_line();
}

#[test]
fn processes_are_asked_to_end_and_waited_for() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        run(&ctl, "a", "exit 3");
        ctl.run(&["wait", "a"]);
        run(&ctl, "b", "exec sleep 1000");
        run(&ctl, "c.1", "exec sleep 1000");
        assert_eq!(
            ctl.ok(&["stop", "a", "b", "none*"]),
            "a has ended already (exit status 3)\nb has ended (signal TERM)\n"
        );
        let json = ctl.json(&["stop", "--signal", "SIGINT", "c*", "a"]);
        assert_eq!((&json[0]["name"], &json[0]["signal"]), (&json!("c.1"), &json!("INT")));
        assert_eq!((&json[0]["already"], &json[1]["already"]), (&json!(false), &json!(true)));
        assert_eq!(ctl.fails(&["stop", "a", "none"]).0, 3);
        ctl.ok(&["rm", "*"]);
    }
}

#[test]
fn what_does_not_end_is_told_or_killed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    run_stubborn(&ctl, "a", &scratch);
    run_stubborn(&ctl, "b", &scratch);
    run(&ctl, "c", "exec sleep 1000");
    let words = ["stop", "a", "b", "c", "--grace", "5s"];
    let ran = ctl.run(&[&words[..], &["--no-kill"]].concat());
    assert_eq!(ran.status, Some(6));
    assert_eq!(ran.text(), "c has ended (signal TERM)\n", "the others are not waited for");
    assert_eq!(
        ran.error(),
        "papactl: a and b still run after 5s; \"papactl stop --kill a b\" ends what does not\n"
    );
    assert_eq!(
        ctl.ok(&words),
        "a has ended (signal KILL)\nb has ended (signal KILL)\nc has ended already (signal TERM)\n"
    );
}

#[test]
fn descendants_end_with_the_process_or_are_killed() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let fifo = Fifo::new(&scratch, "fifo");
    let path = fifo.path();
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        run(&ctl, "web", &format!("sleep 1000 & echo $! >{path}; wait"));
        fifo.read_line();
        assert_eq!(
            ctl.ok(&["stop", "web"]),
            "web has ended (signal TERM); 1 descendant has ended, too\n"
        );
        // The process ends at once, and its child does not mind the signal.
        let stubborn = "trap '' TERM; echo $$ >PATH; exec sleep 1000";
        let stubborn = stubborn.replace("PATH", path);
        ctl.ok(&["rm", "web"]);
        run(&ctl, "web", &format!("sh -c {} & wait", quoted(&stubborn)));
        let child: i32 = fifo.read_line().parse().unwrap();
        let ran = ctl.run(&["stop", "web", "--no-kill", "--grace=1ms"]);
        assert_eq!(ran.status, Some(6));
        assert!(ran.error().contains("still"), "{}", ran.error());
        assert_eq!(ctl.run(&["wait", "web"]).status, Some(143));
        // It can be signaled still, and stopped, though its leader has ended.
        assert_eq!(ctl.ok(&["signal", "--group", "CONT", "web"]), "");
        assert_eq!(
            ctl.ok(&["stop", "web", "-g", "-k", "-t", "1ms"]),
            "web has ended already (signal TERM); 1 descendant was killed\n"
        );
        assert!(procfs::stat(child).is_none_or(|it| it.is_zombie()));
        assert_eq!(ctl.ok(&["stop", "web"]), "web has ended already (signal TERM)\n");
        assert_eq!(ctl.run(&["signal", "--group", "CONT", "web"]).status, Some(3));
        ctl.ok(&["rm", "web"]);
    }
}

#[test]
fn stopped_processes_leave_the_list_with_rm() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    make_writer(&mut Exact::tcp(&papad), "a", "hello");
    run(&ctl, "b", "exit 3");
    ctl.run(&["wait", "b"]);
    assert_eq!(
        ctl.ok(&["stop", "--rm", "*"]),
        "a has ended (signal TERM) and is removed; 5 bytes that nobody had taken are gone\n\
         b has ended already (exit status 3) and is removed\n"
    );
    assert_eq!(ctl.json(&["ps"]), json!([]));
    make_writer(&mut Exact::tcp(&papad), "a", "hello");
    let stopped = &ctl.json(&["stop", "--rm", "a"])[0];
    assert_eq!((&stopped["removed"], &stopped["unread_dropped"]), (&json!(true), &json!(5)));
    run(&ctl, "a", "exec sleep 1000");
    let stopped = &ctl.json(&["stop", "a"])[0];
    assert_eq!((&stopped["removed"], &stopped["unread_dropped"]), (&json!(false), &json!(0)));
}

#[test]
fn process_stays_listed_while_its_descendants_run() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "fifo");
    let stubborn = format!("trap '' TERM; echo $$ >{}; while :; do sleep 1000; done", fifo.path());
    run(&ctl, "web", &format!("sh -c {} & wait", quoted(&stubborn)));
    fifo.read_line();
    assert_eq!(ctl.run(&["stop", "web", "--rm", "--no-kill", "--grace=1ms"]).status, Some(6));
    ctl.run(&["wait", "web"]);
    assert_eq!(ctl.json(&["ps"])[0]["name"], "web", "its descendant can be reached still");
    let line = ctl.ok(&["stop", "web", "--rm", "--grace=1ms"]);
    assert!(line.starts_with("web has ended already (signal TERM) and is removed; "), "{line}");
    assert_eq!(ctl.json(&["ps"]), json!([]));
}

#[test]
fn only_leader_leaves_descendants_as_they_are() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "fifo");
    run(&ctl, "web", &format!("sleep 1000 & echo $! >{}; wait", fifo.path()));
    let child: i32 = fifo.read_line().parse().unwrap();
    assert_eq!(ctl.ok(&["stop", "web", "--only-leader"]), "web has ended (signal TERM)\n");
    assert!(procfs::stat(child).is_some_and(|it| !it.is_zombie()));
    assert_eq!(
        ctl.ok(&["stop", "web"]),
        "web has ended already (signal TERM); 1 descendant has ended, too\n"
    );
}

#[test]
fn process_that_a_signal_has_stopped_ends_all_the_same() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    for words in [&["stop", "web", "--no-kill"][..], &["stop", "web", "--no-kill", "--only-leader"]]
    {
        run(&ctl, "web", "exec sleep 1000");
        ctl.ok(&["signal", "STOP", "web"]);
        let pid = ctl.json(&["ps", "web"])[0]["pid"].as_i64().unwrap() as i32;
        eventually("it stands still", || procfs::stat(pid).is_some_and(|it| it.state == 'T'));
        assert_eq!(ctl.ok(words), "web has ended (signal TERM)\n");
        ctl.ok(&["rm", "web"]);
    }
}

#[test]
fn a_group_ends_with_the_process_that_leads_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let fifo = Fifo::new(&scratch, "fifo");
    for words in [&["stop", "web", "--group"][..], &["signal", "--group", "TERM", "web"]] {
        run(&ctl, "web", &format!("sleep 1000 & echo $! >{}; wait", fifo.path()));
        let child: i32 = fifo.read_line().parse().unwrap();
        ctl.ok(words);
        eventually("the child has ended", || procfs::stat(child).is_none_or(|it| it.is_zombie()));
        assert_eq!(ctl.run(&["wait", "web"]).status, Some(143));
        ctl.ok(&["rm", "web"]);
    }
}

#[test]
fn a_signal_is_sent_by_name_or_number() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let fifo = Fifo::new(&scratch, "fifo");
    let path = fifo.path();
    let line = format!(
        "trap 'echo got >{path}' HUP; echo ready >{path}; while :; do sleep 1000 & wait; done"
    );
    for ctl in [Ctl::of(&papad), Ctl::over_unix(&papad)] {
        run(&ctl, "web", &line);
        assert_eq!(fifo.read_line(), "ready");
        for signal in ["HUP", "SIGHUP", "hup", "1"] {
            assert_eq!(ctl.ok(&["signal", signal, "web"]), "");
            assert_eq!(fifo.read_line(), "got");
        }
        assert_eq!(ctl.json(&["signal", "KILL", "*"]), json!([{"name": "web"}]));
        assert_eq!(ctl.run(&["wait", "web"]).status, Some(137));
        assert_eq!(
            ctl.fails(&["signal", "HUP", "web"]),
            (3, "papactl: the process web has ended".to_owned())
        );
        assert_eq!(ctl.ok(&["signal", "HUP", "w*"]), "");
        assert_eq!(ctl.run(&["signal", "HANGUP", "web"]).status, Some(2));
        assert_eq!(ctl.run(&["signal", "HUP"]).status, Some(2));
        ctl.ok(&["rm", "web"]);
    }
}

/// Has a process stop, and returns when it has.
fn stop_by_signal(ctl: &Ctl, name: &str) {
    ctl.ok(&["signal", "STOP", name]);
    let pid = ctl.json(&["ps", name])[0]["pid"].as_i64().unwrap() as i32;
    eventually("the process is stopped", || {
        procfs::stat(pid).is_some_and(|process| process.state == 'T')
    });
}

#[test]
fn a_stopped_process_is_shown_and_ends_when_it_is_asked_to() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    run(&ctl, "a", "exec sleep 1000");
    assert_eq!(ctl.json(&["ps", "a"])[0]["stopped"], false);
    stop_by_signal(&ctl, "a");
    let shown = ctl.ok(&["ps", "a"]);
    assert!(shown.contains(" stopped "), "{shown}");
    let process = &ctl.json(&["ps", "a"])[0];
    assert_eq!((&process["stopped"], &process["state"]), (&json!(true), &json!("running")));
    // To be signaled is of no use to it, and whoever does that is told.
    let ran = ctl.run(&["signal", "USR1", "a"]);
    assert_eq!(ran.status, Some(0));
    assert!(ran.error().contains("a is stopped, and acts on USR1 when it goes on"), "{ran:?}");
    assert_eq!(ctl.run(&["signal", "CONT", "a"]).error(), "");
    ctl.run(&["wait", "a"]);
    assert_eq!(ctl.json(&["ps", "a"])[0]["signal"], "USR1");
    run(&ctl, "b", "exec sleep 1000");
    stop_by_signal(&ctl, "b");
    assert_eq!(ctl.ok(&["stop", "b"]), "b has ended (signal TERM)\n");
}

#[test]
fn a_real_time_signal_has_a_name() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    for (name, number) in [("RTMAX-2", 62), ("SIGRTMAX-1", 63)] {
        run(&ctl, "a", "exec sleep 1000");
        ctl.ok(&["signal", name, "a"]);
        ctl.run(&["wait", "a"]);
        assert_eq!(ctl.json(&["ps", "a"])[0]["signal"], number.to_string());
        ctl.ok(&["rm", "a"]);
    }
}
