//! Users and networks that are not papad's own.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use papad_tests::network::{has_ip, in_new_network, ip};
use papad_tests::{BANNER, Papad, ScratchDir, as_user, copy_program, is_root, skip};

use crate::{House, MISCHIEF, STRANGER, refusal, refused, welcome};

/// Runs the program `guest` by these words before it; returns what it heard.
fn guest(house: &House, before: &[&str], to: [&str; 2], says: &str) -> String {
    let program = house.scratch.join("guest");
    if !std::fs::exists(&program).unwrap() {
        // The build's own directory may be closed to other users.
        copy_program(env!("CARGO_BIN_EXE_guest").as_ref(), &program);
    }
    let words: Vec<&str> = before.iter().copied().chain([program.as_str()]).chain(to).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(says.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Sees that such a guest is refused on both sockets.
#[track_caller]
fn is_refused(house: &House, before: &[&str], uid: u32) {
    let (port, path) = (house.papad.port().to_string(), house.papad.unix_path().to_str().unwrap());
    for to in [["tcp", &port], ["unix", path]] {
        let heard = guest(house, before, to, MISCHIEF);
        assert!(heard.is_empty() || heard == refusal(uid), "{to:?}: {heard}");
    }
}

/// Whether this system lets anyone make a user namespace.
fn may_make_user_namespaces() -> bool {
    let unshare = || Command::new("unshare").args(["--user", "true"]).status();
    let may = as_user(STRANGER, unshare).is_ok_and(|status| status.success());
    if !may {
        skip("user-namespaces", "users may not make them here");
    }
    may
}

#[test]
fn who_is_root_in_a_user_namespace_is_who_made_that() {
    if !is_root("connecting as somebody else") || !may_make_user_namespaces() {
        return;
    }
    let mut house = House::new();
    let uid = STRANGER.to_string();
    let stranger = ["setpriv", "--clear-groups", "--reuid", &uid, "--regid", &uid];
    for apart in [
        &["unshare", "--user", "--map-root-user"][..],
        &["unshare", "--user"],
        &["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount"],
    ] {
        is_refused(&house, &[&stranger[..], apart].concat(), STRANGER);
    }
    house.is_untouched();
}

#[test]
fn a_pid_namespace_changes_nothing() {
    if !is_root("making namespaces") {
        return;
    }
    let house = House::new();
    let uid = STRANGER.to_string();
    let apart = ["unshare", "--pid", "--fork"];
    let stranger = ["setpriv", "--clear-groups", "--reuid", &uid, "--regid", &uid];
    is_refused(&house, &[&apart[..], &stranger].concat(), STRANGER);
    for to in [["tcp", &house.papad.port().to_string()], ["unix", &house.scratch.join("papad")]] {
        let heard = guest(&house, &apart, to, "quit\n");
        assert!(heard.starts_with(BANNER), "{heard}");
    }
}

#[test]
fn a_papad_in_a_user_namespace_lets_nobody_in_whom_it_cannot_tell_from_others() {
    if !is_root("connecting as somebody else") || !may_make_user_namespaces() {
        return;
    }
    // To it, everyone but root is user 65534, which is the number of a user as well.
    let scratch = ScratchDir::new();
    let papad = Papad::builder()
        .unix_path(scratch.join("papad"))
        .arg("--allow-uid=65534")
        .after_shell("exec unshare --user --map-root-user \"$0\" \"$@\"")
        .start();
    let mut house = House::of(papad, scratch);
    for uid in [STRANGER, papad_tests::NOBODY] {
        as_user(uid, || {
            for mut guest in [house.papad.connect(), house.papad.connect_unix()] {
                let _ = guest.try_send(MISCHIEF);
                guest.expect_closed();
            }
        });
    }
    house.papad.wait_for_log("its user has no number in papad's user namespace");
    welcome(house.papad.connect());
    welcome(house.papad.connect_unix());
    house.is_untouched();
}

#[test]
fn a_papad_without_numbers_for_users_lets_nobody_in() {
    if !is_root("connecting as somebody else") || !may_make_user_namespaces() {
        return;
    }
    // It is user 65534 itself, and so is everyone.
    let papad = Papad::builder().after_shell("exec unshare --user \"$0\" \"$@\"").start();
    for uid in [0, STRANGER, papad_tests::NOBODY] {
        as_user(uid, || papad.connect().expect_closed());
    }
}

#[test]
fn another_network_does_not_reach_the_port() {
    if !is_root("making namespaces") || !has_ip() {
        return;
    }
    let house = House::new();
    let port = house.papad.port();
    in_new_network(|| {
        let error = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // A Unix socket is a file, and there is one file system: there, the user decides.
        welcome(house.papad.connect_unix());
        let mut stranger = None;
        as_user(STRANGER, || stranger = Some(house.papad.connect_unix()));
        refused(stranger.unwrap(), STRANGER);
    });
    welcome(house.papad.connect());
}

#[test]
fn a_neighbour_does_not_reach_the_port() {
    // Addresses for examples (RFC 5737), on a cable between two networks of this test.
    const OURS: &str = "192.0.2.1";
    const THEIRS: &str = "192.0.2.2";
    if !is_root("making namespaces") || !has_ip() {
        return;
    }
    let (neighbour_is, wait_for_neighbour) = mpsc::channel();
    let (papad_is_at, wait_for_papad) = mpsc::channel();
    let (neighbour_is_done, wait_until_done) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            in_new_network(move || {
                neighbour_is.send(nix::unistd::gettid()).unwrap();
                let port: u16 = wait_for_papad.recv().unwrap();
                ip(&format!("address add {THEIRS}/24 dev theirs"));
                ip("link set theirs up");
                let tried = TcpStream::connect((OURS, port)).map(drop);
                neighbour_is_done.send(tried).unwrap();
            });
        });
        in_new_network(move || {
            let neighbour = wait_for_neighbour.recv().unwrap();
            ip(&format!("link add ours type veth peer name theirs netns {neighbour}"));
            ip(&format!("address add {OURS}/24 dev ours"));
            ip("link set ours up");
            let mut house = House::new();
            papad_is_at.send(house.papad.port()).unwrap();
            let tried = wait_until_done.recv().unwrap();
            assert_eq!(tried.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            welcome(house.papad.connect());
            house.is_untouched();
        });
    });
}
