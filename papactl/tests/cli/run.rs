//! run.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papa_client::{Endpoint, Papa};
use papad_tests::{
    NOBODY, Papad, ScratchDir, copy_program, eventually, is_root, papad_program, procfs,
};
use serde_json::json;

use crate::ctl::{Ctl, Ran};

/// What a run command prints at first: the pid.
fn pid_in(line: &str) -> i32 {
    line.trim_end().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_command_runs_on_and_the_same_again_is_found() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let sleeper = ["run", "web", "--clean-env", "--", "/bin/sleep", "1000"];
    let line = ctl.ok(&sleeper);
    let pid = pid_in(&line);
    assert_eq!(line, format!("web runs as pid {pid}\n"));
    assert_eq!(procfs::stat(pid).unwrap().parent, papad.keeper_pid());
    assert_eq!(ctl.ok(&sleeper), format!("web runs already as pid {pid}\n"));
    let (status, error) = ctl.fails(&[
        "run",
        "web",
        "--clean-env",
        "--env",
        "A=1",
        "--umask=077",
        "--",
        "/bin/sleep",
        "1001",
    ]);
    assert_eq!(status, 7);
    assert_eq!(
        error,
        format!(
            "papactl: web runs as pid {pid} and was made otherwise: command, umask and env.A \
             differ; choose another name, or \"papactl stop web\" first and then run --replace"
        )
    );
    let ran = ctl.run(&[&["--json"], &sleeper[..]].concat());
    let json: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((&json["name"], &json["pid"]), (&json!("web"), &json!(pid)));
    assert_eq!((&json["state"], &json["command"][1]), (&json!("running"), &json!("1000")));
}

#[test]
fn the_same_command_from_another_terminal_is_the_same_process() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let from = |shell: &[(&str, &str)], words: &[&str]| {
        let words = [&["run", "web"], words, &["--", "/bin/sleep", "1000"]].concat();
        let mut command = ctl.command(&words);
        let command = command.envs(shell.iter().copied()).stdout(Stdio::piped());
        let ran = Ran::of(command.stderr(Stdio::piped()).spawn().unwrap());
        (ran.status, ran.text())
    };
    let (status, line) = from(&[("SHLVL", "1"), ("TERM", "xterm"), ("SSH_TTY", "/dev/pts/1")], &[]);
    assert_eq!(status, Some(0));
    let other = [
        ("SHLVL", "7"),
        ("TERM", "linux"),
        ("TMUX", "/tmp/tmux"),
        ("TERM_PROGRAM", "vscode"),
        ("VSCODE_PID", "7"),
        ("KITTY_WINDOW_ID", "1"),
        ("COLORTERM", "truecolor"),
        ("SSH_AUTH_SOCK", "/tmp/agent"),
        ("SUDO_USER", "me"),
        ("INVOCATION_ID", "0"),
        ("JOURNAL_STREAM", "8:1"),
    ];
    let again = from(&other, &[]);
    assert_eq!(again, (Some(0), format!("web runs already as pid {}\n", pid_in(&line))));
    // What is asked for by name is handed on, and counts.
    assert_eq!(from(&[("TERM", "xterm")], &["--env", "TERM"]).0, Some(7));
    assert_eq!(from(&[("A", "1")], &[]).0, Some(7));
}

