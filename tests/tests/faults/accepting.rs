//! Connections for which there is no memory.

use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use papad_tests::{Fault, Part};

use crate::faulty::Faulty;

/// How long papad waits before it tries again, in milliseconds.
const WAIT: u128 = 100;

/// A connection that could not be accepted is still there to be accepted, and poll says so at once.
#[test]
fn who_cannot_be_accepted_is_tried_now_and_then_and_served_when_there_is_room() {
    let faulty = Faulty::start();
    for errno in [Errno::ENOMEM, Errno::ENOBUFS] {
        let began = Instant::now();
        let no_room = faulty.put(Fault::fail("accept4", errno).of(Part::Server));
        let waiting = TcpStream::connect(("127.0.0.1", faulty.papad.port())).unwrap();
        no_room.wait_until_met(3);
        let (tried, most) = (no_room.met(), 1 + began.elapsed().as_millis() / WAIT);
        assert!(u128::from(tried) <= most, "{errno}: tried {tried} times, and {most} are enough");
        let served = thread::scope(|scope| {
            let served = scope.spawn(|| faulty.serves());
            drop(no_room);
            served.join().unwrap()
        });
        assert!(served);
        drop(waiting);
    }
}
