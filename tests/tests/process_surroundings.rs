//! What a process finds when it runs: environment, user, limits, signals, descriptors.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::Command;

use papad_tests::{
    NOBODY, Papad, ScratchDir, argument, field, is_root, make_stopped, pid_of, procfs, shell,
};

/// What a command of this machine says, such as `id -g nobody`.
fn output_of(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).output().unwrap();
    assert!(output.status.success(), "{command} {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn sorted_words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    words.sort_unstable();
    words
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let papad = Papad::builder().after_shell("export INHERITED=1").start();
    let mut session = papad.session();
    let ran = session.run(r#"env.B=2 env.A=x\ y=z env.EMPTY= env.WIN="C:\dir\" /usr/bin/env"#);
    let mut lines: Vec<&str> = ran.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=x y=z", "B=2", "EMPTY=", r"WIN=C:\dir\"]);
    assert_eq!(session.run("/usr/bin/env").text(), "");
}

#[test]
fn the_working_directory_is_as_given() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let directory = scratch.join("with space");
    fs::create_dir(&directory).unwrap();
    let ran = session.run(&format!("working_dir={} /bin/pwd", argument(&directory)));
    assert_eq!(ran.text(), format!("{directory}\n"));
    // A command with a slash is looked up from there.
    let _ = scratch.program("with space/hello", "#!/bin/sh\necho hello\n");
    let ran = session.run(&format!("working_dir={} ./hello", argument(&directory)));
    assert_eq!(ran.text(), "hello\n");
}

#[test]
fn a_process_leads_a_session_of_its_own_as_a_child_of_the_keeper() {
    let papad = Papad::start();
    let pid = make_stopped(&mut papad.session(), "p", "", "");
    let process = procfs::stat(pid).unwrap();
    assert_eq!((process.group, process.session), (pid, pid));
    assert_eq!(process.parent, papad.keeper_pid());
}

#[test]
fn no_signal_is_blocked_or_ignored_whatever_papad_inherited() {
    let papad = Papad::builder().after_shell("trap '' PIPE HUP INT QUIT USR1 CHLD").start();
    let mut session = papad.session();
    let ran = session.run("/bin/grep ^Sig[BI] /proc/self/status");
    assert_eq!(ran.text(), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

#[test]
fn a_process_has_the_three_standard_descriptors_and_no_other() {
    let papad = Papad::builder().after_shell("exec 7</dev/zero").start();
    let mut session = papad.session();
    session.ask("make socket s");
    session.ask("set v 1");
    session.ask("make process before /bin/sleep 1000");
    let open = procfs::open_files(make_stopped(&mut session, "p", "", ""));
    assert_eq!(open.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "{open:?}");
    assert_eq!(open[&0], "/dev/null");
    assert!(open[&1].starts_with("pipe:"), "{open:?}");
    assert!(open[&2].starts_with("pipe:"), "{open:?}");
    assert_ne!(open[&1], open[&2]);
}

#[test]
fn a_process_reads_nothing_from_stdin() {
    let papad = Papad::start();
    let ran = papad.session().run("/bin/cat");
    assert_eq!((ran.text(), ran.code), ("", Some(0)));
}

#[test]
fn what_is_not_kept_goes_to_dev_null() {
    let papad = Papad::start();
    let mut session = papad.session();
    let open = procfs::open_files(make_stopped(&mut session, "p", "stdout=0 stderr=0", ""));
    assert_eq!(open.values().collect::<Vec<_>>(), ["/dev/null"; 3]);
}

#[test]
fn limits_are_set_both_soft_and_hard() {
    let papad = Papad::start();
    let mut session = papad.session();
    let pid =
        make_stopped(&mut session, "p", "rlimit.nofile=77 rlimit.core=0 rlimit.stack=1048576", "");
    let both = |value: &str| Some((value.to_owned(), value.to_owned()));
    assert_eq!(procfs::limit(pid, "Max open files"), both("77"));
    assert_eq!(procfs::limit(pid, "Max core file size"), both("0"));
    assert_eq!(procfs::limit(pid, "Max stack size"), both("1048576"));
}

#[test]
fn the_descriptor_limit_is_the_one_papad_was_started_with() {
    let papad = Papad::builder().after_shell("ulimit -S -n 300").start();
    let pid = make_stopped(&mut papad.session(), "p", "", "");
    let (soft, hard) = procfs::limit(pid, "Max open files").unwrap();
    let (_, own_hard) = procfs::limit(std::process::id() as i32, "Max open files").unwrap();
    assert_eq!((soft, hard), ("300".to_owned(), own_hard));
}

#[test]
fn the_descriptor_limit_is_1024_however_high_papads_is() {
    let hard_of = |pid| procfs::limit(pid, "Max open files").unwrap().1;
    let papad = Papad::builder().after_shell("ulimit -S -n $(ulimit -H -n)").start();
    let pid = make_stopped(&mut papad.session(), "p", "", "");
    let own_hard = hard_of(std::process::id() as i32);
    assert_eq!(procfs::limit(pid, "Max open files"), Some(("1024".to_owned(), own_hard)));
}

#[test]
fn the_descriptor_limit_is_what_the_option_says() {
    let papad = Papad::builder().arg("--hosted-nofile").arg("50:60").start();
    let pid = make_stopped(&mut papad.session(), "p", "", "");
    let limit = procfs::limit(pid, "Max open files");
    assert_eq!(limit, Some(("50".to_owned(), "60".to_owned())));
}

#[test]
fn a_uid_brings_its_group_and_supplementary_groups() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut session = papad.session();
    // Whoever is a member of some group, so that there is something to see.
    let groups = fs::read_to_string("/etc/group").unwrap();
    let member = groups
        .lines()
        .filter_map(|line| line.rsplit(':').next()?.split(',').next())
        .find(|name| !name.is_empty() && *name != "root")
        .unwrap_or("nobody");
    let (uid, gid) = (output_of("id", &["-u", member]), output_of("id", &["-g", member]));
    for (name, named) in [("by-name", member), ("by-number", &uid)] {
        let pid = make_stopped(&mut session, name, &format!("uid={named}"), "");
        let line = session.ask(format!("list processes {name}"));
        let started = field(&line, "started");
        assert_eq!(
            line,
            format!(
                "{name} pid={pid} running=True started={started} uid={uid} gid={gid} \
                 args=/bin/sh -c kill -STOP $$"
            )
        );
        let of = |field: &str| procfs::status_field(pid, field).unwrap();
        assert_eq!(of("Uid"), [uid.as_str(); 4].join("\t"));
        assert_eq!(of("Gid"), [gid.as_str(); 4].join("\t"));
        let all_groups = output_of("id", &["-G", member]);
        assert_eq!(sorted_words(&of("Groups")), sorted_words(&all_groups));
    }
}

#[test]
fn a_gid_replaces_the_group_of_the_user() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut session = papad.session();
    let daemon = output_of("id", &["-g", "daemon"]);
    let ids = shell("id -u; id -g; id -rg");
    let ran = session.run(&format!("uid={NOBODY} gid={daemon} {ids}"));
    assert_eq!(ran.text(), format!("{NOBODY}\n{daemon}\n{daemon}\n"));
    let ran = session.run(&format!("gid=daemon {ids}"));
    assert_eq!(ran.text(), format!("0\n{daemon}\n{daemon}\n"));
}

