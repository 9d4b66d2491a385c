//! What may stand where a papad is expected: a program that takes papad's words and does otherwise.
//! Its file's name says what.
#![allow(clippy::unwrap_used)]

use std::env;
use std::thread;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, send};

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
        other => panic!("{other} is nothing known"),
    };
    for message in said {
        send(STDIN, message.as_bytes(), MsgFlags::MSG_NOSIGNAL).unwrap();
    }
    loop {
        thread::sleep(Duration::MAX);
    }
}
