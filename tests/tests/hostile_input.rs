//! Bad input and uninvited guests: a clear error or a closed connection, and nobody else notices.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use papad_tests::{BANNER, Builder, NOBODY, Papad, ScratchDir, Session, as_user, field, is_root};

/// The longest line, in bytes.
const MAX_LINE: usize = 2 * 1024 * 1024;

/// A session that is there before the bad thing happens, and must not notice.
struct Bystander(Session);

impl Bystander {
    fn of(papad: &Papad) -> Self {
        let mut session = papad.session();
        session.ask_expecting("set bystander 1", "");
        Self(session)
    }

    #[track_caller]
    fn has_noticed_nothing(&mut self) {
        self.0.ask_expecting("list values", "bystander 1");
        self.0.ask_expecting("list sockets", "");
        self.0.ask_expecting("list processes", "");
    }
}

#[test]
fn a_line_without_end_is_refused_at_the_limit() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    let mut session = papad.session();
    // papad stops reading at the limit, so not all of this can be sent.
    let _ = session.try_send(vec![b'x'; 10 * 1024 * 1024]);
    let reply = session.read_to_end();
    assert_eq!(
        String::from_utf8(reply).unwrap(),
        "Error: A line may have at most 2097152 bytes\n> "
    );
    bystander.has_noticed_nothing();
}

#[test]
fn a_line_of_the_greatest_length_is_taken() {
    let papad = Papad::start();
    let mut session = papad.session();
    let value = "x".repeat(MAX_LINE - "set v ".len());
    session.ask_expecting(format!("set v {value}"), "");
    let stored = session.ask("get v");
    assert!(stored == value, "{} bytes came back", stored.len());
}

#[test]
fn bytes_that_are_no_text_are_answered() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    let mut session = papad.session();
    for line in
        [&b"\0"[..], b"\0\0\0 \0", b"\x80\xfe", b"\xc3(", b"get\0v", b"\x1b[A", b"\x01\x02\x7f"]
    {
        let reply = session.ask(line);
        assert!(reply.starts_with("Error: "), "{}: {reply}", line.escape_ascii());
    }
    session.ask_expecting("get v", "");
    bystander.has_noticed_nothing();
}

#[test]
fn a_value_keeps_bytes_that_are_no_text() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask_expecting(b"set v \x80\xc3(\x01", "");
    session.ask_expecting("get v", b"\x80\xc3(\x01");
}

#[test]
fn a_name_that_would_break_a_line_is_refused() {
    let papad = Papad::start();
    let mut session = papad.session();
    for name in [r"a\ b", "a\tb", "a\x1bb", "a\x7fb", "a\0b"] {
        session.ask_for_error(&format!("set {name} 1"));
        session.ask_for_error(&format!("make socket {name}"));
        session.ask_for_error(&format!("make process {name} /bin/true"));
    }
    // Frames separate their fields by colons.
    session.ask_for_error("make process a:b /bin/true");
    session.ask_expecting("list values", "");
    session.ask_expecting("list sockets", "");
    session.ask_expecting("list processes", "");
    assert!(session.ask("make socket a:b").starts_with("a:b family=inet "));
}

#[test]
fn half_a_command_does_nothing() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    let mut session = papad.session();
    // The reply shows that what follows its line has been read.
    session.send("get v\nset bystander 2");
    session.expect("\n> ");
    session.finish_sending();
    session.expect_closed();
    let mut session = papad.session();
    session.send("get v\nmake process p /bin/sleep 1000");
    session.expect("\n> ");
    drop(session);
    bystander.has_noticed_nothing();
}

#[test]
fn a_client_that_is_silent_holds_up_nobody() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    let _unread = papad.connect();
    let mut silent = papad.session();
    silent.send("set bystander 2");
    bystander.has_noticed_nothing();
    silent.send("3\n");
    silent.expect("\n> ");
    bystander.0.ask_expecting("get bystander", "23");
}

