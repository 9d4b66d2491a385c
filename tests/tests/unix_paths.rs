//! Paths of Unix sockets, papad's own and those it hosts: nobody gets in before the mode is right, and
//! what somebody else has put there is neither followed nor removed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use papad_tests::{Papad, ScratchDir, as_user, eventually, is_root, papad_program};

/// A user of nobody else.
const STRANGER: u32 = 61_020;

/// What is at a path: its kind and mode, owner, inode, and where it leads.
fn look(path: &str) -> (u32, u32, u64, Option<String>) {
    let file = fs::symlink_metadata(path).unwrap();
    let target = fs::read_link(path).ok().map(|to| to.to_string_lossy().into_owned());
    (file.mode(), file.uid(), file.ino(), target)
}

/// Sees that papad neither listens at this path nor hosts a socket there, and leaves what is there.
/// Returns why a hosted socket is refused.
#[track_caller]
fn is_left_alone(papad: &Papad, path: &str) -> String {
    let before = look(path);
    let own = Command::new(papad_program()).args(["-u", path]).stdin(Stdio::null()).output();
    let own = own.unwrap();
    assert_eq!(own.status.code(), Some(1), "{path}");
    let told = String::from_utf8(own.stderr).unwrap();
    let (told, rest) = told.split_once('\n').unwrap();
    assert!(told.starts_with(&format!("papad: cannot listen on {path}: ")), "{told}");
    assert!(rest.is_empty(), "{rest}");
    let why = papad.session().ask_for_error(&format!("make socket s path={path}"));
    assert!(why.starts_with("Bind failed: "), "{why}");
    assert!(told.ends_with(why.strip_prefix("Bind failed: ").unwrap()), "{told}\n{why}");
    assert_eq!(look(path), before, "{path}");
    why
}

#[test]
fn file_that_is_linked_as_the_lock_is_not_written_to() {
    let scratch = ScratchDir::new();
    fs::write(scratch.join("precious"), "mine").unwrap();
    // As another user does in a directory of all, where the system allows it.
    fs::hard_link(scratch.join("precious"), scratch.join("papad.lock")).unwrap();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    papad.session().ask("set v 1");
    assert_eq!(fs::read_to_string(scratch.join("precious")).unwrap(), "mine");
}

#[test]
fn what_is_no_socket_is_left_and_no_link_is_followed() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let at = |name: &str| scratch.join(name);
    fs::write(at("file"), "mine").unwrap();
    fs::create_dir(at("directory")).unwrap();
    mkfifo(Path::new(&at("pipe")), Mode::S_IRWXU).unwrap();
    drop(UnixListener::bind(at("stale")).unwrap());
    let _live = UnixListener::bind(at("live")).unwrap();
    for target in ["file", "stale", "live", "nothing"] {
        symlink(at(target), at(&format!("to-{target}"))).unwrap();
    }
    for name in ["file", "directory", "pipe", "to-file", "to-stale", "to-live", "to-nothing"] {
        let why = is_left_alone(&papad, &at(name));
        assert!(why.contains("there is a file that is not a socket"), "{why}");
    }
    assert_eq!(fs::read_to_string(at("file")).unwrap(), "mine");
    assert!(fs::symlink_metadata(at("stale")).unwrap().file_type().is_socket());
    assert!(!fs::exists(at("nothing")).unwrap());
    UnixStream::connect(at("live")).unwrap();
}

#[test]
fn a_socket_that_somebody_has_open_is_left() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let (live, full, datagrams) =
        (scratch.join("live"), scratch.join("full"), scratch.join("datagrams"));
    let _live = UnixListener::bind(&live).unwrap();
    let _datagrams = UnixDatagram::bind(&datagrams).unwrap();
    // One that takes no more connections for now.
    let queue = UnixListener::bind(&full).unwrap();
    nix::sys::socket::listen(&queue, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _waiting = UnixStream::connect(&full).unwrap();
    for path in [live, full, datagrams] {
        let why = is_left_alone(&papad, &path);
        assert!(why.contains("Address already in use"), "{why}");
    }
}

#[test]
fn a_stale_socket_is_replaced_if_it_is_of_papads_user() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let (own, hosted) = (scratch.join("own"), scratch.join("hosted"));
    for path in [&own, &hosted] {
        drop(UnixListener::bind(path).unwrap());
    }
    let another = Papad::builder().unix_path(&own).start();
    another.connect_unix().expect(papad_tests::BANNER);
    papad.session().ask(format!("make socket s path={hosted}"));
    UnixStream::connect(&hosted).unwrap();
}

