//! sockets, socket make, socket rm, socket adopt.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::{fs, path};

use papad_tests::network::reserve_port;
use papad_tests::{Papad, ScratchDir};
use serde_json::{Value, json};

use crate::ctl::{Ctl, Ran, words};

/// The port at the end of what `socket make` says.
fn port(said: &str) -> u16 {
    said.trim_end().rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn a_socket_listens_where_the_command_says_until_it_is_removed() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let (_reserved, port) = reserve_port();
    let address = format!("127.0.0.1:{port}");
    let said = ctl.ok(&["socket", "make", "web", "--backlog", "7", "--port", &port.to_string()]);
    assert_eq!(said, format!("web listens at {address}\n"));
    drop(TcpStream::connect(&address).unwrap());
    // As often as one likes.
    assert_eq!(ctl.ok(&["socket", "make", "web", "--backlog", "7"]), said);

    let table = ctl.ok(&["sockets"]);
    assert_eq!(words(&table)[0], ["NAME", "TYPE", "ADDRESS", "BACKLOG", "FILENO"]);
    assert_eq!(words(&table)[1], ["web", "tcp", &address, "7", "3"]);
    let (status, error) = ctl.fails(&["socket", "make", "web", "--backlog", "8"]);
    assert_eq!(status, 7, "{error}");

    assert_eq!(ctl.ok(&["socket", "rm", "w*"]), "");
    assert!(TcpStream::connect(&address).is_err());
    assert_eq!(ctl.fails(&["socket", "rm", "web"]).0, 3);
    let (status, error) = ctl.fails(&["sockets", "web"]);
    assert_eq!(status, 3);
    assert!(error.ends_with("; \"papactl sockets\" shows those that there are"), "{error}");
    assert_eq!(ctl.json(&["sockets", "web*"]), json!([]));
}

#[test]
fn sockets_are_of_every_kind() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    assert!(ctl.ok(&["socket", "make", "u", "--udp"]).starts_with("u receives at 127.0.0.1:"));
    let six = ctl.ok(&["socket", "make", "six", "--host", "::1"]);
    assert_eq!(six, format!("six listens at [::1]:{}\n", port(&six)));
    let device = ctl.json(&["socket", "make", "d", "--interface", "lo", "--reuseport"]);
    assert_eq!(device["address"], format!("0.0.0.0%lo:{}", device["port"]));
    assert_eq!(device["reuseport"], true);

    // A relative path is one of this directory, and papad is somewhere else.
    let scratch = ScratchDir::new();
    let mut command =
        ctl.command(&["socket", "make", "x", "--path", "x.sock", "--umask", "177", "--json"]);
    command.current_dir(scratch.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::of(command.spawn().unwrap());
    let json: Value = serde_json::from_str(&ran.text()).unwrap();
    let path = path::absolute(scratch.join("x.sock")).unwrap();
    assert_eq!((&json["path"], &json["umask"]), (&json!(path), &json!("177")));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(UnixStream::connect(&path).unwrap());

    ctl.ok(&["socket", "make", "g", "--path", &scratch.join("g"), "--type", "dgram"]);
    ctl.ok(&["socket", "make", "s", "--path", &scratch.join("s"), "--type", "seqpacket"]);
    let all = ctl.json(&["sockets"]);
    let kinds: Vec<&Value> = all.as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, ["tcp", "unix-dgram", "unix-seqpacket", "tcp", "udp", "unix"]);

    for wrong in [
        &["socket", "make", "x", "--path", "/x", "--port", "1"][..],
        &["socket", "make", "x", "--umask", "077"],
        &["socket", "make", "x", "--path", "/x", "--umask", "9"],
    ] {
        assert_eq!(ctl.run(wrong).status, Some(2), "{wrong:?}");
    }
}

/// A socket that listens, and where.
fn listener() -> (OwnedFd, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener.into(), address)
}

#[test]
fn a_socket_that_papactl_was_started_with_becomes_papads() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let ctl = Ctl::over_unix(&papad);
    let (socket, address) = listener();
    let mut command = ctl.command(&["socket", "adopt", "web", "--fd", "0"]);
    let command = command.stdin(socket).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = Ran::of(command.spawn().unwrap());
    assert_eq!(ran.text(), format!("web listens at {address}\n"), "{ran:?}");
    assert_eq!(ctl.json(&["sockets"])[0]["address"], address);

    // As systemd passes it.
    let (socket, address) = listener();
    let run = |words: &str, socket: OwnedFd| {
        let line = format!(
            "exec 3<&0 4</dev/null; export LISTEN_FDS=2 LISTEN_FDNAMES=http:other LISTEN_PID=$$; \
             exec \"$0\" -e \"$1\" socket adopt {words}"
        );
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(line).arg(Ctl::program()).arg(ctl.endpoint());
        shell.stdin(socket).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ran::of(shell.spawn().unwrap())
    };
    let ran = run("http", socket.try_clone().unwrap());
    assert_eq!(ran.text(), format!("http listens at {address}\n"), "{ran:?}");
    let ran = run("neither", socket);
    assert_eq!(ran.status, Some(2));
    assert_eq!(
        ran.error(),
        "papactl: of the 2 descriptors that were passed none is neither; say which one it is with \
         --fd\n"
    );
}

#[test]
fn what_cannot_be_adopted_is_told_with_what_to_do() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let (status, error) = ctl.fails(&["socket", "adopt", "web"]);
    assert_eq!(status, 2);
    assert!(error.ends_with("no descriptor was passed; say which one it is with --fd"), "{error}");
    let (status, error) = ctl.fails(&["socket", "adopt", "web", "--fd", "9"]);
    assert_eq!(status, 2);
    assert!(error.contains("descriptor 9 cannot be had"), "{error}");
    // Over TCP no descriptor travels.
    let (status, error) = ctl.fails(&["socket", "adopt", "web", "--fd", "0"]);
    assert_eq!(status, 1);
    assert!(error.contains("name papad's Unix socket with --endpoint PATH"), "{error}");
}

#[test]
fn an_abstract_socket_is_named_with_an_at_sign() {
    let papad = Papad::start();
    let ctl = Ctl::of(&papad);
    let name = format!("@papactl-test-{}", std::process::id());
    let said = ctl.ok(&["socket", "make", "s", "--path", &name]);
    assert_eq!(said, format!("s listens at {name}\n"));
    let listed = &ctl.json(&["sockets"])[0];
    assert_eq!((&listed["path"], &listed["fault"]), (&name.clone().into(), &Value::Null));
    assert!(!std::path::Path::new(&name).exists());
    let (_, error) = ctl.fails(&["socket", "make", "t", "--path", &name]);
    assert!(error.contains("Address already in use"), "{error}");
}
