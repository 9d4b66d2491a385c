//! What comes over a connection, in pieces of any size.

use nix::errno::Errno;
use papa_protocol::exact::Fetched;

use super::*;

const MAX_ANSWER: usize = 1000;

const HELLO: &[u8] = b"ok 1\nprotocol=2 version=0.1.0 pid=7 id=0123456789abcdef\n";

/// A session that was greeted, and has said what it says for that.
fn greeted() -> Session {
    let mut session = Session::new(MAX_ANSWER);
    session.received(&[BANNER, HELLO].concat());
    assert_eq!(session.hello().unwrap().unwrap().pid, 7);
    send_all(&mut session);
    session
}

/// Sends all there is, and returns it.
fn send_all(session: &mut Session) -> Vec<u8> {
    let mut sent = Vec::new();
    while let Some((bytes, _)) = session.to_send() {
        sent.extend_from_slice(bytes);
        let count = bytes.len();
        session.sent(count);
    }
    sent
}

fn answers(session: &mut Session) -> Vec<Answer> {
    std::iter::from_fn(|| session.answer(&mut VecDeque::new()).unwrap()).collect()
}

#[test]
fn a_session_asks_to_be_exact_and_is_greeted_byte_by_byte() {
    let mut session = Session::new(MAX_ANSWER);
    assert_eq!(session.to_send().unwrap().0, b"protocol 2\n");
    for byte in [BANNER, HELLO].concat() {
        assert!(session.hello().unwrap().is_none());
        session.received(&[byte]);
    }
    assert_eq!(session.hello().unwrap().unwrap().id, "0123456789abcdef");
}

#[test]
fn a_refusal_instead_of_a_greeting_is_an_error_with_papads_words() {
    let mut session = Session::new(MAX_ANSWER);
    session.received(b"Error: papad serves at most 3 sessions\n> ");
    let error = session.hello().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert_eq!(error.to_string(), "papad serves at most 3 sessions");
}

#[test]
fn who_is_not_papad_is_found_out() {
    let mut session = Session::new(MAX_ANSWER);
    session.received(b"HTTP/1.1 400 Bad Request\r\n");
    assert_eq!(session.hello().unwrap_err().kind(), ErrorKind::Protocol);
    let mut session = Session::new(MAX_ANSWER);
    session.received(&[BANNER, b"Error: Unknown command \"protocol\"\n> "].concat());
    assert_eq!(session.hello().unwrap_err().to_string(), "Unknown command \"protocol\"");
}

#[test]
fn answers_come_in_the_order_of_the_requests_however_they_are_cut() {
    let mut session = greeted();
    for _ in 0..3 {
        session.ask(Request::Status.into()).unwrap();
    }
    let mut got = Vec::new();
    for byte in *b"ok 2\na\nb\nerror busy \"not idle\"\nok 0\n" {
        session.received(&[byte]);
        got.extend(answers(&mut session));
    }
    let [Ok(first), Err(second), Ok(third)] = &got[..] else {
        panic!("{got:?}");
    };
    assert_eq!(first.lines, [b"a", b"b"]);
    assert_eq!(second.what, "not idle");
    assert!(third.lines.is_empty());
}

#[test]
fn an_abandoned_request_that_was_not_sent_never_is() {
    let mut session = greeted();
    for _ in 0..3 {
        session.ask(Request::Status.into()).unwrap();
    }
    session.sent("status\n".len());
    session.sent(1);
    session.abandon();
    session.ask(Request::Help.into()).unwrap();
    assert_eq!(send_all(&mut session), b"tatus\nhelp\n");
    session.received(b"ok 0\nok 0\nok 1\nhelp\n");
    let answers = answers(&mut session);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].as_ref().unwrap().lines, [b"help"]);
}

#[test]
fn the_answer_of_an_abandoned_request_is_passed_over() {
    let mut session = greeted();
    session.ask(Request::Status.into()).unwrap();
    send_all(&mut session);
    session.received(b"ok 1\nhalf");
    assert!(answers(&mut session).is_empty());
    session.abandon();
    session.ask(Request::Status.into()).unwrap();
    session.received(b" a line\nok 1\nmine\n");
    let [Ok(reply)] = &answers(&mut session)[..] else {
        panic!("there is one answer");
    };
    assert_eq!(reply.lines, [b"mine"]);
}

#[test]
fn an_answer_that_nobody_asked_for_is_an_error() {
    let mut session = greeted();
    session.received(b"ok 0\n");
    assert!(session.answer(&mut VecDeque::new()).is_err());
}
#[test]
fn a_greeting_without_end_is_an_error_before_it_takes_much() {
    for beginning in [BANNER, b"x"] {
        let mut session = Session::new(usize::MAX);
        session.received(beginning);
        let mut received = beginning.len();
        let error = loop {
            match session.hello() {
                Ok(hello) => assert!(hello.is_none()),
                Err(error) => break error,
            }
            let room = session.greeting_room().min(100);
            session.received(&[b'x'; 100][..room]);
            received += room;
        };
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(received <= MAX_GREETING + BANNER.len(), "{received} bytes");
    }
}

#[test]
fn an_answer_that_takes_more_than_it_may_is_an_error_however_it_comes() {
    let half_a_line = [b'x'; MAX_ANSWER + 1];
    let long_line = [b"ok 1\n", &half_a_line[..]].concat();
    let empty_lines = [&b"ok 1000\n"[..], &[b'\n'; MAX_ANSWER / LINE_COST + 1]].concat();
    let never_comes = b"ok 18446744073709551615\n".to_vec();
    for answer in [half_a_line.to_vec(), long_line, empty_lines, never_comes] {
        let mut session = greeted();
        session.ask(Request::Status.into()).unwrap();
        session.received(&answer);
        let error = session.answer(&mut VecDeque::new()).unwrap_err();
        let expected = (ErrorKind::Limit, "papad's answer takes more than 1000 bytes");
        assert_eq!((error.kind(), error.to_string().as_str()), expected);
    }
}

#[test]
fn a_descriptor_that_was_lost_fails_its_request_and_no_other() {
    let mut session = greeted();
    for name in ["a", "b"] {
        let fetch = Request::Fetch { what: Fetched::Socket, name: name.into() };
        session.ask(fetch.into()).unwrap();
    }
    assert!(session.awaits_descriptors(2) && !session.awaits_descriptors(3));
    session.received(b"ok 0\nok 0\n");
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut descriptors = [Err(Errno::EMFILE), Ok(null.into())].into();
    let mut next = || session.answer(&mut descriptors).unwrap().unwrap().unwrap().descriptor;
    assert!(matches!(next(), Some(Err(Errno::EMFILE))));
    assert!(matches!(next(), Some(Ok(_))));
}
