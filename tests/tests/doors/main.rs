//! Who may speak to papad: users, namespaces, and what else may come to a port. Whoever is not let in
//! has nothing done, is told so where that helps, and is named in the log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod browser;
mod log;
mod namespaces;
mod ports;
mod protocols;
mod users;
mod web;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use papad_tests::{BANNER, Builder, Papad, ScratchDir, Session};

/// A user of nobody else.
const STRANGER: u32 = 61_010;

/// What guests try to have done.
const MISCHIEF: &str = "set bystander hacked\nmake process p /bin/sleep 1000\n";

/// A papad with a value that guests are to leave alone, and a session that was there before them.
struct House {
    papad: Papad,
    inside: Session,
    scratch: ScratchDir,
}

impl House {
    /// One whose Unix socket the file system admits everybody to, so that it is papad who refuses.
    fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more options.
    fn with(options: &[&'static str]) -> Self {
        let scratch = ScratchDir::new();
        let builder = Papad::builder().unix_path(scratch.join("papad"));
        let papad = options.iter().copied().fold(builder, Builder::arg).start();
        Self::of(papad, scratch)
    }

    fn of(papad: Papad, scratch: ScratchDir) -> Self {
        fs::set_permissions(papad.unix_path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut inside = papad.session();
        inside.ask_expecting("set bystander 1", "");
        Self { papad, inside, scratch }
    }

    /// Sees that nothing was done, and that papad serves others.
    #[track_caller]
    fn is_untouched(&mut self) {
        for session in [&mut self.papad.session(), &mut self.inside] {
            session.ask_expecting("list values", "bystander 1");
            session.ask_expecting("list processes", "");
            session.ask_expecting("list sockets", "");
        }
    }
}

/// What a guest hears who is refused as `uid`.
fn refusal(uid: u32) -> String {
    format!("Error: uid {uid} may not speak to papad\n> ")
}

/// Tries mischief, and sees that this user is refused.
#[track_caller]
fn refused(mut guest: Session, uid: u32) {
    // The connection may be closed already.
    let _ = guest.try_send(MISCHIEF);
    let heard = String::from_utf8(guest.read_to_end()).unwrap();
    // What had come and was not read makes the end a reset, which may overtake what was said.
    assert!(heard.is_empty() || heard == refusal(uid), "{heard}");
}

/// Sees that a guest is let in.
#[track_caller]
fn welcome(mut guest: Session) {
    guest.expect(BANNER);
    guest.ask_expecting("get bystander", "1");
}
