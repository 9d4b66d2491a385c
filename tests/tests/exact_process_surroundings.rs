//! What a process finds that was made in protocol 2: each option as the child sees it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::exact::{Exact, Seen, number_of, quoted, script, value_of};
use papad_tests::{Papad, ScratchDir, Stream, eventually, is_root, procfs};

/// What a process wrote, until it ended.
struct Ran {
    out: String,
    err: String,
    end: String,
}

/// Waits until a process has just these descriptors: a program that begins has its libraries open for
/// a moment.
#[track_caller]
fn wait_for_descriptors(pid: i32, numbers: &[i32]) {
    eventually(&format!("it has {numbers:?} open"), || {
        procfs::open_files(pid).into_keys().eq(numbers.iter().copied())
    });
}

/// Makes a process of these options and command, and watches it to its end.
#[track_caller]
fn run(exact: &mut Exact, what: &str) -> Ran {
    exact.ask(format!("make process ran {what}"));
    exact.ask("watch ran");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        match exact.next_seen() {
            Seen::Data { stream: Stream::Out, data, .. } => out.extend(data),
            Seen::Data { stream: Stream::Err, data, .. } => err.extend(data),
            Seen::Closed { end, .. } => {
                exact.send("ack ran closed\n");
                exact.expect("end finished\n");
                let text = |bytes| String::from_utf8(bytes).unwrap();
                return Ran { out: text(out), err: text(err), end };
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_process_runs_with_the_umask_it_was_given() {
    let papad = Papad::builder().after_shell("umask 0051").start();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(run(&mut exact, &format!("umask=127 {}", script("umask"))).out, "0127\n");
    assert_eq!(run(&mut exact, &format!("umask=0 {}", script("umask"))).out, "0000\n");
    assert_eq!(run(&mut exact, &script("umask")).out, "0051\n");
}

#[test]
fn limits_are_soft_and_hard() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let limits =
        "rlimit.nofile=50:60 rlimit.core=0 rlimit.fsize=unlimited rlimit.stack=1048576:unlimited";
    let show = script("ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Sf; ulimit -Ss");
    assert_eq!(run(&mut exact, &format!("{limits} {show}")).out, "50\n60\n0\n0\nunlimited\n1024\n");
    exact.ask_for("spawn", "make process p rlimit.nofile=1:unlimited -- /bin/true");
}

#[test]
fn a_process_starts_in_its_directory_by_either_name() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let dir = scratch.join("a b\nc");
    std::fs::create_dir(&dir).unwrap();
    for key in ["dir", "working_dir"] {
        let what = format!("{} -- /bin/pwd", quoted(&format!("{key}={dir}")));
        assert_eq!(run(&mut exact, &what).out, format!("{dir}\n"));
    }
    exact.ask(format!("make process p {} -- /bin/true", quoted(&format!("dir={dir}"))));
    assert_eq!(value_of(&exact.ask_line("list processes"), "dir"), dir);
}

#[test]
fn arguments_and_environment_are_as_they_were_said() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let ran = run(&mut exact, r#"-- /usr/bin/printf "<%s>\n" "" " a  b " "\n" "\\" "--" x=y"#);
    assert_eq!(ran.out, "<>\n< a  b >\n<\n>\n<\\>\n<-->\n<x=y>\n");
    let ran = run(&mut exact, r#"env.A= "env.B=x y" "env.C D=1=2" -- /usr/bin/env"#);
    let mut lines: Vec<&str> = ran.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=", "B=x y", "C D=1=2"]);
    assert_eq!(run(&mut exact, "-- /usr/bin/env").out, "");
}

#[test]
fn a_shell_runs_the_words_joined_by_spaces() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let ran = run(&mut exact, r#"shell=1 -- "echo one;" echo "two  three" "four; exit 7""#);
    assert_eq!((ran.out.as_str(), ran.end.as_str()), ("one\ntwo three four\n", "exit 7"));
    let made = exact.ask_line("make process p shell=1 -- true");
    assert_eq!(value_of(&made, "shell"), "1");
}

#[test]
fn a_process_runs_as_whom_it_was_asked_to() {
    if !is_root("running a process as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(run(&mut exact, "uid=65534 gid=65534 -- /usr/bin/id -u").out, "65534\n");
    exact.ask("make process p uid=nobody -- /bin/sleep 1000");
    let line = exact.ask_line("list processes");
    assert_eq!((value_of(&line, "uid"), value_of(&line, "gid")), ("65534".into(), "65534".into()));
    exact.ask_for("not-found", "make process q uid=no.such.user -- /bin/true");
    exact.ask_for("not-found", "make process q gid=no.such.group -- /bin/true");
}

#[test]
fn output_goes_where_it_was_asked_to() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let both = script("echo out; echo err >&2");
    for (options, out, err) in [
        ("", "out\n", "err\n"),
        ("stdout=keep stderr=null", "out\n", ""),
        ("stdout=null", "", "err\n"),
        ("stderr=stdout", "out\nerr\n", ""),
        ("stdout=null stderr=stdout", "", ""),
        ("bufsize=0", "", ""),
    ] {
        let ran = run(&mut exact, &format!("{options} {both}"));
        assert_eq!((ran.out.as_str(), ran.err.as_str()), (out, err), "{options}");
        assert_eq!(ran.end, "exit 0");
    }
}

#[test]
fn socket_references_are_replaced_in_the_environment_too() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let port = number_of(&exact.ask_line("make socket a.web"), "port");
    exact.ask("make socket b");
    let ran = run(
        &mut exact,
        &format!(
            "\"env.P=<$(socket.a.web.port) $(socket.b.fileno)>\" {} $(socket.a.web.fileno)",
            script("echo \"$P\" \"$0\"; ls -l /proc/self/fd/3 /proc/self/fd/4 | grep -c socket:")
        ),
    );
    assert_eq!(ran.out, format!("<{port} 4> 3\n2\n"));
    exact.ask_for("not-found", "make process p env.P=$(socket.no.port) -- /bin/true");
    exact.ask_for("usage", "make process p env.P=$(socket.b.host) -- /bin/true");
    exact.ask_for("usage", "make process p env.P=$(socket.b.port -- /bin/true");
}

#[test]
fn sockets_are_passed_as_systemd_does() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["one", "two", "three"] {
        exact.ask(format!("make socket {name}"));
    }
    let inode = |number: i32, pid: i32| procfs::open_files(pid).remove(&number).unwrap_or_default();
    // These are at 5 and 4 where they are inherited.
    let show =
        "echo $LISTEN_FDS $LISTEN_FDNAMES; [ $LISTEN_PID = $$ ] && echo me; exec /bin/sleep 1000";
    let made = exact.ask_line(format!("make process p listen=three,two {}", script(show)));
    let inherits = exact.ask_line("make process q inherit=three,two -- /bin/sleep 1000");
    exact.ask("watch p");
    let mut output = Vec::new();
    while !output.ends_with(b"me\n") {
        match exact.next_seen() {
            Seen::Data { data, .. } => output.extend(data),
            other => panic!("{other:?} after {}", output.escape_ascii()),
        }
    }
    assert_eq!(output, b"2 three:two\nme\n");
    let (p, q) = (number_of(&made, "pid") as i32, number_of(&inherits, "pid") as i32);
    wait_for_descriptors(p, &[0, 1, 2, 3, 4]);
    wait_for_descriptors(q, &[0, 1, 2, 4, 5]);
    assert_eq!((inode(3, p), inode(4, p)), (inode(5, q), inode(4, q)));
}

#[test]
fn sockets_that_are_listened_on_and_inherited_do_not_collide() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket one");
    exact.ask("make socket two");
    // `one` would be 3, which is taken by `two`; the reference tells its number.
    let show = script("echo $LISTEN_FDS $0; exec /bin/sleep 1000");
    for (name, sockets, told, numbers) in [
        ("p", "listen=two inherit=one", "1 4\n", &[0, 1, 2, 3, 4][..]),
        ("q", "listen=one", "1 3\n", &[0, 1, 2, 3]),
    ] {
        let made =
            exact.ask_line(format!("make process {name} {sockets} {show} $(socket.one.fileno)"));
        exact.ask(format!("watch {name}"));
        assert!(matches!(exact.next_seen(), Seen::Data { data, .. } if data == told.as_bytes()));
        exact.ask_expecting("stop", "end stopped\n");
        wait_for_descriptors(number_of(&made, "pid") as i32, numbers);
    }
}

#[test]
fn a_process_without_listen_knows_nothing_of_it() {
    let papad = Papad::builder().after_shell("export LISTEN_FDS=1 LISTEN_PID=$$").start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket one");
    assert_eq!(run(&mut exact, "inherit=one -- /usr/bin/env").out, "");
}
