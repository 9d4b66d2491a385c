//! Sessions that speak papa 1.0.

use super::Subject;
use super::sessions::GoOn;
use crate::{BANNER, Frame, Session, Stream};

/// Bytes of a reply, and how many of them are more than a connection takes unread.
pub(super) const LONG_REPLY: usize = 8000;
pub(super) const MANY: usize = 2000;

pub(super) fn not_begun(subject: &Subject) -> GoOn {
    let mut session = subject.papad.connect();
    Box::new(move |_| {
        session.expect(BANNER);
        // It is still its first line, so a browser is known by it.
        session.send("GET / HTTP/1.1\r\n");
        session.expect_closed();
    })
}

pub(super) fn idle(subject: &Subject) -> GoOn {
    let mut session = subject.papad.session();
    Box::new(move |_| {
        session.ask_expecting("set idle 1", "");
        session.ask_expecting("get idle", "1");
    })
}

pub(super) fn within_a_line(subject: &Subject) -> GoOn {
    let mut session = subject.papad.session();
    session.send("set within.line a\\ li");
    Box::new(move |_| {
        session.ask_expecting("ne", "");
        session.ask_expecting("get within.line", "a line");
    })
}

/// RFC 854: IAC is 255, SB 250, WONT 252, SE 240. A doubled IAC is the byte 255.
pub(super) fn within_telnets_commands(subject: &Subject) -> GoOn {
    let cuts: [(&[u8], &[u8], &[u8]); 5] = [
        (b"\xff", b"\xff", b"a\xffb"),
        (b"\xff", b"\xf1", b"ab"),
        (b"\xff\xfc", b"\x01", b"ab"),
        (b"\xff\xfa\x18", b"\x00\xff\xf0", b"ab"),
        (b"\xff\xfa\x18\x00\xff", b"\xf0", b"ab"),
    ];
    let sessions: Vec<Session> = cuts
        .iter()
        .map(|(before, _, _)| {
            let mut session = subject.papad.session();
            session.send([b"set telnet a", *before].concat());
            session
        })
        .collect();
    Box::new(move |_| {
        for (mut session, (_, after, value)) in sessions.into_iter().zip(cuts) {
            session.ask_expecting([after, b"b"].concat(), "");
            session.ask_expecting("get telnet", value);
        }
    })
}

/// Sets a value of [`LONG_REPLY`] bytes.
pub(super) fn set_long(subject: &Subject) -> String {
    let value = "v".repeat(LONG_REPLY);
    subject.papad.session().ask_expecting(format!("set long {value}"), "");
    value
}

pub(super) fn pipelining(subject: &Subject) -> GoOn {
    let value = set_long(subject);
    let mut session = subject.papad.session();
    // At once: papad stops reading when its replies are not read.
    let commands = (0..MANY).map(|number| format!("get long\nno-command-{number}\n"));
    session.send(commands.collect::<String>());
    Box::new(move |_| {
        for number in 0..MANY {
            session.expect(format!("{value}\n> "));
            session.expect(format!("Error: Unknown command \"no-command-{number}\"\n> "));
        }
        session.ask_expecting("get idle", "1");
    })
}

/// The output in a batch.
#[track_caller]
fn output(batch: &[Frame]) -> Vec<u8> {
    let data = |frame: &Frame| match frame {
        Frame::Output { stream: Stream::Out, data, .. } => data.clone(),
        other => panic!("{other:?}"),
    };
    batch.iter().flat_map(data).collect()
}

/// Reads a batch that is to be this, and acknowledges it.
#[track_caller]
fn read(session: &mut Session, expected: &str) {
    assert_eq!(output(&session.read_batch()).escape_ascii().to_string(), expected);
    session.acknowledge();
}

#[track_caller]
fn read_end(session: &mut Session, name: &str, expected: i32) {
    let batch = session.read_batch();
    let [Frame::Closed { name: ended, code, .. }] = &batch[..] else { panic!("{batch:?}") };
    assert_eq!((ended.as_str(), *code), (name, expected));
}

pub(super) fn to_acknowledge(subject: &Subject) -> GoOn {
    let fifo = subject.make_echo("unacknowledged", 3);
    let mut session = subject.papad.session();
    session.watch("unacknowledged", 1);
    fifo.send("one");
    assert_eq!(output(&session.read_batch()), b"one\n");
    Box::new(move |subject| {
        session.acknowledge();
        fifo.send("two");
        read(&mut session, "two\\n");
        fifo.send("end");
        read_end(&mut session, "unacknowledged", 3);
        session.send("\n");
        session.expect("Nothing left to watch\n> ");
        subject.papad.session().ask_expecting("list processes unacknowledged", "");
    })
}

pub(super) fn to_acknowledge_end(subject: &Subject) -> GoOn {
    subject.make("ended", "", "exit 4");
    let mut session = subject.papad.session();
    session.watch("ended", 1);
    read_end(&mut session, "ended", 4);
    Box::new(move |subject| {
        session.send("\n");
        session.expect("Nothing left to watch\n> ");
        subject.papad.session().ask_expecting("list processes ended", "");
    })
}

pub(super) fn waiting(subject: &Subject) -> GoOn {
    let fifo = subject.make_echo("waiting", 5);
    let mut session = subject.papad.session();
    session.watch("waiting", 1);
    fifo.send("one");
    read(&mut session, "one\\n");
    Box::new(move |_| {
        fifo.send("two");
        read(&mut session, "two\\n");
        session.send("q\n");
        session.expect("Stopped watching\n> ");
        fifo.send("end");
    })
}

pub(super) fn leaving(subject: &Subject) -> GoOn {
    let value = set_long(subject);
    let mut session = subject.papad.session();
    session.send("get long\n".repeat(MANY));
    session.send("quit\n");
    Box::new(move |_| {
        for _ in 0..MANY {
            session.expect(format!("{value}\n> "));
        }
        session.expect("ok\n");
        session.expect_closed();
    })
}
