//! Files of Unix sockets that somebody removes: papad's own is made anew by itself, and no second papad
//! takes its place; a hosted one when it is asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use papad_tests::exact::{Exact, value_of};
use papad_tests::{BANNER, Papad, ScratchDir, Session, eventually, papad_program};

/// Starts another papad at the path, and returns what it says when it has given up.
fn start_another(path: &Path) -> Output {
    let mut papad = Command::new(papad_program());
    papad.arg("-u").arg(path).stdin(Stdio::null()).output().unwrap()
}

/// Sees that the path leads to the papad that has this value.
#[track_caller]
fn is_the_same(papad: &Papad, value: &str) {
    let mut session = papad.connect_unix();
    session.expect(BANNER);
    session.ask_expecting("get who", value);
}

fn is_answered(path: &Path) -> bool {
    UnixStream::connect(path).is_ok()
}

fn start(scratch: &ScratchDir) -> Papad {
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    papad.session().ask("set who first");
    // Its server has the lock from then on, whose pid stands in it.
    eventually("the lock is signed", || {
        let text = fs::read_to_string(scratch.join("papad.lock")).unwrap_or_default();
        text.trim() == papad.keeper_pid().to_string()
    });
    papad
}

#[test]
fn papads_own_file_is_made_anew_each_time() {
    let scratch = ScratchDir::new();
    let papad = start(&scratch);
    let before = papad.connect_unix();
    let path = papad.unix_path().to_owned();
    for removed in [&["papad"][..], &["papad.lock"], &["papad", "papad.lock"]] {
        for name in removed {
            fs::remove_file(scratch.join(name)).unwrap();
        }
        eventually("the files are there again", || {
            removed.iter().all(|name| fs::exists(scratch.join(name)).unwrap()) && is_answered(&path)
        });
        is_the_same(&papad, "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // Moved away, it is gone from its path, too.
    fs::rename(&path, scratch.join("elsewhere")).unwrap();
    eventually("the file is there again", || is_answered(&path));
    is_the_same(&papad, "first");
    // Who was connected stays.
    let mut before: Session = before;
    before.expect(BANNER);
    before.ask_expecting("get who", "first");
}

#[test]
fn no_second_papad_takes_a_path_whose_files_were_swept() {
    let scratch = ScratchDir::new();
    let papad = start(&scratch);
    let path = papad.unix_path().to_owned();
    // Stopped, it cannot make its file anew, as one that has just been swept has not yet.
    let server = Pid::from_raw(papad.server_pid());
    for removed in [&["papad"][..], &["papad", "papad.lock"]] {
        kill(server, Signal::SIGSTOP).unwrap();
        for name in removed {
            fs::remove_file(scratch.join(name)).unwrap();
        }
        let another = start_another(&path);
        assert_eq!(another.status.code(), Some(1));
        let said = String::from_utf8(another.stderr).unwrap();
        assert!(said.contains("listens there, though the file is gone"), "{said}");
        assert!(said.contains(&format!("pid {}", papad.keeper_pid())), "{said}");
        kill(server, Signal::SIGCONT).unwrap();
        eventually("the file is there again", || is_answered(&path));
        is_the_same(&papad, "first");
    }
}

#[test]
fn a_file_swept_while_no_server_ran_is_made_by_the_next() {
    let scratch = ScratchDir::new();
    let papad = start(&scratch);
    let path = papad.unix_path().to_owned();
    for _ in 0..3 {
        let server = papad.server_pid();
        kill(Pid::from_raw(server), Signal::SIGSTOP).unwrap();
        fs::remove_file(&path).unwrap();
        papad.kill_server();
        eventually("the file is there again", || is_answered(&path));
        is_the_same(&papad, "first");
    }
    // So it is after the death of the keeper, whose sockets the next one has.
    papad.kill_keeper();
    fs::remove_file(&path).unwrap();
    eventually("the file is there again", || is_answered(&path));
    is_the_same(&papad, "first");
}

#[test]
fn a_directory_that_comes_back_has_papads_file_again() {
    let scratch = ScratchDir::new();
    let directory = scratch.join("above/of-papad");
    fs::create_dir_all(&directory).unwrap();
    let papad = Papad::builder().unix_path(format!("{directory}/papad")).start();
    papad.session().ask("set who first");
    let path = papad.unix_path().to_owned();
    for removed in [directory.clone(), scratch.join("above")] {
        // papad may be quicker than who removes it.
        eventually("the directory is removed", || fs::remove_dir_all(&removed).is_ok());
        papad.wait_for_log("cannot be made anew");
        assert!(!fs::exists(&directory).unwrap());
        fs::create_dir_all(&directory).unwrap();
        eventually("the file is there again", || is_answered(&path));
        is_the_same(&papad, "first");
    }
}

#[test]
fn what_somebody_puts_at_papads_path_is_left_until_it_is_gone() {
    let scratch = ScratchDir::new();
    let papad = start(&scratch);
    let path = papad.unix_path().to_owned();
    let theirs = scratch.join("theirs");
    let listener = UnixListener::bind(&theirs).unwrap();
    fs::rename(&theirs, &path).unwrap();
    papad.wait_for_log("cannot be made anew");
    assert!(is_answered(&path));
    assert!(listener.accept().is_ok());
    fs::remove_file(&path).unwrap();
    eventually("the path is papad's again", || {
        is_answered(&path) && papad.log().contains("was made anew")
    });
    is_the_same(&papad, "first");
}

#[test]
fn of_papads_that_race_for_a_stale_path_one_stays() {
    let scratch = ScratchDir::new();
    let path = scratch.join("papad");
    for _ in 0..5 {
        drop(UnixListener::bind(&path).unwrap());
        let mut started: Vec<_> = (0..6)
            .map(|_| {
                let mut papad = Command::new(papad_program());
                papad.arg("-u").arg(&path).stdin(Stdio::null()).stderr(Stdio::null());
                papad.spawn().unwrap()
            })
            .collect();
        eventually("all but one have given up", || {
            started.retain_mut(|papad| papad.try_wait().unwrap().is_none());
            started.len() <= 1
        });
        assert_eq!(started.len(), 1);
        eventually("the one that stays answers", || is_answered(Path::new(&path)));
        let mut papad = started.remove(0);
        kill(Pid::from_raw(papad.id() as i32), Signal::SIGTERM).unwrap();
        papad.wait().unwrap();
        assert!(!fs::exists(&path).unwrap());
    }
}

#[test]
fn a_hosted_file_is_made_anew_when_it_is_asked_for() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for kind in ["stream", "dgram", "seqpacket"] {
        let path = scratch.join(kind);
        let make = format!("make socket s path={path} type={kind} umask=077");
        let mut line = exact.ask_line(&make);
        let rest = |line: &str| line.split_once(" cookie=").unwrap().0.to_owned();
        let is_there = |at: &str| {
            UnixDatagram::unbound().unwrap().connect(at).map_err(|error| error.raw_os_error())
        };
        let before = is_there(&path);
        fs::remove_file(&path).unwrap();
        let listed = exact.ask_line("list sockets");
        assert_eq!(listed, format!("{line} fault=no-file"));
        let again = exact.ask_line(&make);
        // It is another socket, and otherwise the same.
        assert_ne!(again, line);
        assert_eq!(rest(&again), rest(&line));
        line = again;
        assert_eq!(is_there(&path), before, "{kind}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        // A process that gets it has it made anew, too.
        fs::remove_file(&path).unwrap();
        exact.ask(format!("make process {kind} inherit=s -- /bin/sleep 1000"));
        let again = exact.ask_line("list sockets");
        assert_ne!(again, line);
        assert_eq!(rest(&again), rest(&line));
        line = again;
        exact.ask(format!("remove processes {kind}"));
        // What was put in its place is not papad's to remove.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert_eq!(exact.ask_line("list sockets"), format!("{line} fault=other-file"));
        exact.ask_for("conflict", &make);
        exact.ask("remove sockets s");
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
    }
}

#[test]
fn the_next_server_knows_its_files_from_those_of_others() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let path = scratch.join("hosted");
    let make = format!("make socket s path={path}");
    papad.session().ask(&make);
    fs::remove_file(&path).unwrap();
    let _theirs = UnixListener::bind(&path).unwrap();
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(value_of(&exact.ask_line("list sockets"), "fault"), "other-file");
    exact.ask("remove sockets s");
    assert!(is_answered(Path::new(&path)));
}

#[test]
fn an_abstract_socket_is_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let name = format!("papad-test-{}", std::process::id());
    let make = format!("make socket s path=@{name}");
    let line = exact.ask_line(&make);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    UnixStream::connect_addr(&address).unwrap();
    exact.ask_for("conflict", format!("make socket t path=@{name}"));
    papad.kill_server();
    let mut exact = Exact::tcp(&papad);
    assert_eq!(exact.ask_line("list sockets"), line);
    assert_eq!(exact.ask_line(&make), line);
    exact.ask("remove sockets s");
    assert!(UnixStream::connect_addr(&address).is_err());
    // papa 1.0 has no such sockets.
    let refused = papad.session().ask_for_error(&format!("make socket s path=@{name}"));
    assert_eq!(refused, "Absolute path required for Unix sockets");
}

#[test]
fn connections_that_waited_when_the_file_was_swept_are_accepted() {
    let scratch = ScratchDir::new();
    let papad = start(&scratch);
    let path = papad.unix_path().to_owned();
    let server = Pid::from_raw(papad.server_pid());
    kill(server, Signal::SIGSTOP).unwrap();
    let waiting: Vec<Session> = (0..10).map(|_| papad.connect_unix()).collect();
    fs::remove_file(&path).unwrap();
    kill(server, Signal::SIGCONT).unwrap();
    let waiting = thread::spawn(move || {
        for mut session in waiting {
            session.expect(BANNER);
            session.ask_expecting("get who", "first");
        }
    });
    waiting.join().unwrap();
    eventually("the file is there again", || is_answered(&path));
    is_the_same(&papad, "first");
}
