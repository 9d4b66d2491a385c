//! Processes: how they are made, shown, refused, and how they leave the list.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::{
    Fifo, Frame, Papad, ScratchDir, Session, argument, eventually, field, pid_of, procfs, shell,
};

fn end(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn the_reply_is_the_line_of_the_list() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make process p env.A=1 working_dir=/tmp bufsize=64k /bin/sleep 1000");
    let (pid, started) = (pid_of(&line), field(&line, "started"));
    assert_eq!(line, format!("p pid={pid} running=True started={started} args=/bin/sleep 1000"));
    assert!(started.contains('.') && started.parse::<f64>().unwrap() > 1.6e9, "{started}");
    session.ask_expecting("list processes", &line);
    // exec gives it its name a moment after papad has gone on.
    eventually("it is the program", || procfs::stat(pid).unwrap().comm == "sleep");
}

#[test]
fn arguments_arrive_as_they_were_sent() {
    let papad = Papad::start();
    let mut session = papad.session();
    let words = r"/usr/bin/printf [%s] a\ \ b x=y C:\dir $HOME ; * '\ ' é";
    assert_eq!(session.run(words).text(), r"[a  b][x=y][C:\dir][$HOME][;][*][' '][é]");
}

#[test]
fn a_process_that_has_ended_stays_in_the_list_until_that_is_acknowledged() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask(format!("make process p {}", shell("exit 3")));
    let mut watcher = papad.session();
    watcher.watch("p", 1);
    watcher.read_batch();
    let ended = line.replace("running=True", "running=False");
    session.ask_expecting("list processes", &ended);
    watcher.acknowledge();
    watcher.expect("Nothing left to watch\n> ");
    session.ask_expecting("list processes", "");
}

#[test]
fn processes_are_listed_in_order_by_name_wildcard_and_pid() {
    let papad = Papad::start();
    let mut session = papad.session();
    let other = session.ask("make process other /bin/sleep 1000");
    let second = session.ask("make process web.2 /bin/sleep 1000");
    let first = session.ask("make process web.1 /bin/sleep 1000");
    session.ask_expecting("list processes", format!("{other}\n{first}\n{second}"));
    session.ask_expecting("list processes *", format!("{other}\n{first}\n{second}"));
    session.ask_expecting("list processes web.*", format!("{first}\n{second}"));
    session.ask_expecting("list processes web.2 o*", format!("{other}\n{second}"));
    session.ask_expecting("list processes nothing web.1 web.1", &first);
    session.ask_expecting(format!("list processes {}", pid_of(&second)), &second);
    session.ask_expecting("list processes 1", "");
}

#[test]
fn the_same_name_with_the_same_parameters_is_the_same_process() {
    let papad = Papad::start();
    let mut session = papad.session();
    let make = "make process p env.A=1 env.B=2 bufsize=1m rlimit.core=0 /bin/sleep 1000";
    let line = session.ask(make);
    session.ask_expecting(make, &line);
    session.ask_expecting(
        "make process p rlimit.core=0 env.B=2 bufsize=1024k env.A=1 /bin/sleep 1000",
        &line,
    );
    session.ask_expecting("list processes", &line);
    assert_eq!(procfs::children(papad.keeper_pid()).len(), 2, "the server and one process");
}

#[test]
fn the_same_name_with_other_parameters_is_refused() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make process p env.A=1 /bin/sleep 1000");
    let refused = format!("Error: Process for p has already been created - {line}");
    for other in [
        "/bin/sleep 1000",
        "env.A=2 /bin/sleep 1000",
        "env.A=1 env.B=1 /bin/sleep 1000",
        "env.A=1 /bin/sleep 1001",
        r"env.A=1 /bin/sleep\ 1000",
        "env.A=1 bufsize=1 /bin/sleep 1000",
        "env.A=1 stdout=0 /bin/sleep 1000",
        "env.A=1 stderr=0 /bin/sleep 1000",
        "env.A=1 stderr=stdout /bin/sleep 1000",
        "env.A=1 working_dir=/tmp /bin/sleep 1000",
        "env.A=1 rlimit.core=0 /bin/sleep 1000",
        "env.A=1 shell=1 /bin/sleep 1000",
    ] {
        session.ask_expecting(format!("make process p {other}"), &refused);
    }
    session.ask_expecting("list processes", &line);
}

