//! Sockets in protocol 2.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use papad_tests::exact::{Exact, number_of};
use papad_tests::{Papad, ScratchDir};

#[test]
fn a_socket_is_told_of_by_all_that_is_set() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let web = exact.ask_line("make socket web");
    let port = number_of(&web, "port");
    assert_eq!(
        web,
        format!(
            "name=web family=inet type=stream backlog=2147483647 host=127.0.0.1 port={port} fileno=3 \
             cookie={}",
            number_of(&web, "cookie")
        )
    );
    TcpStream::connect(("127.0.0.1", port as u16)).unwrap();
    let path = scratch.join("a b");
    let db = exact.ask_line(format!("make socket db \"path={path}\" umask=77 backlog=128"));
    let cookie = number_of(&db, "cookie");
    assert_eq!(
        db,
        format!(
            "name=db family=unix type=stream backlog=128 \"path={path}\" umask=0077 fileno=4 \
             cookie={cookie}"
        )
    );
    assert_ne!(cookie, number_of(&web, "cookie"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let shared = exact.ask_line("make socket shared family=inet6 type=dgram reuseport=1");
    let port = number_of(&shared, "port");
    assert_eq!(
        shared,
        format!(
            "name=shared family=inet6 type=dgram backlog=2147483647 host=::1 port={port} \
             reuseport=1 cookie={}",
            number_of(&shared, "cookie")
        )
    );
    let listed = exact.ask("list sockets");
    assert_eq!(listed.len(), 3);
    assert_eq!((&listed[1], &listed[2]), (&shared, &web));
    assert_eq!(exact.ask("list sockets w* nothing"), [web]);
    assert!(exact.ask("list sockets nothing").is_empty());
}

#[test]
fn the_same_name_with_the_same_options_is_the_same_socket() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let web = exact.ask_line("make socket web");
    let port = number_of(&web, "port");
    for same in
        ["", "port=0", "backlog=2147483647 host=127.0.0.1", &format!("port={port} family=inet")]
    {
        assert_eq!(exact.ask_line(format!("make socket web {same}")), web);
    }
    for other in ["backlog=6", "family=inet6", "type=dgram", "port=1", "host=127.0.0.2"] {
        exact.ask_for("exists", format!("make socket web {other}"));
    }
    assert_eq!(exact.ask("list sockets"), [web]);
}

#[test]
fn a_socket_is_removed_by_names_all_of_which_are_there() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for name in ["a", "b.1", "b.2"] {
        exact.ask(format!("make socket {name}"));
    }
    exact.ask_for("usage", "remove sockets");
    exact.ask_for("not-found", "remove sockets b.* nothing");
    exact.ask_expecting("remove sockets b.*", "ok 2\nname=b.1\nname=b.2\n");
    exact.ask_expecting("remove sockets x*", "ok 0\n");
    exact.ask_expecting("remove sockets a a", "ok 1\nname=a\n");
    exact.ask_expecting("list sockets", "ok 0\n");
}

#[test]
fn options_that_are_not_understood_or_contradict_are_refused() {
    let scratch = ScratchDir::new();
    let path = scratch.join("s");
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    for options in [
        "80",
        "colour=red",
        "port=1 port=1",
        "port=",
        "port=+1",
        "port=65536",
        "port=http",
        "backlog=-1",
        "backlog=2147483648",
        "family=INET",
        "type=tcp",
        "reuseport=True",
        "umask=22",
        "host=",
        "interface=",
        "interface=averyverylongname",
        "path=relative",
        "family=unix",
        "\"host=a\\x00b\"",
        &format!("path={path} port=1"),
        &format!("path={path} host=127.0.0.1"),
        &format!("path={path} umask=8"),
        &format!("path={path} umask=1000"),
        &format!("path={path} umask=-1"),
        &format!("path={path} family=inet"),
        &format!("path=/{}", "a".repeat(108)),
    ] {
        exact.ask_for("usage", format!("make socket s {options}"));
    }
    for name in ["\"\"", "\"a b\"", "a*", "\"a\\x00\""] {
        exact.ask_for("usage", format!("make socket {name}"));
    }
    exact.ask_for("usage", "make socket");
    exact.ask_for("usage", "make");
    exact.ask_expecting("list sockets", "ok 0\n");
}

#[test]
fn an_address_that_is_not_to_be_had_is_told_by_its_kind() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let port = number_of(&exact.ask_line("make socket web"), "port");
    exact.ask_for("conflict", format!("make socket other port={port}"));
    exact.ask_for("not-found", "make socket other host=no.such.host.invalid");
    let path = scratch.join("file");
    std::fs::write(&path, "").unwrap();
    exact.ask_for("conflict", format!("make socket other path={path}"));
    exact.ask(format!("make socket db path={}", scratch.join("s")));
    exact.ask_for("exists", format!("make socket other path={}", scratch.join("s")));
}

#[test]
fn a_number_is_a_name_where_there_is_one() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    let named = exact.ask_line("make socket 3");
    assert!(named.starts_with("name=3 "), "{named}");
    assert_eq!(exact.ask("list sockets 3"), [named]);
}

#[test]
fn sockets_are_there_after_the_server_was_killed() {
    let papad = Papad::start();
    let mut exact = Exact::tcp(&papad);
    exact.ask("make socket web backlog=7");
    exact.ask("make socket shared reuseport=1");
    let listed = exact.ask("list sockets");
    papad.kill_server();
    assert_eq!(Exact::tcp(&papad).ask("list sockets"), listed);
}