#[test]
fn a_process_finds_what_this_shell_would_have_given_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let script = "printf '%s|' \"$A\" \"$(pwd)\" \"$(umask)\"";
    let words = ["run", "--attach", "--rm", "job", "--", "/bin/sh", "-c", script];
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "umask 031; exec \"$@\"", "sh"]).arg(Ctl::program()).args(words);
    command.env("A", "b c\n").env("PAPA_ENDPOINT", ctl.endpoint()).current_dir(scratch.path());
    let output = command.output().unwrap();
    let expected = format!("b c\n|{}|0031|", scratch.path().display());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_directory_is_named_as_the_shell_names_it() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let scratch = ScratchDir::new();
    let (first, link, gone) = (scratch.join("first"), scratch.join("link"), scratch.join("gone"));
    fs::create_dir(&first).unwrap();
    fs::create_dir(&gone).unwrap();
    symlink(&first, &link).unwrap();
    let run = |name: &str, line: String, words: &[&str]| {
        let words = [&["run", name], words, &["--", "/bin/sleep", "1000"]].concat();
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line + "; exec \"$@\"").arg("sh").arg(Ctl::program()).args(words);
        let command = command.env("PAPA_ENDPOINT", ctl.endpoint()).stdout(Stdio::piped());
        Ran::of(command.stderr(Stdio::piped()).spawn().unwrap())
    };
    let directory = |name: &str| ctl.json(&["ps", name])[0]["directory"].clone();
    assert_eq!(run("linked", format!("cd {link}"), &[]).status, Some(0));
    assert_eq!(directory("linked"), json!(link));
    run("below", format!("cd {link}"), &["-C", "."]);
    assert_eq!(directory("below"), json!(format!("{link}/.")));
    // A PWD of somewhere else is not believed.
    run("moved", format!("cd {first}; PWD={gone}; export PWD"), &[]);
    assert_eq!(directory("moved"), json!(first));
    // A directory that is gone matters only where it is meant.
    let leave = || format!("cd {gone}; rmdir {gone}; true");
    let ran = run("named", leave(), &["-C", &first]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    fs::create_dir(&gone).unwrap();
    let ran = run("lost", leave(), &[]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.error().contains("or name one with --dir"), "{ran:?}");
}

#[test]
fn a_process_of_a_user_who_is_named_finds_that_users_home() {
    if !is_root("to run a process as another user") {
        return;
    }
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let run = |words: &[&str]| {
        let script = "echo $HOME $USER $LOGNAME $XDG_RUNTIME_DIR";
        let shell = ["--", "/bin/sh", "-c", script];
        let words = [&["run", "job", "--attach", "--rm", "-C", "/"], words, &shell].concat();
        let mut command = ctl.command(&words);
        command.envs([("HOME", "/root"), ("USER", "root"), ("XDG_RUNTIME_DIR", "/run/user/0")]);
        Ran::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()).text()
    };
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let home = nobody.dir.display();
    assert_eq!(run(&["-u", "nobody"]), format!("{home} nobody nobody\n"));
    assert_eq!(run(&["-u", "nobody", "-E", "HOME=/tmp"]), "/tmp nobody nobody\n");
    assert_eq!(run(&["-u", "nobody", "--clean-env"]), "\n");
}

#[test]
fn a_process_finds_what_options_say() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    papad.session().ask("make socket http");
    let script = "printf '%s|' \"$A$B$C\" \"$(pwd)\" \"$(umask)\" \"$(ulimit -Sn)\" \
                  \"$(ulimit -Hn)\" \"$LISTEN_FDNAMES\"; echo err >&2";
    let mut command = ctl.command(&[
        "run",
        "job",
        "--attach",
        "--clean-env",
        "--env",
        "A",
        "--env",
        "B=2=",
        "--dir",
        "/",
        "--umask",
        "027",
        "--limit",
        "nofile=77:99",
        "--listen",
        "http",
        "--stderr",
        "stdout",
        "--shell",
        "--",
        script,
    ]);
    command.env("A", "1").env("C", "3").stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::of(command.spawn().unwrap());
    assert_eq!((ran.text(), ran.error()), ("12=|/|0027|77|99|http|err\n".into(), String::new()));
    let job = &ctl.json(&["ps"])[0];
    assert_eq!((&job["shell"], &job["directory"]), (&json!(true), &json!("/")));

    ctl.ok(&["run", "quiet", "--buffer=64k", "--overflow=block", "--", "/bin/true"]);
    let quiet = &ctl.json(&["ps", "quiet"])[0];
    assert_eq!((&quiet["buffer"], &quiet["overflow"]), (&json!(65536), &json!("block")));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    for options in [
        &["--env", "PAPACTL_TEST_NOT_SET"][..],
        &["--limit", "files=1"],
        &["--umask", "8"],
        &["--buffer", "much"],
        &["--linger", "soon"],
        &["--overflow", "grow"],
        &["--rm"],
    ] {
        let words = [&["run", "job"], options, &["--", "/bin/true"]].concat();
        assert_eq!(ctl.run(&words).status, Some(2), "{options:?}");
    }
    assert_eq!(ctl.run(&["run", "job"]).status, Some(2));
    assert_eq!(ctl.fails(&["run", "a b", "--", "/bin/true"]).0, 2);
    let (status, error) = ctl.fails(&["run", "job", "--", "/no/such/program"]);
    assert_eq!(status, 1);
    let why = "papactl: the command cannot be run: No such file or directory: /no/such/program";
    assert!(error.starts_with(why), "{error}");
    let error = ctl.fails(&["run", "job", "-C", "/no/such", "--", "/bin/true"]).1;
    let why = "papactl: the directory cannot be entered: No such file or directory: /no/such";
    assert!(error.starts_with(why), "{error}");
    assert_eq!(ctl.json(&["ps"]), json!([]));
}