#[test]
fn a_stale_socket_of_another_user_is_left() {
    if !is_root("making files of somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let path = scratch.join("theirs");
    drop(UnixListener::bind(&path).unwrap());
    chown(&path, Some(STRANGER), None).unwrap();
    let why = is_left_alone(&papad, &path);
    assert!(why.contains(&format!("there is a socket of uid {STRANGER}")), "{why}");
    // Whoever is let in may have been given papad's own socket.
    let theirs = Papad::builder().arg(format!("--allow-uid={STRANGER}")).unix_path(&path).start();
    theirs.connect_unix().expect(papad_tests::BANNER);
}

#[test]
fn what_somebody_else_has_put_at_a_hosted_path_stays() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let path = scratch.join("path");
    let mut session = papad.session();
    for put in [
        |path: &str| drop(UnixListener::bind(path).unwrap()),
        |path: &str| fs::write(path, "theirs").unwrap(),
        |path: &str| symlink("/dev/null", path).unwrap(),
        |path: &str| fs::create_dir(path).unwrap(),
    ] {
        session.ask(format!("make socket s path={path}"));
        fs::remove_file(&path).unwrap();
        put(&path);
        let theirs = look(&path);
        session.ask_expecting("remove sockets s", "");
        assert_eq!(look(&path), theirs);
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).unwrap();
    }
}

#[test]
fn what_somebody_else_has_put_at_a_path_stays_when_papad_ends() {
    let scratch = ScratchDir::new();
    let (own, hosted) = (scratch.join("own"), scratch.join("hosted"));
    let mut papad = Papad::builder().unix_path(&own).start();
    papad.session().ask(format!("make socket s path={hosted}"));
    papad.session().ask(format!("make socket t path={}", scratch.join("ours")));
    let _theirs = [&own, &hosted].map(|path| {
        fs::remove_file(path).unwrap();
        UnixListener::bind(path).unwrap()
    });
    let before = [&own, &hosted].map(|path| look(path));
    kill(Pid::from_raw(papad.keeper_pid()), Signal::SIGTERM).unwrap();
    papad.wait_for_exit();
    assert_eq!([&own, &hosted].map(|path| look(path)), before);
    // Its own are removed.
    assert!(!fs::exists(scratch.join("ours")).unwrap());
}

/// Connects to `path` again and again until told to stop; returns how often it was denied.
///
/// # Panics
/// When it gets as far as the socket.
fn try_to_enter(path: &str, is_over: &AtomicBool) -> usize {
    let mut denied = 0;
    while !is_over.load(Ordering::SeqCst) {
        match UnixStream::connect(path).map_err(|error| error.kind()) {
            Err(ErrorKind::NotFound) => {}
            Err(ErrorKind::PermissionDenied) => denied += 1,
            // Refused, the mode would have let it through to a socket that does not listen yet.
            other => panic!("{path} is entered: {other:?}"),
        }
    }
    denied
}

/// Has a stranger try to enter `path` while `act` makes it.
fn while_a_stranger_tries(path: &str, act: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    let denied = thread::scope(|scope| {
        let trying = scope.spawn(|| as_user(STRANGER, || try_to_enter(path, &is_over)));
        act();
        is_over.store(true, Ordering::SeqCst);
        trying.join().unwrap()
    });
    assert!(denied > 0, "it was never there to be tried");
}

#[test]
fn there_is_no_moment_at_which_papads_own_socket_is_open_to_others() {
    const TIMES: usize = 20;
    if !is_root("connecting as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.join("papad");
    while_a_stranger_tries(&path, || {
        for _ in 0..TIMES {
            let mut papad =
                Papad::builder().after_shell("umask 0").unix_path(scratch.join("papad")).start();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            papad.kill_both();
        }
    });
}

#[test]
fn there_is_no_moment_at_which_a_hosted_socket_has_another_umask() {
    const TIMES: usize = 300;
    if !is_root("connecting as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let path = scratch.join("hosted");
    let papad = Papad::builder().after_shell("umask 0").start();
    let mut session = papad.session();
    while_a_stranger_tries(&path, || {
        for _ in 0..TIMES {
            session.ask(format!("make socket s path={path} umask=63"));
            session.ask_expecting("remove sockets s", "");
        }
    });
}

#[test]
fn a_file_that_is_gone_is_no_error() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let path = scratch.join("path");
    let mut session = papad.session();
    session.ask(format!("make socket s path={path}"));
    fs::remove_file(&path).unwrap();
    session.ask_expecting("remove sockets s", "");
    session.ask(format!("make socket s path={path}"));
    // The next server knows the file, too.
    papad.kill_server();
    papad.session().ask_expecting("remove sockets s", "");
    eventually("the file is removed", || !fs::exists(&path).unwrap());
}
