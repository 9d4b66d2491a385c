//! What goes wrong between keeper and server.

use std::net::TcpStream;

use nix::errno::Errno;
use papad_tests::exact::{number_of, script};
use papad_tests::{Fault, Part, eventually};

use crate::faulty::Faulty;

/// A message whose descriptors the keeper could not take: it would hold nothing of what was
/// answered.
#[test]
fn what_the_keeper_could_not_take_is_held_all_the_same() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    for (times, (name, request)) in [
        ("socket", "make socket s".to_owned()),
        ("process", format!("make process p {}", script("echo kept; exec sleep 1000"))),
    ]
    .into_iter()
    .enumerate()
    {
        let lost = Fault::lose_descriptors(0).of(Part::Keeper).at(":seqpacket").once();
        let lost = faulty.put(lost);
        exact.ask(&request);
        lost.wait_until_met(1);
        // The keeper has asked for it again.
        faulty.papad.wait_for_logs(times + 1, "what is held was handed to the keeper again");
        exact = faulty.exact();
        exact.ask("set v 1");
        faulty.papad.kill_server();
        exact = faulty.exact();
        assert_eq!(exact.ask(format!("list {name}{}", plural(name))).len(), 1);
    }
    let port = number_of(&exact.ask_line("list sockets s"), "port") as u16;
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    eventually("its output is there", || exact.ask_line("list processes p").contains(" next=5 "));
}

fn plural(name: &str) -> &'static str {
    if name == "process" { "es" } else { "s" }
}

/// A server that is not handed everything does not start with less.
#[test]
fn a_server_that_could_not_take_everything_is_followed_by_one_that_can() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    exact.ask("make socket s");
    exact.ask("set v 1");
    for most in [0, 1, 3] {
        let lost = Fault::lose_descriptors(most).of(Part::Server).at(":seqpacket").times(3);
        let lost = faulty.put(lost);
        faulty.papad.kill_server();
        let mut exact = faulty.exact();
        exact.ask_expecting("get v", "ok 1\n1\n");
        assert_eq!(exact.ask("list sockets").len(), 1);
        assert_eq!(lost.met(), 3);
    }
}

/// The queue of the link is full: whoever has something to say waits, or is refused.
#[test]
fn a_link_without_room_refuses_what_cannot_be_held() {
    let faulty = Faulty::start();
    let mut exact = faulty.exact();
    for errno in [Errno::EAGAIN, Errno::ENOBUFS, Errno::ENOMEM] {
        let full = Fault::fail("sendmsg", errno).of(Part::Server).at(":seqpacket").once();
        let full = faulty.put(full);
        exact.ask_for("limit", "make socket s");
        assert_eq!(full.met(), 1);
        exact.ask("make socket s");
        exact.ask("remove sockets s");
    }
    // What is in flight may soon be received: papad tries again before it refuses.
    let crowded = Fault::fail("sendmsg", Errno::ETOOMANYREFS).of(Part::Server).at(":seqpacket");
    let full = faulty.put(crowded);
    exact.ask_for("limit", "make socket s");
    assert!(full.met() > 1);
    drop(full);
    exact.ask("make socket s");
    exact.ask("remove sockets s");
}