#[test]
fn one_that_has_ended_is_replaced_once_its_output_was_taken() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let id = || ctl.json(&["ps", "job"])[0]["id"].clone();
    ctl.ok(&["run", "job", "--", "/bin/echo", "one"]);
    eventually("its output is kept", || ctl.json(&["ps", "job"])[0]["unread"] == 4);
    assert_eq!(ctl.run(&["wait", "job"]).status, Some(0));
    for words in
        [&["run", "job", "--", "/bin/echo", "one"], &["run", "job", "--", "/bin/echo", "2"]]
    {
        let (status, error) = ctl.fails(words);
        assert_eq!(status, 7);
        assert_eq!(
            error,
            "papactl: job has ended (exit status 0), and 4 bytes of its output are not taken; \
             read them with \"papactl logs job\", and then \"papactl rm job\", or say --replace"
        );
    }
    let old = id();
    ctl.ok(&["run", "job", "--replace", "--", "/bin/true"]);
    assert_ne!(id(), old);
    assert_eq!(ctl.run(&["wait", "job"]).status, Some(0));
    // It has written nothing, so nothing is lost.
    eventually("it is replaced", || {
        ctl.run(&["run", "job", "--", "/bin/sleep", "1000"]).status == Some(0)
    });
    assert_eq!(ctl.json(&["ps", "job"])[0]["command"][1], json!("1000"));
}

#[test]
fn a_papad_of_roots_runs_it_as_who_asks() {
    if !is_root("to let another user in") {
        return;
    }
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad"));
    let papad = papad.arg(format!("--allow-uid={NOBODY}")).start();
    // The build's own directory may be closed to that user.
    let program = scratch.join("papactl");
    copy_program(Ctl::program(), &program);
    for endpoint in [OsStr::new(&papad.port().to_string()), papad.unix_path().as_os_str()] {
        let id_of = |options: &[&str]| {
            let mut command = Command::new(&program);
            command.uid(NOBODY).gid(NOBODY).current_dir("/").env("PAPA_ENDPOINT", endpoint);
            command.args(["run", "job", "--attach", "--rm"]).args(options);
            let output = command.args(["--", "/bin/sh", "-c", "id -u; id -g"]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(id_of(&[]), "65534\n65534\n");
        assert_eq!(id_of(&["--user", "root", "--group", "1"]), "0\n1\n");
    }
}

/// A papad that papactl has started, and that nobody is the parent of.
pub(crate) struct Daemon(pub(crate) i32);

impl Drop for Daemon {
    fn drop(&mut self) {
        // Stopped it starts nothing, and stays the parent of all until all have ended.
        let signal = |pid, signal| kill(Pid::from_raw(pid), signal);
        let _ = signal(self.0, Signal::SIGSTOP);
        for child in procfs::children(self.0) {
            let _ = signal(child.pid, Signal::SIGKILL);
        }
        let _ = signal(self.0, Signal::SIGKILL);
    }
}

#[test]
fn papad_is_started_where_none_answers() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad");
    let ctl = Ctl::at(&path);
    let (status, error) = ctl.fails(&["run", "web", "--papad=/no/papad", "--", "/bin/true"]);
    assert_eq!(status, 4);
    assert_eq!(
        error,
        "papactl: papad cannot be started (/no/papad): No such file or directory (os error 2); say \
         which papad to start with --papad PROGRAM or PAPAD_BIN"
    );
    let papad = format!("--papad={}", papad_program().display());
    let pid = pid_in(&ctl.ok(&["run", "web", &papad, "--", "/bin/sleep", "1000"]));
    let keeper = Papa::connect(&Endpoint::unix(&path)).unwrap().status().unwrap().pid;
    let _daemon = Daemon(keeper);
    assert_eq!(procfs::stat(pid).unwrap().parent, keeper);
}