#[test]
fn the_name_of_an_ended_process_is_taken_until_its_end_is_acknowledged() {
    let papad = Papad::start();
    let mut session = papad.session();
    let line = session.ask("make process p /bin/true");
    let mut watcher = papad.session();
    watcher.watch("p", 1);
    watcher.read_batch();
    let ended = line.replace("running=True", "running=False");
    session.ask_expecting("make process p /bin/true", &ended);
    watcher.acknowledge();
    watcher.expect("Nothing left to watch\n> ");
    let again = session.ask("make process p /bin/true");
    assert_ne!(pid_of(&again), pid_of(&line));
}

#[test]
fn stdout_and_stderr_are_kept_apart_together_or_not() {
    let papad = Papad::start();
    let mut session = papad.session();
    let script = shell("echo a; echo b >&2; echo c");
    for (options, out, err) in [
        ("", "a\nc\n", "b\n"),
        ("stdout=1 stderr=1", "a\nc\n", "b\n"),
        ("stdout=0", "", "b\n"),
        ("stderr=0", "a\nc\n", ""),
        ("stdout=0 stderr=0", "", ""),
        ("stderr=stdout", "a\nb\nc\n", ""),
        ("bufsize=0", "", ""),
    ] {
        let ran = session.run(&format!("{options} {script}"));
        assert_eq!(ran.text(), out, "{options}");
        assert_eq!(String::from_utf8(ran.err).unwrap(), err, "{options}");
        assert_eq!(ran.code, Some(0), "{options}");
    }
}

#[test]
fn a_shell_runs_the_words_as_its_script() {
    let papad = Papad::start();
    let mut session = papad.session();
    let script = argument("echo one two | tr o 0; exit 4");
    let line = session.ask(format!("make process p shell=1 {script}"));
    let (pid, started) = (pid_of(&line), field(&line, "started"));
    assert_eq!(
        line.replace("running=False", "running=True"),
        format!(
            "p pid={pid} running=True started={started} shell=True args=echo one two | tr o 0; \
             exit 4"
        )
    );
    session.watch("p", 1);
    let ran = session.watch_on().remove("p").unwrap();
    assert_eq!((ran.text(), ran.code), ("0ne tw0\n", Some(4)));
}

#[test]
fn a_command_that_cannot_be_run_is_refused_with_the_cause() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut session = papad.session();
    let plain = scratch.join("plain");
    fs::write(&plain, "text").unwrap();
    let unreadable = scratch.program("unreadable", "\x7fELF and nothing else");
    let no_interpreter = scratch.program("script", "#!/no/such/interpreter\n");
    for (words, cause) in [
        ("/no/such/program".to_owned(), "No such file or directory"),
        ("nosuchprogram".to_owned(), "No such file or directory"),
        (no_interpreter, "No such file or directory"),
        (plain.clone(), "Permission denied"),
        ("/tmp".to_owned(), "Permission denied"),
        (format!("{plain}/below"), "Not a directory"),
        (unreadable, "Exec format error"),
    ] {
        let reason = session.ask_for_error(&format!("make process p {words} argument"));
        assert!(reason.starts_with("Bad command - "), "{words}: {reason}");
        assert!(reason.contains(cause), "{words}: {reason}");
        session.ask_expecting("list processes", "");
    }
    for (directory, cause) in
        [("/no/such".to_owned(), "No such file or directory"), (plain, "Not a directory")]
    {
        let reason =
            session.ask_for_error(&format!("make process p working_dir={directory} /bin/true"));
        assert!(reason.starts_with("Bad working_dir - "), "{reason}");
        assert!(reason.contains(cause), "{reason}");
    }
    session.ask_expecting("list processes", "");
    session.ask_expecting("exit-if-idle", "Exiting papa!");
}

