//! What the server says in protocol 2: answers, their lines, and frames.

use papa_protocol::exact::{
    Code, End, Ended, Failure, Fields, Frame, Hello, Line, ReplyHead, ServerLine, parse_reply_head,
    parse_server_line, write_data, write_error, write_ok,
};
use papa_protocol::frame::{Stream, Time};

fn failure_of<T: std::fmt::Debug>(read: Result<T, Failure>, line: &str) -> String {
    match read {
        Err(failure) => {
            assert_eq!(failure.code, Code::Internal, "{line}");
            failure.what
        }
        Ok(read) => panic!("{line} should be refused: {read:?}"),
    }
}

fn unreadable(line: &str) -> String {
    format!("The server sent what is not protocol 2: {line}")
}

#[test]
fn an_answer_is_its_count_and_its_lines() {
    let mut out = b"before\n".to_vec();
    write_ok(&mut out, &[]);
    let lines = [
        Line::new().pair("name", b"a b").number("pid", 4).into_bytes(),
        Line::new().word("").word("x\n").into_bytes(),
    ];
    write_ok(&mut out, &lines);
    assert_eq!(out, b"before\nok 0\nok 2\n\"name=a b\" pid=4\n\"\" \"x\\n\"\n");
    assert_eq!(parse_reply_head(b"ok 2"), Ok(ReplyHead::Ok(2)));
}