#[test]
fn a_client_that_does_not_read_its_replies_holds_up_nobody() {
    let papad = Papad::start();
    let mut session = papad.session();
    session.ask(format!("set large {}", "x".repeat(1024 * 1024)));
    let mut deaf = papad.session();
    deaf.send("get large\n".repeat(100));
    session.ask_expecting("set v 1", "");
    papad.session().ask_expecting("get v", "1");
}

#[test]
fn contradictory_options_make_nothing() {
    let scratch = ScratchDir::new();
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    let mut session = papad.session();
    let path = scratch.join("s");
    for options in [
        format!("family=inet path={path}"),
        format!("family=inet6 path={path}"),
        format!("path={path} port=80"),
        format!("path={path} host=127.0.0.1"),
        format!("path={path} interface=lo"),
        format!("path={path} reuseport=1"),
        "family=unix port=80".to_owned(),
        "umask=0".to_owned(),
        "family=inet host=::1".to_owned(),
        "port=80 port=81".to_owned(),
        "family=inet family=inet6".to_owned(),
    ] {
        session.ask_for_error(&format!("make socket s {options}"));
    }
    for options in ["stdout=0 stdout=1", "bufsize=0 bufsize=1m", "env.A=1 env.A=2"] {
        session.ask_for_error(&format!("make process p {options} /bin/true"));
    }
    bystander.has_noticed_nothing();
}

#[test]
fn commands_of_a_page_in_a_browser_are_not_run() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    for method in
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND"]
    {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let mut page = papad.connect();
            let _ = page.try_send(format!(
                "{method} / {version}\r\nHost: localhost:{}\r\nContent-Type: text/plain\r\n\
                 Content-Length: 60\r\n\r\nset bystander hacked\nmake process p /bin/sleep 1000\n",
                papad.port()
            ));
            refused_after_the_banner(&mut page);
        }
    }
    bystander.has_noticed_nothing();
}

#[test]
fn http_2_and_tls_are_not_run() {
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    // A ClientHello in the record format of TLS 1.0 and later, cut short.
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [7; 32].as_slice()].concat();
    for opening in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &hello] {
        let mut client = papad.connect();
        let _ = client.try_send([opening, b"\nset bystander hacked\n"].concat());
        refused_after_the_banner(&mut client);
        // Without a line's end, too.
        let mut client = papad.connect();
        let _ = client.try_send(&opening[..opening.len() - 4]);
        let _ = client.try_send([&opening[opening.len() - 4..], b"\n"].concat());
        refused_after_the_banner(&mut client);
    }
    bystander.has_noticed_nothing();
}

#[test]
fn a_tls_hello_is_not_waited_upon() {
    let papad = Papad::start();
    let mut client = papad.connect();
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    refused_after_the_banner(&mut client);
}

#[test]
fn a_command_that_looks_a_little_like_http_is_run() {
    let papad = Papad::start();
    papad.session().ask_expecting("set / http://localhost/", "");
    papad.session().ask_expecting("GET v", "");
    let mut session = papad.session();
    session.ask_expecting("get v", "");
    // Only a session's first line can be a browser's.
    session.ask_expecting("set v HTTP/1.1", "");
    session.ask_expecting("GET /", "http://localhost/");
}

/// Whoever is refused sees at most the banner, and an error, before the connection closes.
#[track_caller]
fn refused_after_the_banner(session: &mut Session) {
    let seen = String::from_utf8(session.read_to_end()).unwrap();
    let rest = seen.strip_prefix(BANNER).unwrap_or(&seen);
    assert!(rest.is_empty() || rest.starts_with("Error: "), "{seen}");
    assert!(rest.matches("> ").count() <= 1, "{seen}");
}

