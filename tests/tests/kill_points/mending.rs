//! Kills while the file of a Unix socket is made anew.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::sys::socket::{Shutdown, shutdown};
use papad_tests::exact::Exact;
use papad_tests::{BANNER, eventually};

use crate::armed::Armed;

#[test]
fn killed_while_a_hosted_file_is_made_anew() {
    let armed = Armed::start_at_path();
    let path = armed.scratch.join("socket");
    let make = format!("make socket s path={path} umask=63");
    let line = armed.papad.session().ask(&make);
    let before = armed.files();
    for point in ["socket-unlinked", "socket-bound-again"] {
        for is_shut_down in [false, true] {
            if is_shut_down {
                let mut unix = Exact::unix(&armed.papad);
                unix.ask_line("fetch socket s");
                let socket = unix.take_descriptor().unwrap();
                shutdown(socket.as_raw_fd(), Shutdown::Both).unwrap();
                unix.leave();
            } else {
                fs::remove_file(&path).unwrap();
            }
            let mut session = armed.ask_and_kill_at(point, &make);
            // It is the same socket still, and nobody can reach it.
            session.ask_expecting("list sockets", &line);
            assert!(UnixStream::connect(&path).is_err(), "{point}");
            session.ask_expecting(&make, &line);
            UnixStream::connect(&path).unwrap();
            drop(session);
            armed.expect_files(&before);
        }
    }
    armed.papad.session().ask_expecting("remove sockets s", "");
    assert!(!fs::exists(&path).unwrap());
}

#[test]
fn killed_while_papads_own_file_is_made_anew() {
    let armed = Armed::start_at_path();
    let path = armed.papad.unix_path().to_owned();
    armed.papad.session().ask("set who first");
    for _ in 0..5 {
        armed.kill_at("endpoint-bound-again", || fs::remove_file(&path).unwrap());
        eventually("the file is there again", || UnixStream::connect(&path).is_ok());
        let mut session = armed.papad.connect_unix();
        session.expect(BANNER);
        session.ask_expecting("get who", "first");
    }
    // The keeper has the new one: whoever connects while there is no server waits for the next.
    let before = armed.files();
    armed.papad.kill_server();
    let mut session = armed.papad.connect_unix();
    session.expect(BANNER);
    session.leave();
    armed.expect_files(&before);
}