#[test]
fn a_command_that_cannot_be_run_leaves_nothing_behind() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask("make socket s reuseport=1");
    let fail = |session: &mut Session| {
        session.ask_for_error("make process p /no/such/program $(socket.s.fileno)");
        session.ask_for_error("make process p working_dir=/no/such /bin/true");
    };
    fail(&mut session);
    let counts = || {
        let keeper = papad.keeper_pid();
        let server = papad.server_pid();
        (
            procfs::children(keeper).len(),
            procfs::open_files(keeper).len(),
            procfs::open_files(server).len(),
        )
    };
    eventually("the first failures are cleared away", || counts().0 == 1);
    // This is answered when the keeper has heard all that it was told before.
    session.ask("make socket other");
    session.ask_expecting("remove sockets other", "");
    let before = counts();
    for _ in 0..20 {
        fail(&mut session);
    }
    eventually("no process and no descriptor is left", || counts() == before);
}

#[test]
fn a_bad_option_makes_no_process() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting("make process", "Error: Process requires a name");
    session.ask_expecting("make process p", "Error: No command");
    session.ask_expecting("make process p env.A=1", "Error: No command");
    for (options, named) in [
        ("uid=nosuchuser", "nosuchuser"),
        ("gid=nosuchgroup", "nosuchgroup"),
        ("uid=-2", "-2"),
        ("uid=99999999999", "99999999999"),
        ("rlimit.everything=1", "everything"),
        ("rlimit.nofile=many", "many"),
        ("bufsize=large", "bufsize"),
        ("bufsize=-1", "bufsize"),
        ("bufsize=1x", "bufsize"),
        ("bufsize=99999999999999999999g", "bufsize"),
        ("stdout=2", "stdout"),
        ("stdout=stderr", "stdout"),
        ("stderr=maybe", "stderr"),
        ("watch=perhaps", "watch"),
        ("shell=perhaps", "shell"),
        ("colour=red", "colour"),
    ] {
        let reason = session.ask_for_error(&format!("make process p {options} /bin/true"));
        assert!(reason.contains(named), "{options}: {reason}");
    }
    session.ask_expecting("list processes", "");
}

#[test]
fn a_removed_process_runs_on_unrecorded_and_leaves_the_list_when_it_ends() {
    let scratch = ScratchDir::new();
    let (gate, done) = (Fifo::new(&scratch, "gate"), Fifo::new(&scratch, "done"));
    let papad = Papad::start();
    let mut session = papad.session();
    // More than a pipe holds is written after the removal: it must not be held up.
    let script = format!(
        "echo before; read go < {}; head -c 1000000 /dev/zero && echo written > {}; read go < {}",
        gate.path(),
        done.path(),
        gate.path()
    );
    let line = session.ask(format!("make process p {}", shell(&script)));
    session.ask_expecting("remove processes p", "");
    session.ask_expecting("list processes", &line);
    gate.send_line();
    assert_eq!(done.read_line(), "written");
    session.ask_expecting("list processes", &line);
    gate.send_line();
    eventually("the process has left the list", || session.ask("list processes").is_empty());
    session.ask_expecting("remove processes p", "Error: p not found");
}

#[test]
fn an_ended_process_that_is_removed_is_gone_at_once() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask("make process p /bin/true");
    let mut watcher = papad.session();
    watcher.watch("p", 1);
    assert!(matches!(watcher.read_batch().as_slice(), [Frame::Closed { code: 0, .. }]));
    session.ask_expecting("remove processes p", "");
    session.ask_expecting("list processes", "");
}

#[test]
fn processes_are_removed_by_name_wildcard_and_pid_or_not_at_all() {
    let papad = Papad::start();
    let mut session = papad.session();
    let pids: Vec<i32> = ["web.1", "web.2", "other", "kept"]
        .map(|name| pid_of(&session.ask(format!("make process {name} /bin/sleep 1000"))))
        .into();
    session.ask_expecting("remove processes kept nothing", "Error: nothing not found");
    session.ask_expecting("remove processes web.*", "");
    session.ask_expecting(format!("remove processes {}", pids[2]), "");
    session.ask_expecting("remove processes nothing*", "");
    for pid in pids {
        end(pid);
    }
    // What was removed leaves the list by itself; the other waits for a watcher.
    let mut watcher = papad.session();
    watcher.watch("kept", 1);
    watcher.read_batch();
    eventually("the removed ones have left", || !session.ask("list processes").contains('\n'));
    let left = session.ask("list processes");
    assert!(left.starts_with("kept pid=") && left.contains("running=False"), "{left}");
}
