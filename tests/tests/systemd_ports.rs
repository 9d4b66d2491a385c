//! Ports that systemd's store has, too. This test has a process to itself: where others start programs
//! at the same time, these have copies of what the store holds until they run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;

use papad_tests::network::reserve_port;
use papad_tests::{FakeSystemd, Papad};

#[test]
fn a_port_is_free_when_the_reply_says_that_its_socket_is_removed() {
    let systemd = FakeSystemd::new();
    let papad = Papad::builder().under(&systemd).start();
    let mut session = papad.session();
    for _ in 0..20 {
        let (_reserved, port) = reserve_port();
        session.ask(format!("make socket s port={port}"));
        session.ask_expecting("remove sockets s", "");
        TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}
