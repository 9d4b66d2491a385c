//! What clients of other protocols say first, with lines behind it that are commands: somebody may have
//! made them say so. Nothing of it is done.

use papad_tests::{BANNER, Session};

use crate::{House, MISCHIEF};

/// What is said first, each by what.
const OPENINGS: [(&str, &[u8]); 22] = [
    ("SMTP", b"EHLO localhost\r\n"),
    ("SMTP, the older greeting", b"HELO localhost\r\n"),
    ("curl dict", b"CLIENT libcurl 8.14.1\r\nDEFINE ! word\r\nQUIT\r\n"),
    ("curl gopher", b"\r\n"),
    ("gopher, a selector", b"1/menu\r\n"),
    ("FTP", b"USER anonymous\r\nPASS me@example.org\r\n"),
    ("POP3", b"CAPA\r\n"),
    ("IMAP", b"a001 CAPABILITY\r\n"),
    ("IRC", b"NICK somebody\r\nUSER somebody 0 * :somebody\r\n"),
    ("redis", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"),
    ("redis, inline", b"PING\r\n"),
    ("memcached", b"stats\r\n"),
    ("SIP", b"INVITE sip:a@example.org SIP/2.0\r\nVia: SIP/2.0/TCP localhost\r\n\r\n"),
    ("RTSP", b"DESCRIBE rtsp://localhost/a RTSP/1.0\r\nCSeq: 1\r\n\r\n"),
    ("PROXY", b"PROXY TCP4 10.0.0.1 10.0.0.2 56324 443\r\n"),
    (
        "PROXY, version 2",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\xc0\0\x4e\xea",
    ),
    ("SSH", b"SSH-2.0-OpenSSH_10.0\r\n"),
    ("NNTP", b"MODE READER\r\n"),
    ("a header", b"Host: localhost:20202\r\n"),
    ("HTTP with tabs", b"GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ("HTTP in small letters", b"get / http/1.1\r\nhost: localhost\r\n\r\n"),
    ("a group without its noun", b"LIST\r\n"),
];

/// Sees that a session is over, and tells what was heard.
fn heard(mut guest: Session) -> String {
    String::from_utf8_lossy(&guest.read_to_end()).into_owned()
}

#[test]
fn behind_the_first_line_of_another_protocol_nothing_is_obeyed() {
    let mut house = House::new();
    for (what, opening) in OPENINGS {
        for mut guest in [house.papad.connect(), house.papad.connect_unix()] {
            // The connection may be closed before all is sent.
            let _ = guest.try_send([opening, MISCHIEF.as_bytes()].concat());
            let heard = heard(guest);
            let is_told = heard.contains("The first line is no command, so what came with it");
            // A browser, and who speaks as one, is not told. A reset may overtake what was said.
            assert!(heard.is_empty() || heard == BANNER || is_told, "{what}: {heard}");
        }
        house.is_untouched();
    }
}

#[test]
fn the_log_names_who_spoke_another_protocol() {
    let house = House::new();
    let mut guest = house.papad.session();
    let _ = guest.try_send(format!("EHLO localhost\r\n{MISCHIEF}"));
    house.papad.wait_for_log(": its first line is no command, and more came with it");
}

#[test]
fn half_a_line_behind_it_is_more_too() {
    let mut house = House::new();
    let mut guest = house.papad.session();
    let _ = guest.try_send("EHLO localhost\r\nset bystander");
    let heard = heard(guest);
    assert!(heard.contains("Unknown command \"ehlo\"\n> Error: The first line is no command"));
    house.is_untouched();
}

#[test]
fn somebody_at_a_keyboard_may_try_again() {
    let house = House::new();
    let mut somebody = house.papad.session();
    for slip in ["lst", "", "list", "list files", "exit", "hlep"] {
        somebody.send(format!("{slip}\r\n"));
        let reply = somebody.read_once();
        assert!(reply.ends_with(b"> "), "{slip}: {}", reply.escape_ascii());
    }
    // Nothing was a command by now: what comes at once with a slip is still not obeyed.
    let mut other = house.papad.session();
    other.ask_for_error("lst");
    let _ = other.try_send(format!("lst\n{MISCHIEF}"));
    assert!(heard(other).contains("The first line is no command"));
    // After a command, lines may come together, whatever they are.
    somebody.ask_expecting("get bystander", "1");
    somebody.send("lst\nget bystander\n");
    somebody.expect("Error: Unknown command \"lst\"\n> 1\n> ");
}

#[test]
fn a_first_command_may_bring_others_with_it() {
    let house = House::new();
    for first in ["set", "get", "make process", "protocol 3", "help nonsense"] {
        let mut client = house.papad.session();
        client.send(format!("{first}\nget bystander\nquit\n"));
        assert!(heard(client).ends_with("> 1\n> ok\n"), "{first}");
    }
}