#[test]
fn a_command_without_a_slash_is_looked_up_in_the_path_it_is_given() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let _ = scratch.program("greet", "#!/bin/sh\necho greetings\n");
    let directory = scratch.path().display();
    assert_eq!(session.run("echo found").text(), "found\n");
    let ran = session.run(&format!("env.PATH=/nonexistent:{directory} greet"));
    assert_eq!(ran.text(), "greetings\n");
    session.ask_for_error("make process p env.PATH=/nonexistent echo lost");
    session.ask_for_error("make process p greet");
    session.ask_expecting("list processes", "");
}

#[test]
fn a_missing_interpreter_is_told_by_its_name() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let directory = scratch.path().display();
    for (name, script, told) in [
        ("gone", "#!/no/such/python -u\n", "its interpreter /no/such/python is not there"),
        (
            "dos",
            "#!/bin/sh\r\nexit 0\r\n",
            "its lines end in CR LF, so that its interpreter is \"/bin/sh\\r\"",
        ),
    ] {
        let path = scratch.program(name, script);
        for (options, command) in [
            (String::new(), path.clone()),
            (format!("working_dir={directory}"), format!("./{name}")),
            (format!("env.PATH=/nonexistent:{directory}"), name.to_owned()),
        ] {
            let error = session.ask_for_error(&format!("make process p {options} {command}"));
            let expected = format!("Bad command - No such file or directory: {command} ({told})");
            assert_eq!(error, expected);
        }
    }
    // What is not there itself is told as ever.
    let error = session.ask_for_error("make process p /no/such");
    assert_eq!(error, "Bad command - No such file or directory: /no/such");
}

#[test]
fn papads_own_files_may_be_longer_than_those_of_hosted_processes() {
    let papad = Papad::builder().after_shell("ulimit -S -f 0").start();
    let size_of = |pid| procfs::limit(pid, "Max file size").unwrap().0;
    let (_, hard) = procfs::limit(std::process::id() as i32, "Max file size").unwrap();
    let long = "x".repeat(100_000);
    for round in ["first", "server", "keeper"] {
        match round {
            "server" => drop(papad.kill_server()),
            "keeper" => papad.kill_keeper(),
            _ => {}
        }
        let mut session = papad.session();
        session.ask(format!("set long {long}"));
        let pid = pid_of(&session.ask(format!("make process p.{round} /bin/sleep 1000")));
        assert_eq!(size_of(pid), "0");
        assert_eq!(size_of(papad.server_pid()), hard);
        // What a process asks for is in force.
        let asked = format!("make process q.{round} rlimit.fsize=512 /bin/sleep 1000");
        assert_eq!(size_of(pid_of(&session.ask(asked))), "512");
    }
    assert_eq!(papad.session().ask("get long"), long);
}
