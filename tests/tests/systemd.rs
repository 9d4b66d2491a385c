//! papad as a service of systemd, whose part a test plays: over a real notification socket, with a
//! store that keeps descriptors while there is no papad.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use papad_tests::{FakeSystemd, Papad, shell, wait_for_end};

#[test]
fn ready_is_said_once_it_answers() {
    let systemd = FakeSystemd::new();
    let papad = Papad::builder().under(&systemd).start();
    systemd.wait_for(0, "READY=1");
    eprintln!("{:?} {:?}", systemd.said(), systemd.stored());
    let mut session = papad.session();
    session.ask("make socket s");
    session.ask(format!("make process p {}", shell("echo out; exec /bin/sleep 1000")));
    session.ask(format!("make process q {}", shell("exit 3")));
    wait_for_end(&mut session, "q");
    eprintln!("{:?}", systemd.stored());
    drop(papad);
    let papad = Papad::builder().under(&systemd).start();
    eprintln!("{}", papad.log());
    eprintln!("{}", papad.session().ask("list processes"));
    eprintln!("{}", papad.session().ask("list sockets"));
}
