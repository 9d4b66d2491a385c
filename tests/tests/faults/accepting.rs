//! Connections for which there is no memory.

use std::net::TcpStream;
use std::thread;

use nix::errno::Errno;
use papad_tests::{Fault, Part};

use crate::faulty::Faulty;

/// A connection that could not be accepted is still there to be accepted, and poll says so at once.
#[test]
fn who_cannot_be_accepted_is_tried_now_and_then_and_served_when_there_is_room() {
    let faulty = Faulty::start();
    for errno in [Errno::ENOMEM, Errno::ENOBUFS] {
        let no_room = faulty.put(Fault::fail("accept4", errno).of(Part::Server));
        let waiting = TcpStream::connect(("127.0.0.1", faulty.papad.port())).unwrap();
        no_room.wait_until_met(3);
        assert!(no_room.met() < 10, "{errno}: tried {} times", no_room.met());
        let served = thread::scope(|scope| {
            let served = scope.spawn(|| faulty.serves());
            drop(no_room);
            served.join().unwrap()
        });
        assert!(served);
        drop(waiting);
    }
}