#[test]
fn sessions_beyond_the_limit_are_told_so_and_the_others_go_on() {
    const LIMIT: usize = 200;
    const TRIED: usize = 10_000;
    let limits = ["--max-sessions", "--max-sessions-per-user"];
    let limits = limits.map(|option| format!("{option}={LIMIT}"));
    let papad = limits.iter().fold(Papad::builder(), Builder::arg).start();
    let mut held: Vec<Session> = (0..LIMIT).map(|_| papad.session()).collect();
    for _ in LIMIT..TRIED {
        let seen = papad.connect().read_to_end();
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.starts_with("Error: "), "{seen}");
    }
    for (number, session) in held.iter_mut().enumerate() {
        session.ask_expecting(format!("set v {number}"), "");
    }
    // A place that becomes free is taken again. The end of a session is told to its client first.
    let mut leaving = held.pop().unwrap();
    leaving.send("quit\n");
    leaving.expect("ok\n");
    leaving.expect_closed();
    papad_tests::eventually("there is room for a session", || {
        papad.connect().read_once().starts_with(BANNER.as_bytes())
    });
}

#[test]
fn another_user_is_refused_over_tcp() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    as_user(NOBODY, || {
        let mut session = papad.connect();
        let _ = session.try_send("set bystander hacked\n");
        refused(&mut session);
    });
    papad.wait_for_log("65534");
    bystander.has_noticed_nothing();
}

#[test]
fn another_user_is_refused_over_a_unix_socket() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let papad = Papad::builder().unix_path(scratch.join("papad.sock")).start();
    let mut bystander = Bystander::of(&papad);
    open_to_all(&papad);
    as_user(NOBODY, || {
        let mut session = papad.connect_unix();
        let _ = session.try_send("set bystander hacked\n");
        refused(&mut session);
    });
    papad.wait_for_log("65534");
    bystander.has_noticed_nothing();
    papad.connect_unix().expect(BANNER);
}

#[test]
fn another_user_who_sends_and_leaves_is_refused() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let papad = Papad::start();
    let mut bystander = Bystander::of(&papad);
    as_user(NOBODY, || {
        for _ in 0..200 {
            let _ = papad.connect().try_send("set bystander hacked\nset other hacked\n");
        }
    });
    // Connections are accepted in order, so all of those have been looked at.
    papad.session().ask_expecting("get other", "");
    bystander.has_noticed_nothing();
}

#[test]
fn a_user_who_was_named_is_let_in() {
    if !is_root("connecting as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let papad = Papad::builder()
        .unix_path(scratch.join("papad.sock"))
        .arg("--allow-uid")
        .arg(NOBODY.to_string())
        .arg("--allow-uid")
        .arg("4242")
        .start();
    open_to_all(&papad);
    for uid in [NOBODY, 4242] {
        as_user(uid, || {
            papad.session().ask_expecting(format!("set tcp {uid}"), "");
            let mut session = papad.connect_unix();
            session.expect(BANNER);
            session.ask_expecting("get tcp", uid.to_string());
        });
    }
    as_user(4243, || {
        refused(&mut papad.connect());
        refused(&mut papad.connect_unix());
    });
}

#[test]
fn a_papad_of_another_user_serves_that_user_and_root() {
    if !is_root("running papad as somebody else") {
        return;
    }
    let scratch = ScratchDir::new();
    let papad = Papad::builder().as_user(NOBODY, scratch.join("papad")).start();
    papad.session().ask_expecting("set v root", "");
    as_user(NOBODY, || papad.session().ask_expecting("get v", "root"));
    as_user(4242, || refused(&mut papad.connect()));
    let mut session = papad.session();
    assert_eq!(session.run("/usr/bin/id -u").text(), format!("{NOBODY}\n"));
    // Whoever may not become another user is told so.
    session.ask_for_error("make process p uid=0 /bin/true");
    let line = session.ask("make socket s");
    assert!(field(&line, "port").parse::<u16>().unwrap() > 0);
}

/// Whoever is not let in sees no banner.
#[track_caller]
fn refused(session: &mut Session) {
    let seen = String::from_utf8(session.read_to_end()).unwrap();
    assert!(seen.is_empty() || seen.starts_with("Error: "), "{seen}");
    assert!(!seen.contains(BANNER), "{seen}");
}

/// Lets the file system admit everybody to the Unix socket, so that it is papad who refuses.
fn open_to_all(papad: &Papad) {
    fs::set_permissions(papad.unix_path(), fs::Permissions::from_mode(0o777)).unwrap();
}
