//! What may stand where a papad is expected: a program that takes papad's words and does otherwise.
//! Its file's name says what.
#![allow(clippy::unwrap_used)]

use std::env;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, recv, send};

/// The link to the keeper.
const STDIN: i32 = 0;

fn main() {
    let name = env::current_exe().unwrap();
    let said: &[&str] = match name.file_name().unwrap().to_str().unwrap() {
        "silent" => &[],
        "unable" => &["here", "unable there is a reason"],
        "nonsense" => &["here", "nonsense"],
        // Nobody has asked it, and it has nothing.
        "eager" => &["took", "parted", "ready 0", "drop-passed", "leave", "stays here"],
        // It does all that it is asked for, but for the last.
        "liar" => return lie(),
        other => panic!("{other} is nothing known"),
    };
    for message in said {
        say(message);
    }
    loop {
        thread::sleep(Duration::MAX);
    }
}

fn say(message: &str) {
    send(STDIN, message.as_bytes(), MsgFlags::MSG_NOSIGNAL).unwrap();
}

/// Says that it has taken over, and has nothing that it was handed.
fn lie() {
    say("here");
    let mut message = [0; 8192];
    loop {
        let length = recv(STDIN, &mut message, MsgFlags::empty()).unwrap();
        match message[..length].split(|&byte| byte == b' ').next().unwrap() {
            b"rehearse" => say("able"),
            b"start" => return say("took"),
            b"" => return,
            _ => {}
        }
    }
}
