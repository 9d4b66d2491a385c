//! papa-client and papad as different users.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::thread;

use papa_client::{Endpoint, ErrorKind, Papa};
use papad_tests::{DEADLINE, NOBODY, Papad, ScratchDir, as_user, is_root};

fn kind<T: std::fmt::Debug>(result: papa_client::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

// One test, for the copy of papad that another user runs must not be open for writing in a process
// that some other test is just starting.
#[test]
fn both_sides_choose_with_whom_they_speak() {
    if !is_root("to be two users") {
        return;
    }
    a_server_of_another_user_is_not_spoken_with();
    who_is_not_let_in_is_told();
}

#[test]
fn a_stranger_is_found_out_by_the_first_byte() {
    if !is_root("to be two users") {
        return;
    }
    let listener = as_user(NOBODY, || TcpListener::bind("127.0.0.1:0").unwrap());
    let endpoint = Endpoint::tcp(listener.local_addr().unwrap().port()).deadline(DEADLINE);
    let stranger = thread::spawn(move || {
        as_user(NOBODY, || talk_without_end(listener.accept().unwrap().0));
    });
    let error = Papa::connect(&endpoint).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotYours, "{error}");
    assert!(error.to_string().contains(&NOBODY.to_string()), "{error}");
    stranger.join().unwrap();
}

#[test]
fn a_greeting_without_end_is_not_read_to_its_end() {
    let scratch = ScratchDir::new();
    let path = scratch.join("endless");
    let listener = UnixListener::bind(&path).unwrap();
    let other = thread::spawn(move || talk_without_end(listener.accept().unwrap().0));
    let error = Papa::connect(&Endpoint::unix(path).deadline(DEADLINE)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    other.join().unwrap();
}

/// Writes half a line until nobody reads any more.
fn talk_without_end(mut to: impl Write) {
    while to.write_all(&[b'P'; 4096]).is_ok() {}
}

fn a_server_of_another_user_is_not_spoken_with() {
    let scratch = ScratchDir::new();
    let directory = scratch.join("of-nobody");
    fs::create_dir(&directory).unwrap();
    chown(&directory, Some(NOBODY), Some(NOBODY)).unwrap();
    let path = format!("{directory}/papad");
    let papad = Papad::builder().unix_path(&path).arg("--allow-uid=0");
    let papad = papad.as_user(NOBODY, scratch.join("copy")).start();
    for endpoint in [Endpoint::unix(&path), Endpoint::tcp(papad.port())] {
        assert_eq!(kind(Papa::connect(&endpoint)), ErrorKind::NotYours, "{endpoint}");
        let papa = Papa::connect(&endpoint.owned_by(NOBODY)).unwrap();
        assert_eq!(papa.owner().unwrap(), NOBODY);
    }
}

fn who_is_not_let_in_is_told() {
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad")).start();
    let unix = Endpoint::unix(papad.unix_path());
    assert_eq!(as_user(NOBODY, || kind(Papa::connect(&unix))), ErrorKind::NotYours);
    let tcp = Endpoint::tcp(papad.port());
    let error = as_user(NOBODY, || Papa::connect(&tcp)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotYours);
    assert_eq!(error.to_string(), format!("uid {NOBODY} may not speak to papad"));
}