#[test]
fn a_failure_is_its_code_and_its_sentence() {
    let codes = "usage exists not-found denied limit spawn conflict busy gone internal";
    for word in codes.split(' ') {
        let code = Code::parse(word.as_bytes()).expect("a code");
        assert_eq!(code.as_str(), word);
        let failure = Failure::new(code, "It is \"so\"");
        let mut out = b"before\n".to_vec();
        write_error(&mut out, &failure);
        let line = format!("error {word} \"It is \\\"so\\\"\"");
        assert_eq!(String::from_utf8_lossy(&out), format!("before\n{line}\n"));
        assert_eq!(parse_reply_head(line.as_bytes()), Ok(ReplyHead::Error(failure)));
    }
    for word in ["", "Usage", "notfound", "usage "] {
        assert_eq!(Code::parse(word.as_bytes()), None, "{word}");
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    for line in [
        "",
        "ok",
        "ok x",
        "ok -1",
        "ok +1",
        "ok 1 2",
        "OK 1",
        "error",
        "error usage",
        "error bogus x",
        "error usage a b",
        "data x",
        "ok \"1",
    ] {
        assert_eq!(failure_of(parse_reply_head(line.as_bytes()), line), unreadable(line));
    }
}

#[test]
fn a_line_is_built_from_words() {
    let line = Line::new()
        .word("process")
        .pair("name", "web")
        .maybe("uid", None::<&[u8]>)
        .maybe("dir", Some("/a b"))
        .number("pid", 42_u32)
        .rest(["/bin/sh", "", "--", "a=b"]);
    assert_eq!(
        String::from_utf8_lossy(&line.into_bytes()),
        "process name=web \"dir=/a b\" pid=42 -- /bin/sh \"\" -- a=b"
    );
}

#[test]
fn fields_are_found_by_key() {
    let fields =
        Fields::parse(b"name=web \"dir=/a b=c\" pid=42 exit=-1 name=x none= -- a=b -- \"\"");
    let fields = fields.expect("a line of fields");
    assert_eq!(fields.get("name"), Some(&b"web"[..]), "the first counts");
    assert_eq!(fields.get("dir"), Some(&b"/a b=c"[..]));
    assert_eq!(fields.get("none"), Some(&b""[..]));
    assert_eq!(fields.get("a"), None, "what follows -- is no field");
    assert_eq!(fields.number("pid"), Some(42_u8));
    assert_eq!(fields.number("exit"), Some(-1_i32));
    assert_eq!(fields.number::<u64>("name"), None);
    assert_eq!(fields.number::<u64>("exit"), None);
    assert_eq!(fields.number::<u64>("absent"), None);
    assert_eq!(fields.rest(), [b"a=b".to_vec(), b"--".to_vec(), b"".to_vec()]);
    assert_eq!(fields.pairs().count(), 6);
    assert_eq!(Fields::parse(b""), Ok(Fields::default()));
    assert_eq!(
        failure_of(Fields::parse(b"a=1 b"), "a=1 b"),
        "A reply's line cannot be read (\"b\" has no \"=\"): a=1 b"
    );
    failure_of(Fields::parse(b"\"a=1"), "\"a=1");
}

#[test]
fn hello_says_whom_one_is_speaking_with() {
    let hello = Hello { version: "0.1.0".into(), pid: 42, id: "0123456789abcdef".into() };
    let mut out = Vec::new();
    hello.write(&mut out);
    let line = "protocol=2 version=0.1.0 pid=42 id=0123456789abcdef";
    assert_eq!(String::from_utf8_lossy(&out), format!("ok 1\n{line}\n"));
    assert_eq!(Hello::parse(line.as_bytes()), Ok(hello.clone()));
    assert_eq!(Hello::parse(format!("{line} new=1").as_bytes()), Ok(hello), "keys may be added");
    for (part, wrong) in [
        ("protocol=2", "protocol=3"),
        ("version=0.1.0 ", ""),
        ("pid=42", "pid=0"),
        ("pid=42", "pid=x"),
        ("id=0123456789abcdef", "id=0123456789abcde"),
        ("id=0123456789abcdef", "id=0123456789abcdeg"),
    ] {
        let line = line.replace(part, wrong);
        assert_eq!(failure_of(Hello::parse(line.as_bytes()), &line), unreadable(&line));
    }
}

#[test]
fn frames_are_written_and_read() {
    let name = || b"a b".to_vec();
    let time = Time(1_795_287_660_296_030_999);
    let closed = |end| Frame::Closed { name: name(), position: 7, time, end };
    for (line, frame) in [
        (
            "data \"a b\" err 7 1795287660296030999 5",
            Frame::Data { name: name(), stream: Stream::Err, position: 7, time, length: 5 },
        ),
        ("lost \"a b\" 7 8", Frame::Lost { name: name(), position: 7, bytes: 8 }),
        ("closed \"a b\" 7 1795287660296030999 exit 255", closed(End::Exit(255))),
        ("closed \"a b\" 7 1795287660296030999 signal 9", closed(End::Signal(9))),
        ("closed \"a b\" 7 1795287660296030999 unknown 0", closed(End::Unknown)),
        ("joined \"a b\" 3 42", Frame::Joined { name: name(), id: 3, pid: 42 }),
        ("removed \"a b\"", Frame::Removed { name: name() }),
        ("end stopped", Frame::End(Ended::Stopped)),
        ("end finished", Frame::End(Ended::Finished)),
    ] {
        let mut out = b"output without a newline".to_vec();
        frame.write(&mut out);
        let expected = format!("output without a newline{line}\n");
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert_eq!(Frame::parse(line.as_bytes()), Ok(frame.clone()));
        assert_eq!(parse_server_line(line.as_bytes()), Ok(ServerLine::Frame(frame)));
    }
}

#[test]
fn output_is_announced_without_a_copy_of_the_name() {
    let mut out = Vec::new();
    write_data(&mut out, b"web", Stream::Out, 0, Time(1), u64::MAX);
    assert_eq!(out, b"data web out 0 1 18446744073709551615\n");
}

#[test]
fn what_is_no_frame_is_refused() {
    for line in [
        "",
        "data",
        "data web in 0 1 2",
        "data web out 0 1",
        "data web out 0 1 2 3",
        "data web out -1 1 2",
        "data web out 18446744073709551615 0 1",
        "lost web 18446744073709551615 1",
        "closed web 0 1 exit x",
        "closed web 0 1 unknown 1",
        "closed web 0 1 left 0",
        "joined web 1",
        "removed",
        "removed a b",
        "end",
        "end of the world",
        "end web",
        "bogus web",
        "removed \"web",
    ] {
        assert_eq!(failure_of(Frame::parse(line.as_bytes()), line), unreadable(line));
        assert_eq!(failure_of(parse_server_line(line.as_bytes()), line), unreadable(line));
    }
}

#[test]
fn an_answer_is_told_from_a_frame_by_its_first_word() {
    assert_eq!(parse_server_line(b"ok 3"), Ok(ServerLine::Reply(ReplyHead::Ok(3))));
    let failure = Failure::new(Code::Conflict, "beyond the end");
    let head = ReplyHead::Error(failure);
    assert_eq!(
        parse_server_line(b"error conflict \"beyond the end\""),
        Ok(ServerLine::Reply(head))
    );
    assert_eq!(
        parse_server_line(b"removed ok"),
        Ok(ServerLine::Frame(Frame::Removed { name: b"ok".to_vec() }))
    );
}
