//! Sockets that are made anew while a process has the old one.

use std::fs;
use std::io::ErrorKind as Io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use papa_client::{ErrorKind, Papa, ProcessBuilder, SocketType};

use crate::{Hosted, kind};

/// A process that has these sockets.
fn server(papa: &Papa, sockets: &[&str]) -> ProcessBuilder<Papa> {
    papa.process("srv", "/bin/sleep").arg("1000").env_clear().inherit(sockets)
}

/// What makes the wanted process another than the one that runs.
fn differences(papa: &Papa, wanted: &ProcessBuilder<Papa>) -> Vec<String> {
    wanted.differences(&papa.process_again("srv").unwrap())
}

/// Ends the process and starts it again.
fn restart(papa: &Papa, wanted: ProcessBuilder<Papa>) {
    let old = papa.process_named("srv").unwrap().unwrap();
    old.kill().unwrap();
    old.wait().unwrap();
    assert_ne!(wanted.replace_ended().make().unwrap().id(), old.id());
}

#[test]
fn a_process_differs_whose_socket_was_made_anew() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let path = hosted.scratch.join("web");
    let make = || papa.unix_socket("web", &path).make().unwrap();
    let web = make();
    papa.socket("other").make().unwrap();
    papa.socket("shared").reuseport().make().unwrap();
    let wanted = server(papa, &["web", "other", "shared"]).env("A", "$(socket.web.fileno)");
    let process = wanted.make().unwrap();
    let given: Vec<_> = process.info().sockets.iter().map(|it| it.name.to_string()).collect();
    assert_eq!(given, ["web", "other", "shared"]);
    assert_eq!(Some(process.info().sockets[0].cookie), web.cookie);
    // To ask for the same socket again makes nothing anew.
    assert_eq!(make(), web);
    assert_eq!(differences(papa, &wanted), [""; 0]);

    papa.remove_socket("web").unwrap();
    // There is none yet that it could be given.
    assert_eq!(differences(papa, &wanted), [""; 0]);
    assert_ne!(make().cookie, web.cookie);
    // The same specification still finds the process, which has the old socket.
    assert_eq!(wanted.make().unwrap().id(), process.id());
    assert_eq!(differences(papa, &wanted), ["socket.web"]);
    papa.remove_socket("shared").unwrap();
    papa.socket("shared").reuseport().make().unwrap();
    assert_eq!(differences(papa, &wanted), ["socket.shared", "socket.web"]);

    restart(papa, wanted.clone());
    assert_eq!(differences(papa, &wanted), [""; 0]);
}

#[test]
fn which_socket_a_process_has_outlives_kills_and_upgrades() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let path = hosted.scratch.join("web");
    let web = papa.unix_socket("web", &path).make().unwrap();
    let wanted = server(papa, &["web"]);
    let sockets = wanted.make().unwrap().info().sockets.clone();
    assert_eq!(sockets.len(), 1);
    let look = || (papa.sockets("web").unwrap(), papa.processes("srv").unwrap()[0].sockets.clone());
    hosted.papad.kill_server();
    assert_eq!(look(), (vec![web.clone()], sockets.clone()));
    papa.upgrade(None).unwrap();
    assert_eq!(look(), (vec![web], sockets.clone()));
    assert_eq!(differences(papa, &wanted), [""; 0]);

    papa.remove_socket("web").unwrap();
    papa.unix_socket("web", &path).make().unwrap();
    hosted.papad.kill_server();
    assert_eq!(differences(papa, &wanted), ["socket.web"]);
    papa.upgrade(None).unwrap();
    hosted.papad.kill_server();
    assert_eq!(differences(papa, &wanted), ["socket.web"]);
    assert_eq!(look().1, sockets);
}

#[test]
fn a_socket_that_was_mended_counts_as_made_anew() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let path = hosted.scratch.join("web");
    let unix = papa.unix_socket("web", &path);
    unix.make().unwrap();
    let wanted = server(papa, &["web"]);
    wanted.make().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(differences(papa, &wanted), [""; 0]);
    // The file is back, and what the process has is not behind it.
    unix.make().unwrap();
    UnixStream::connect(&path).unwrap();
    assert_eq!(differences(papa, &wanted), ["socket.web"]);
    hosted.papad.kill_server();
    assert_eq!(differences(papa, &wanted), ["socket.web"]);
}

#[test]
fn a_unix_socket_that_was_made_otherwise_is_replaced_if_asked_for() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let (path, moved) = (hosted.scratch.join("ctl"), hosted.scratch.join("moved"));
    let made = papa.unix_socket("ctl", &path).backlog(7).make().unwrap();
    let wanted = server(papa, &["ctl"]);
    wanted.make().unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let umask = papa.unix_socket("ctl", &path).backlog(7).umask(0o077);
    assert_eq!(kind(umask.make()), ErrorKind::Exists);
    assert_eq!(papa.sockets("*").unwrap(), [made]);

    for other in [
        umask,
        papa.unix_socket("ctl", &path).backlog(8),
        papa.unix_socket("ctl", &path).seqpacket(),
        papa.unix_socket("ctl", &moved),
    ] {
        let before = papa.sockets("ctl").unwrap();
        let replacing = other.replace();
        let new = replacing.make().unwrap();
        assert_ne!(new.cookie, before[0].cookie);
        // One that was made this way is found.
        assert_eq!(replacing.make().unwrap(), new);
        assert_eq!(papa.sockets("*").unwrap(), [new]);
        assert_eq!(differences(papa, &wanted), ["socket.ctl"]);
    }
    // The old path leads nowhere.
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), Io::NotFound);
    UnixStream::connect(&moved).unwrap();
}

#[test]
fn a_path_of_another_name_is_not_taken_from_it() {
    let hosted = Hosted::start();
    let papa = &hosted.papa;
    let path = hosted.scratch.join("ctl");
    let made = papa.unix_socket("other", &path).make().unwrap();
    assert_eq!(kind(papa.unix_socket("ctl", &path).replace().make()), ErrorKind::Exists);
    assert_eq!(papa.sockets("*").unwrap(), [made]);
    assert!(Path::new(&path).exists());
}

#[tokio::test]
async fn sockets_are_replaced_and_compared_when_awaited() {
    let hosted = Hosted::start();
    let papa = papa_client::tokio::Papa::connect(&hosted.endpoint()).await.unwrap();
    let path = hosted.scratch.join("ctl");
    papa.unix_socket("ctl", &path).make().await.unwrap();
    let wanted = papa.process("srv", "/bin/sleep").arg("1000").env_clear().listen(["ctl"]);
    wanted.make().await.unwrap();
    let packets = papa.unix_socket("ctl", &path).seqpacket();
    assert_eq!(kind(packets.make().await), ErrorKind::Exists);
    let running = papa.process_again("srv").await.unwrap();
    assert_eq!(wanted.differences(&running), [""; 0]);
    let new = packets.replace().make().await.unwrap();
    assert_eq!(new.socket_type, SocketType::Seqpacket);
    let running = papa.process_again("srv").await.unwrap();
    assert_eq!(wanted.differences(&running), ["socket.ctl"]);
}
